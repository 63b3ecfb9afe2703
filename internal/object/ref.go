package object

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Scheme begins every address of an object.
const Scheme = "s3://"

// MaxKey is the longest key, in bytes of UTF-8. Source: S3 user guide, "Naming
// Amazon S3 objects".
const MaxKey = 1024

// Ref addresses an object; with an empty Key it addresses the bucket.
type Ref struct {
	Bucket string
	Key    string
}

// String is the address, e.g. "s3://bucket/folder/file.pdf". ParseURI reads it
// back.
func (r Ref) String() string { return Scheme + r.Bucket + "/" + r.Key }

// Join returns the address of name under r, with one slash between them: how a
// result is named below a prefix such as "s3://bucket/results".
func (r Ref) Join(name string) Ref {
	if r.Key != "" && !strings.HasSuffix(r.Key, "/") {
		r.Key += "/"
	}
	r.Key += name
	return r
}

// ParseURI reads "s3://bucket/key". What follows the slash behind the bucket is
// the key as it stands: nothing is unescaped or cleaned, and dots mean
// themselves. The key may be empty ("s3://bucket", "s3://bucket/"), for
// addresses that mean a whole bucket. Errors wrap ErrBadName and say for people
// what is wrong.
func ParseURI(uri string) (Ref, error) {
	rest, ok := strings.CutPrefix(uri, Scheme)
	if !ok {
		return Ref{}, fmt.Errorf("%w: an address begins with %s", ErrBadName, Scheme)
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if err := CheckBucket(bucket); err != nil {
		return Ref{}, err
	}
	if key != "" {
		if err := CheckKey(key); err != nil {
			return Ref{}, err
		}
	}
	return Ref{Bucket: bucket, Key: key}, nil
}

// CheckBucket holds a name against the rules of general purpose buckets: 3 to
// 63 lower-case letters, digits, dots and hyphens, first and last a letter or a
// digit, no two dots in a row, no IP address, none of the prefixes and suffixes
// that S3 reserves. The error wraps ErrBadName.
// Source: S3 user guide, "General purpose bucket naming rules".
func CheckBucket(name string) error {
	if len(name) < 3 || len(name) > 63 {
		return fmt.Errorf("%w: a bucket's name has 3 to 63 characters", ErrBadName)
	}
	for i := range len(name) {
		c := name[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alnum && (c != '.' && c != '-' || i == 0 || i == len(name)-1) {
			return fmt.Errorf("%w: a bucket's name has lower-case letters, digits, dots and hyphens, and begins and ends with a letter or a digit", ErrBadName)
		}
	}
	if strings.Contains(name, "..") {
		return fmt.Errorf("%w: a bucket's name has no two dots in a row", ErrBadName)
	}
	if addr, err := netip.ParseAddr(name); err == nil && addr.Is4() {
		return fmt.Errorf("%w: a bucket's name is not an IP address", ErrBadName)
	}
	for _, p := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, p) {
			return fmt.Errorf("%w: no bucket's name begins with %s", ErrBadName, p)
		}
	}
	for _, s := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, s) {
			return fmt.Errorf("%w: no bucket's name ends with %s", ErrBadName, s)
		}
	}
	return nil
}

// CheckKey holds a key against the rules: 1 to MaxKey bytes of UTF-8 without the
// character NUL, which no listing could name. The error wraps ErrBadName.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: a key has at least one character", ErrBadName)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: a key has at most %d bytes", ErrBadName, MaxKey)
	case !utf8.ValidString(key) || strings.IndexByte(key, 0) >= 0:
		return fmt.Errorf("%w: a key is UTF-8 text without the character NUL", ErrBadName)
	}
	return nil
}

// CheckAccount holds an account id against the rule: 12 digits. The error wraps
// ErrBadName.
func CheckAccount(account string) error {
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return fmt.Errorf("%w: an account has 12 digits", ErrBadName)
	}
	return nil
}
