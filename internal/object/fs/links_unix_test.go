//go:build unix

package fs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/object"
)

// TestLinks: a symbolic link leads nowhere, be it the object, a folder of its
// key, or the bucket.
func TestLinks(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "=k"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.CreateBucket(t.Context(), account, bucket); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		filepath.Join(dir, account, bucket, "=k"): filepath.Join(outside, "=k"),
		filepath.Join(dir, account, bucket, "+d"): outside,
		filepath.Join(dir, account, "linked"):     outside,
	} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []object.Ref{{Bucket: bucket, Key: "k"}, {Bucket: bucket, Key: "d/k"}, {Bucket: "linked", Key: "k"}} {
		if r, _, err := s.Get(t.Context(), account, ref); err == nil {
			_ = r.Close()
			t.Errorf("Get %s followed a link", ref)
		}
	}
	for _, ref := range []object.Ref{{Bucket: bucket, Key: "d/new"}, {Bucket: "linked", Key: "new"}} {
		if err := s.Put(t.Context(), account, ref, strings.NewReader("x"), object.Options{}); err == nil {
			t.Errorf("Put %s followed a link", ref)
		}
	}
	put(t, s, "k", "mine") // replaces the link, not what it points to
	if got, err := os.ReadFile(filepath.Join(outside, "=k")); err != nil || string(got) != "secret" {
		t.Errorf("outside: %q, %v", got, err)
	}
	if left, _ := os.ReadDir(outside); len(left) != 1 {
		t.Errorf("outside: %v", left)
	}
}
