// Package objecttest is the suite that every object store passes.
package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/object"
)

// Accounts and the bucket of the suite.
const (
	AccountA = "111111111111"
	AccountB = "222222222222"
	Bucket   = "bucket"
)

// Run holds a store against the promises of object.Store. open makes an empty
// one and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) object.Store) {
	for name, test := range map[string]func(*testing.T, object.Store){
		"round trip":   roundTrip,
		"keys":         keys,
		"refusals":     refusals,
		"replace":      replace,
		"if absent":    ifAbsent,
		"limit":        limit,
		"broken input": brokenInput,
		"list":         list,
		"delete":       del,
		"isolation":    isolation,
		"race":         race,
		"cancelled":    cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			if err := s.CreateBucket(t.Context(), AccountA, Bucket); err != nil {
				t.Fatal(err)
			}
			test(t, s)
		})
	}
}

func ref(key string) object.Ref { return object.Ref{Bucket: Bucket, Key: key} }

func put(t *testing.T, s object.Store, key, text string) {
	t.Helper()
	if err := s.Put(t.Context(), AccountA, ref(key), strings.NewReader(text), object.Options{}); err != nil {
		t.Fatalf("Put %q: %v", key, err)
	}
}

func get(t *testing.T, s object.Store, key string) string {
	t.Helper()
	r, info, err := s.Get(t.Context(), AccountA, ref(key))
	if err != nil {
		t.Fatalf("Get %q: %v", key, err)
	}
	text, err := io.ReadAll(r)
	if cerr := r.Close(); err != nil || cerr != nil {
		t.Fatalf("read %q: %v, %v", key, err, cerr)
	}
	if info.Key != key || info.Size != int64(len(text)) {
		t.Errorf("info of %q: %+v for %d bytes", key, info, len(text))
	}
	return string(text)
}

func absent(t *testing.T, s object.Store, key string) {
	t.Helper()
	if _, _, err := s.Get(t.Context(), AccountA, ref(key)); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("Get %q = %v, want ErrNotFound", key, err)
	}
}

func listed(t *testing.T, s object.Store, prefix string, o object.ListOptions) ([]string, bool) {
	t.Helper()
	page, err := s.List(t.Context(), AccountA, Bucket, prefix, o)
	if err != nil {
		t.Fatalf("List %q: %v", prefix, err)
	}
	keys := []string{}
	for _, o := range page.Objects {
		keys = append(keys, o.Key)
	}
	return keys, page.More
}

func roundTrip(t *testing.T, s object.Store) {
	before := time.Now().Add(-time.Minute)
	for _, size := range []int{0, 1, 4096, 3 << 20} {
		data := bytes.Repeat([]byte{0, 1, 2, 0xff, '\n'}, size/5+1)[:size]
		key := fmt.Sprintf("size/%d", size)
		put(t, s, key, string(data))
		if got := get(t, s, key); got != string(data) {
			t.Errorf("%d bytes came back changed", size)
		}
	}
	_, info, err := s.Get(t.Context(), AccountA, ref("size/1"))
	if err != nil || info.Modified.Before(before) || info.Modified.After(time.Now().Add(time.Minute)) || info.Modified.Location() != time.UTC {
		t.Errorf("modified %v, %v", info.Modified, err)
	}
	absent(t, s, "size")
	absent(t, s, "size/")
	absent(t, s, "other")
}

// Keys that a careless store confuses, escapes with or cannot keep.
func hardKeys() []string {
	return []string{
		"a", "a/", "a//", "a/b", "A", "a ", " a", "a.", ".", "..", "/", "//", "/a", "../a", "a/../b", "./a",
		"../../../../etc/passwd", `..\..\a`, `C:\a`, "con", "NUL", "nul.txt", "tmp.a", "=a", "+a", "~a", "%61", "%2f", "^a",
		"a%2Fb", "Grüße", "e\u0301", "\u00e9", "🪨/🪨", "\u202e", "a\nb", "a\tb", "\x01\x7f", "*?<>|:\"", "#?&=+;",
		strings.Repeat("k", object.MaxKey), strings.Repeat("/", object.MaxKey), strings.Repeat("K", 300) + "/x",
		strings.Repeat("a/", 500), strings.Repeat("é", 512), strings.Repeat("é/", 341), strings.Repeat("k", 200), strings.Repeat("k", 201),
	}
}

func keys(t *testing.T, s object.Store) {
	want := hardKeys()
	for _, k := range want {
		put(t, s, k, "at "+k)
	}
	for _, k := range want {
		if got := get(t, s, k); got != "at "+k {
			t.Errorf("key %q holds %q", k, got)
		}
	}
	slices.Sort(want)
	if got, more := listed(t, s, "", object.ListOptions{}); !slices.Equal(got, want) || more {
		t.Errorf("listed %q, more %v\nwant %q", got, more, want)
	}
	for i, k := range want {
		if err := s.Delete(t.Context(), AccountA, ref(k)); err != nil {
			t.Errorf("Delete %q: %v", k, err)
		}
		absent(t, s, k)
		if got, _ := listed(t, s, "", object.ListOptions{}); !slices.Equal(got, want[i+1:]) {
			t.Fatalf("after the deletion of %q: %q", k, got)
		}
	}
}

