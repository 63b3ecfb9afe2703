package weights_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/weights"
)

func save(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func step() weights.Step { return weights.Silent.Start("", 0) }

func all(string) bool { return true }

func TestExtractMember(t *testing.T) {
	t.Parallel()
	b := archive(t,
		entry{name: "pkg/a.gguf", data: []byte("aaa")},
		entry{name: "pkg/sub/b.bin", data: []byte("bbb")},
		entry{name: "pkg/link.txt", data: []byte("/etc/passwd"), mode: fs.ModeSymlink | 0o777},
		entry{name: "pkg/dir.gguf/"},
		entry{name: "x/twin.dat"}, entry{name: "y/twin.dat"},
	)
	for _, tt := range []struct {
		glob      string
		max       int64
		want, err string
	}{
		{"*.gguf", 3, "aaa", ""},
		{"pkg/*.gguf", 3, "aaa", ""},
		{"*/sub/*", 3, "bbb", ""},
		{"*.gguf", 2, "", "more than allowed"},
		{"*.gguf", -1, "", "more than allowed"},
		{"*.txt", 100, "", "not a plain file"},
		{"twin.dat", 100, "", "several members"},
		{"*.zip", 100, "", "no member"},
		{"[", 100, "", "pattern"},
	} {
		t.Run(fmt.Sprint(tt.glob, tt.max), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			n, err := weights.ExtractMember(t.Context(), save(t, b), tt.glob, tt.max, &out, step())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || out.String() != tt.want || n != int64(len(tt.want)) {
				t.Errorf("got %q, %d, %v", out.String(), n, err)
			}
		})
	}
}

func TestExtractTree(t *testing.T) {
	t.Parallel()
	b := archive(t,
		entry{name: "a/"}, entry{name: "a/b/c.txt", data: []byte("c")},
		entry{name: "run", data: []byte("r"), mode: 0o755}, entry{name: "skip.me", data: []byte("s")},
	)
	dir := t.TempDir()
	err := weights.ExtractTree(t.Context(), save(t, b), dir, 2, func(n string) bool { return n != "skip.me" }, step())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a/b/c.txt", "run"}, tree(t, dir)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if info, err := os.Stat(filepath.Join(dir, "run")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestHostileArchives: nothing of these lands outside the folder, and none of
// them fills the disk.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 4<<20)
	for _, tt := range []struct {
		name string
		zip  []byte
		want string
	}{
		{"out of the folder", archive(t, entry{name: "../evil", data: []byte("x")}), "path"},
		{"out in the middle", archive(t, entry{name: "a/../../evil", data: []byte("x")}), "path"},
		{"absolute", archive(t, entry{name: "/evil", data: []byte("x")}), "path"},
		{"backslashes", archive(t, entry{name: `..\evil`, data: []byte("x")}), "path"},
		{"drive", archive(t, entry{name: "C:evil", data: []byte("x")}), "path"},
		{"unclean", archive(t, entry{name: "a//b", data: []byte("x")}), "path"},
		{"empty name", archive(t, entry{name: "", data: []byte("x")}), "path"},
		{"link", archive(t, entry{name: "link", data: []byte("../evil"), mode: fs.ModeSymlink | 0o777}), "not a plain file"},
		{"device", archive(t, entry{name: "dev", mode: fs.ModeDevice | 0o600}), "not a plain file"},
		{"twice", archive(t, entry{name: "a", data: []byte("1")}, entry{name: "a", data: []byte("2")}), "twice"},
		{"twice but for case", archive(t, entry{name: "a/B", data: []byte("1")}, entry{name: "A/b", data: []byte("2")}), "twice"},
		{"file as folder", archive(t, entry{name: "a", data: []byte("1")}, entry{name: "a/b", data: []byte("2")}), "unpack a/b"},
		{"bomb", archive(t, entry{name: "bomb", data: zeros}), "times its size"},
		{"many bombs", archive(t, bombs(6, 1<<20)...), "more than allowed"},
		{"nothing", archive(t), "none of the files"},
		{"no archive", []byte("PK\x03\x04 but no more"), "open archive"},
		{"size understated", lie(t, 10), "unpack a"},
		{"size overstated", lie(t, 5000), "unpack a"},
		{"checksum", flip(t), "checksum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "in", "here")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			err := weights.ExtractTree(t.Context(), save(t, tt.zip), dir, 5<<20, all, step())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			for _, path := range tree(t, parent) {
				if !strings.HasPrefix(path, "in/here/") {
					t.Errorf("%s lies outside", path)
				}
				if info, err := os.Lstat(filepath.Join(parent, path)); err != nil || !info.Mode().IsRegular() {
					t.Errorf("%s is not a plain file", path)
				}
			}
		})
	}
}

// bombs are entries that are each within limits.
func bombs(n, size int) []entry {
	out := make([]entry, n)
	for i := range out {
		data := make([]byte, size)
		for j := 0; j < size; j += 100 {
			data[j] = byte(j/100*31 + i)
		}
		out[i] = entry{name: fmt.Sprint("b", i), data: data}
	}
	return out
}

// lie is an archive whose directory declares another size for its entry.
func lie(t *testing.T, size uint32) []byte {
	t.Helper()
	b := archive(t, entry{name: "a", data: bytes.Repeat([]byte("0123456789"), 100)})
	at := bytes.LastIndex(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[at+24:], size)
	if _, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	return b
}

// flip is an archive with another checksum.
func flip(t *testing.T) []byte {
	t.Helper()
	b := archive(t, entry{name: "a", data: []byte("contents")})
	b[bytes.LastIndex(b, []byte("PK\x01\x02"))+16] ^= 1
	return b
}

func TestTooManyEntries(t *testing.T) {
	t.Parallel()
	entries := make([]entry, 100_001)
	for i := range entries {
		entries[i].name = fmt.Sprint(i)
	}
	path := save(t, archive(t, entries...))
	if err := weights.ExtractTree(t.Context(), path, t.TempDir(), 1<<20, all, step()); !errors.Is(err, weights.ErrRefused) {
		t.Errorf("error %v, want ErrRefused", err)
	}
}
