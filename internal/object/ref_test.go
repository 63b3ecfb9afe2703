package object_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/object"
)

func TestParseURI(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", object.MaxKey)
	for uri, want := range map[string]object.Ref{
		"s3://bucket/key":                  {Bucket: "bucket", Key: "key"},
		"s3://my.bucket-1/a/b/c.pdf":       {Bucket: "my.bucket-1", Key: "a/b/c.pdf"},
		"s3://bucket":                      {Bucket: "bucket"},
		"s3://bucket/":                     {Bucket: "bucket"},
		"s3://bucket//a":                   {Bucket: "bucket", Key: "/a"},
		"s3://bucket/a/../../b":            {Bucket: "bucket", Key: "a/../../b"},
		"s3://bucket/a%2Fb?versionId=x#y":  {Bucket: "bucket", Key: "a%2Fb?versionId=x#y"},
		"s3://bucket/Grüße 🪨.txt":          {Bucket: "bucket", Key: "Grüße 🪨.txt"},
		"s3://bucket/" + long:              {Bucket: "bucket", Key: long},
		"s3://1.2.3/k":                     {Bucket: "1.2.3", Key: "k"},
		"s3://" + strings.Repeat("b", 63):  {Bucket: strings.Repeat("b", 63)},
		"s3://abc/folder/":                 {Bucket: "abc", Key: "folder/"},
		"s3://a-b/" + "\t\nnew\x01line":    {Bucket: "a-b", Key: "\t\nnew\x01line"},
		"s3://bucket/s3://bucket/key":      {Bucket: "bucket", Key: "s3://bucket/key"},
		"s3://bucket/C:\\Windows\\con.txt": {Bucket: "bucket", Key: "C:\\Windows\\con.txt"},
	} {
		got, err := object.ParseURI(uri)
		if err != nil || got != want {
			t.Errorf("ParseURI(%q) = %v, %v; want %v", uri, got, err, want)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	t.Parallel()
	for name, uri := range map[string]string{
		"empty":             "",
		"other scheme":      "https://bucket/key",
		"upper-case scheme": "S3://bucket/key",
		"no bucket":         "s3:///key",
		"short bucket":      "s3://ab/key",
		"long bucket":       "s3://" + strings.Repeat("b", 64) + "/key",
		"upper case":        "s3://Bucket/key",
		"underscore":        "s3://my_bucket/key",
		"first is a hyphen": "s3://-bucket/key",
		"last is a dot":     "s3://bucket./key",
		"two dots":          "s3://my..bucket/key",
		"parent":            "s3://../key",
		"IP address":        "s3://192.168.5.4/key",
		"punycode":          "s3://xn--bucket/key",
		"reserved prefix":   "s3://sthree-bucket/key",
		"alias":             "s3://bucket-s3alias/key",
		"access point":      "s3://bucket--ol-s3/key",
		"directory bucket":  "s3://bucket--x-s3/key",
		"long key":          "s3://bucket/" + strings.Repeat("k", object.MaxKey+1),
		"NUL":               "s3://bucket/a\x00b",
		"broken UTF-8":      "s3://bucket/\xff",
		"broken bucket":     "s3://buck\x00et/key",
	} {
		if got, err := object.ParseURI(uri); !errors.Is(err, object.ErrBadName) || got != (object.Ref{}) {
			t.Errorf("%s: ParseURI(%q) = %v, %v; want ErrBadName", name, uri, got, err)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"s3://bucket":    "s3://bucket/out.json",
		"s3://bucket/":   "s3://bucket/out.json",
		"s3://bucket/a":  "s3://bucket/a/out.json",
		"s3://bucket/a/": "s3://bucket/a/out.json",
	} {
		ref, err := object.ParseURI(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if got := ref.Join("out.json").String(); got != want {
			t.Errorf("%s joined: %s, want %s", prefix, got, want)
		}
	}
}

func TestCheckAccount(t *testing.T) {
	t.Parallel()
	if err := object.CheckAccount("123456789012"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "12345678901", "1234567890123", "12345678901a", "../456789012", "１23456789012"} {
		if err := object.CheckAccount(bad); !errors.Is(err, object.ErrBadName) {
			t.Errorf("CheckAccount(%q) = %v, want ErrBadName", bad, err)
		}
	}
}

// FuzzParseURI: what is accepted keeps the rules and reads back as it was.
func FuzzParseURI(f *testing.F) {
	for _, seed := range []string{"s3://bucket/key", "s3://b.b/", "s3://1.2.3.4/x", "s3://../..", "http://x", "s3://abc/\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		ref, err := object.ParseURI(uri)
		if err != nil {
			if !errors.Is(err, object.ErrBadName) {
				t.Fatalf("error %v is not ErrBadName", err)
			}
			return
		}
		if err := object.CheckBucket(ref.Bucket); err != nil {
			t.Fatalf("accepted the bucket %q: %v", ref.Bucket, err)
		}
		if strings.ContainsAny(ref.Bucket, "/\\\x00") || strings.HasPrefix(ref.Bucket, ".") {
			t.Fatalf("the bucket %q is no plain name", ref.Bucket)
		}
		again, err := object.ParseURI(ref.String())
		if err != nil || again != ref {
			t.Fatalf("%q read back: %v, %v", ref, again, err)
		}
	})
}