func refusals(t *testing.T, s object.Store) {
	ctx := t.Context()
	try := func(account string, r object.Ref, want error) {
		t.Helper()
		_, _, getErr := s.Get(ctx, account, r)
		putErr := s.Put(ctx, account, r, strings.NewReader("x"), object.Options{})
		delErr := s.Delete(ctx, account, r)
		for op, err := range map[string]error{"Get": getErr, "Put": putErr, "Delete": delErr} {
			if !errors.Is(err, want) {
				t.Errorf("%s of %s %q = %v, want %v", op, account, r, err, want)
			}
		}
	}
	for _, key := range []string{"", "a\x00b", "\xff", strings.Repeat("k", object.MaxKey+1)} {
		try(AccountA, ref(key), object.ErrBadName)
	}
	for _, bucket := range []string{"", "..", ".", "Bucket", "a/b", "b\x00", "../" + Bucket} {
		try(AccountA, object.Ref{Bucket: bucket, Key: "k"}, object.ErrBadName)
		if err := s.CreateBucket(ctx, AccountA, bucket); !errors.Is(err, object.ErrBadName) {
			t.Errorf("CreateBucket(%q) = %v, want ErrBadName", bucket, err)
		}
		if _, err := s.List(ctx, AccountA, bucket, "", object.ListOptions{}); !errors.Is(err, object.ErrBadName) {
			t.Errorf("List(%q) = %v, want ErrBadName", bucket, err)
		}
	}
	for _, account := range []string{"", "..", "../111111111111", "11111111111a"} {
		try(account, ref("k"), object.ErrBadName)
	}
	try(AccountA, object.Ref{Bucket: "missing", Key: "k"}, object.ErrNoBucket)
	if _, err := s.List(ctx, AccountA, "missing", "", object.ListOptions{}); !errors.Is(err, object.ErrNoBucket) {
		t.Errorf("List of no bucket = %v, want ErrNoBucket", err)
	}
	if err := s.CreateBucket(ctx, AccountA, Bucket); !errors.Is(err, object.ErrBucketExists) {
		t.Errorf("CreateBucket twice = %v, want ErrBucketExists", err)
	}
}

func replace(t *testing.T, s object.Store) {
	put(t, s, "k", "old text")
	old, _, err := s.Get(t.Context(), AccountA, ref("k"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	put(t, s, "k", "new")
	if got := get(t, s, "k"); got != "new" {
		t.Errorf("after replacement: %q", got)
	}
	if err := s.Delete(t.Context(), AccountA, ref("k")); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(old); err != nil || string(text) != "old text" {
		t.Errorf("what was opened before reads %q, %v", text, err)
	}
}

func ifAbsent(t *testing.T, s object.Store) {
	o := object.Options{IfAbsent: true}
	if err := s.Put(t.Context(), AccountA, ref("d/k"), strings.NewReader("one"), o); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), AccountA, ref("d/k"), strings.NewReader("two"), o); !errors.Is(err, object.ErrExists) {
		t.Errorf("second Put = %v, want ErrExists", err)
	}
	if got := get(t, s, "d/k"); got != "one" {
		t.Errorf("the object is %q", got)
	}
	if got, _ := listed(t, s, "", object.ListOptions{}); !slices.Equal(got, []string{"d/k"}) {
		t.Errorf("listed %q", got)
	}
}

