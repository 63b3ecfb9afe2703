package body

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/llm"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	v := parse(t, `{"z" : [1, 2.50, -0e1, true, null, "é\"<\/b>\n"], "a": {"b": {}, "": []}, "kept": 1}`)
	for key, want := range map[string]string{
		"z":    `[1,2.50,-0e1,true,null,"é\"</b>\n"]`,
		"a":    `{"b":{},"":[]}`,
		"kept": "1",
		"none": "",
	} {
		got := v.Get(key).JSON()
		if string(got) != want || (want != "" && !json.Valid(got)) {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	v.Close()
	if err := v.Err(); err != nil {
		t.Error(err)
	}
}

func TestBase64(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"YWJj"`:       "abc",
		`"YW\r\nI="`:   "ab",
		`"YWJ"`:        "#/a: string is not valid base64",
		`"YW-_"`:       "#/a: string is not valid base64",
		`"data:,YWJj"`: "#/a: string is not valid base64",
		`""`:           "#/a: expected minLength: 1, actual: 0",
		`1`:            "#/a: expected type: String, found: Integer",
	} {
		v := parse(t, `{"a":`+in+`}`)
		got := string(v.Get("a").Base64())
		if err := v.Err(); err != nil {
			got = strings.TrimSuffix(strings.TrimPrefix(err.Error(), pre), post)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if (*Value)(nil).Base64() != nil {
		t.Error("an absent value has bytes")
	}
}

func TestWholeNumbers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`4294967295`:       "",
		`4294967296`:       "#/a: 4294967296 is not less or equal to 4294967295",
		`-1`:               "#/a: -1 is not greater or equal to 0",
		`1.0`:              "#/a: expected type: Integer, found: Double",
		`99999999999999e9`: "#/a: expected type: Integer, found: Double",
		`"1"`:              "#/a: expected type: Integer, found: String",
	} {
		v := parse(t, `{"a":`+in+`}`)
		n := v.Get("a").Long(Range{Max: 4294967295})
		got := ""
		if err := v.Err(); err != nil {
			got = strings.TrimSuffix(strings.TrimPrefix(err.Error(), pre), post)
		}
		if got != want || (n == nil) != (want != "") {
			t.Errorf("%s: %v, %q, want %q", in, n, got, want)
		}
	}
	v := parse(t, `{"a":512,"b":5}`)
	if n := v.Get("a").OneOf(256, 512); n == nil || *n != 512 {
		t.Errorf("512 became %v", n)
	}
	if n := v.Get("b").OneOf(256, 512); n != nil || v.Err() == nil || v.Err().Error() != pre+"#/b: 5 is not a valid enum value"+post {
		t.Errorf("5 became %v, %v", n, v.Err())
	}
	if v.Get("c").OneOf(1) != nil || v.Get("c").Long(Range{}) != nil {
		t.Error("an absent value has a number")
	}
}

func TestAppendObject(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"{ \"a\" : [1, 2],\n\"b\": \"<x> y\"}": `{"a":[1,2],"b":"<x> y"}`,
		" {} ":                                 "{}",
		"":                                     "{}",
		`{"a": "cut of`:                        "{}",
		`[1]`:                                  "{}",
		`"a"`:                                  "{}",
		"null":                                 "{}",
		"{\"a\":\"\xff\"}":                     "{}",
	} {
		if got := string(AppendObject([]byte("x"), []byte(in))); got != "x"+want {
			t.Errorf("%q became %s, want x%s", in, got, want)
		}
	}
}

func TestMetricsTellTheCache(t *testing.T) {
	t.Parallel()
	got := string(AppendMetrics(nil, llm.Usage{InputTokens: 100, OutputTokens: 5, CacheRead: 60, CacheWrite: 30}, time.Second, time.Millisecond))
	want := `"amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":5,"invocationLatency":1000,"firstByteLatency":1,` +
		`"cacheReadInputTokenCount":60,"cacheWriteInputTokenCount":30}`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPictureFormat(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"\x89PNG\r\n\x1a\n....":        "png",
		"\xff\xd8\xff\xe0":             "jpeg",
		"GIF89a":                       "gif",
		"RIFF\x00\x00\x00\x00WEBPVP8 ": "webp",
		"RIFF\x00\x00\x00\x00WAVE":     "",
		"RIFF":                         "",
		"":                             "",
		"%PDF-1.4":                     "",
	} {
		if got := PictureFormat([]byte(data)); got != want {
			t.Errorf("%q is %q, want %q", data, got, want)
		}
	}
}
