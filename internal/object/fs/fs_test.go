package fs

import (
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/objecttest"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	objecttest.Run(t, func(t *testing.T) object.Store { return open(t, t.TempDir()) })
}

const account, bucket = objecttest.AccountA, objecttest.Bucket

func put(t *testing.T, s *Store, key, text string) {
	t.Helper()
	if err := s.Put(t.Context(), account, object.Ref{Bucket: bucket, Key: key}, strings.NewReader(text), object.Options{}); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "objects")
	s := open(t, dir)
	if err := s.CreateBucket(t.Context(), account, bucket); err != nil {
		t.Fatal(err)
	}
	put(t, s, "in/Report 1.pdf", "text")
	var files []string
	err := filepath.WalkDir(dir, func(path string, d iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		if !d.IsDir() {
			files = append(files, strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(dir)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "/" + account + "/" + bucket + "/+in/=^report%201.pdf"; len(files) != 1 || files[0] != want {
		t.Errorf("files %q, want %q", files, want)
	}
	if err := s.Delete(t.Context(), account, object.Ref{Bucket: bucket, Key: "in/Report 1.pdf"}); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, account, bucket)); len(left) != 0 {
		t.Errorf("the deletion left %v", left)
	}
}

// TestReopen: objects outlive the store; what a dead writer left goes after a day.
func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.CreateBucket(t.Context(), account, bucket); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "text")
	old, young := filepath.Join(dir, account, bucket, tempPrefix+"old"), filepath.Join(dir, account, bucket, tempPrefix+"young")
	for _, f := range []string{old, young} {
		if err := os.WriteFile(f, []byte("part"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-stale - time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if _, err := os.Stat(old); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the old temporary file: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young temporary file: %v", err)
	}
	page, err := again.List(t.Context(), account, bucket, "", object.ListOptions{})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != "k" {
		t.Errorf("listed %+v, %v", page, err)
	}
}

// FuzzKey: every key has one path that stays below its bucket, whose elements
// fit any file system, and that reads back.
func FuzzKey(f *testing.F) {
	for _, k := range []string{"a", "a/b", "../..", "/", "A^%", "é", strings.Repeat("é", 512), strings.Repeat("x", 199) + "É", "\x00"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if object.CheckKey(key) != nil {
			return
		}
		name := encodeKey(key)
		if !iofs.ValidPath(name) || len(name) > 3500 || strings.Count(name, "/") > 40 || strings.ToLower(name) != name {
			t.Fatalf("key %q has the path %q", key, name)
		}
		back, elements := "", strings.Split(name, "/")
		for i, e := range elements {
			part, isObject, ok := decodeElement(e)
			if !ok || isObject != (i == len(elements)-1) || len(e) > maxPiece+1 || strings.HasPrefix(e, tempPrefix) {
				t.Fatalf("key %q: element %q", key, e)
			}
			back += part
		}
		if back != key {
			t.Fatalf("key %q came back as %q by %q", key, back, name)
		}
	})
}