func limit(t *testing.T, s object.Store) {
	put(t, s, "k", "old")
	o := object.Options{MaxBytes: 4}
	if err := s.Put(t.Context(), AccountA, ref("k"), strings.NewReader("12345"), o); !errors.Is(err, object.ErrTooLarge) {
		t.Errorf("Put of 5 bytes = %v, want ErrTooLarge", err)
	}
	if got := get(t, s, "k"); got != "old" {
		t.Errorf("the object became %q", got)
	}
	if err := s.Put(t.Context(), AccountA, ref("k"), strings.NewReader("1234"), o); err != nil {
		t.Errorf("Put of 4 bytes: %v", err)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read(p []byte) (int, error) { return copy(p, "part"), b.err }

func brokenInput(t *testing.T, s object.Store) {
	put(t, s, "k", "old")
	cause := errors.New("the line broke")
	if err := s.Put(t.Context(), AccountA, ref("k"), brokenReader{cause}, object.Options{}); !errors.Is(err, cause) {
		t.Errorf("Put = %v, want the reader's error", err)
	}
	if got := get(t, s, "k"); got != "old" {
		t.Errorf("the object became %q", got)
	}
	if err := s.Put(t.Context(), AccountA, ref("new"), brokenReader{cause}, object.Options{}); !errors.Is(err, cause) {
		t.Errorf("Put = %v, want the reader's error", err)
	}
	absent(t, s, "new")
	if got, _ := listed(t, s, "", object.ListOptions{}); !slices.Equal(got, []string{"k"}) {
		t.Errorf("listed %q", got)
	}
}

func list(t *testing.T, s object.Store) {
	if got, more := listed(t, s, "", object.ListOptions{}); len(got) != 0 || more {
		t.Errorf("an empty bucket lists %q, more %v", got, more)
	}
	all := []string{"a", "a!", "a-b", "a/1", "a/2/x", "a/2/y", "a0", "b/" + strings.Repeat("long", 100), "b/z"}
	for _, k := range all {
		put(t, s, k, k)
	}
	for prefix, want := range map[string][]string{
		"":           all,
		"a":          all[:7],
		"a/":         all[3:6],
		"a/2":        all[4:6],
		"a/2/x":      all[4:5],
		"b/longlong": all[7:8],
		"c":          {},
		"a/2/xx":     {},
	} {
		if got, more := listed(t, s, prefix, object.ListOptions{}); !slices.Equal(got, want) || more {
			t.Errorf("prefix %q: %q, more %v; want %q", prefix, got, more, want)
		}
		var paged []string
		for more, after := true, ""; more; {
			var page []string
			page, more = listed(t, s, prefix, object.ListOptions{After: after, Limit: 2})
			if len(page) > 2 || more && len(page) == 0 {
				t.Fatalf("page %q, more %v", page, more)
			}
			if len(page) > 0 {
				after = page[len(page)-1]
			}
			paged = append(paged, page...)
		}
		if !slices.Equal(paged, want) {
			t.Errorf("prefix %q in pages: %q, want %q", prefix, paged, want)
		}
	}
	if got, _ := listed(t, s, "", object.ListOptions{After: "a/2"}); !slices.Equal(got, all[4:]) {
		t.Errorf("after a key that is not there: %q", got)
	}
}

func del(t *testing.T, s object.Store) {
	put(t, s, "a/b/c", "x")
	put(t, s, "a/b", "y")
	for range 2 {
		if err := s.Delete(t.Context(), AccountA, ref("a/b/c")); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if err := s.Delete(t.Context(), AccountA, ref("a")); err != nil {
		t.Errorf("Delete of a key that is only a beginning: %v", err)
	}
	absent(t, s, "a/b/c")
	if got := get(t, s, "a/b"); got != "y" {
		t.Errorf("a/b is %q", got)
	}
}

func isolation(t *testing.T, s object.Store) {
	ctx := t.Context()
	put(t, s, "k", "of A")
	r := ref("k")
	if _, _, err := s.Get(ctx, AccountB, r); !errors.Is(err, object.ErrNoBucket) {
		t.Errorf("B reads A's object: %v", err)
	}
	if err := s.CreateBucket(ctx, AccountB, Bucket); err != nil {
		t.Fatalf("B's bucket of the same name: %v", err)
	}
	if _, _, err := s.Get(ctx, AccountB, r); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("B reads A's object: %v", err)
	}
	if err := s.Put(ctx, AccountB, r, strings.NewReader("of B"), object.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateBucket(ctx, AccountA, "bucket2"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, AccountA, object.Ref{Bucket: "bucket2", Key: "k"}); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("another bucket has the object: %v", err)
	}
	if err := s.Delete(ctx, AccountB, r); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "k"); got != "of A" {
		t.Errorf("A's object became %q", got)
	}
}

// race lets writers, deleters and readers meet at neighbouring keys: a reader
// sees one whole text or none.
func race(t *testing.T, s object.Store) {
	ctx := t.Context()
	texts := []string{strings.Repeat("a", 70_000), strings.Repeat("b", 50_000)}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 10 {
				key := fmt.Sprintf("d/e/%d", n%2)
				if err := s.Put(ctx, AccountA, ref(key), strings.NewReader(texts[i%2]), object.Options{}); err != nil {
					t.Errorf("Put: %v", err)
				}
				r, _, err := s.Get(ctx, AccountA, ref(key))
				if err == nil {
					got, err := io.ReadAll(r)
					_ = r.Close() // opened for reading
					if err != nil || !slices.Contains(texts, string(got)) {
						t.Errorf("read %d bytes of a mix, %v", len(got), err)
					}
				} else if !errors.Is(err, object.ErrNotFound) {
					t.Errorf("Get: %v", err)
				}
				if err := s.Delete(ctx, AccountA, ref(key)); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got, _ := listed(t, s, "", object.ListOptions{}); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func cancelled(t *testing.T, s object.Store) {
	put(t, s, "k", "text")
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := s.Get(ctx, AccountA, ref("k"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("read = %v, want context.Canceled", err)
	}
	if err := s.Put(ctx, AccountA, ref("k"), strings.NewReader("new"), object.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if got := get(t, s, "k"); got != "text" {
		t.Errorf("the object became %q", got)
	}
}
