package weights_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/file"
)

func TestPull(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "models")
	b := model(t, "Tiny", 1000)
	src := one(b)
	now := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	s, err := weights.New(weights.Config{Dir: dir, Sources: []weights.Source{src}, Fetch: src, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if path, ok := s.Path("tiny"); ok {
		t.Fatalf("there is %s before the pull", path)
	}
	if got, err := s.List(); err != nil || len(got) != 0 {
		t.Fatalf("a folder that is not there lists %v, %v", got, err)
	}
	w := catalog.Weights{ID: "tiny", Name: "Tiny model", License: "MIT", LicenseURL: "https://example.com/mit", Source: catalog.Source{SHA256: strings.ToUpper(sum(b))}}
	if err := s.Pull(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	want := weights.Manifest{
		ID: "tiny", Name: "Tiny model", SHA256: sum(b), Size: int64(len(b)), Origin: "mem:m", Delivered: sum(b),
		License: "MIT", LicenseURL: "https://example.com/mit", Installed: now,
	}
	got, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]weights.Manifest{want}, got); d != "" {
		t.Errorf("list (-want +got):\n%s", d)
	}
	d, err := s.Show("tiny")
	if err != nil || d.Header.Name != "Tiny" || d.Header.ContextLength != 2048 || d.Manifest != want {
		t.Errorf("show %+v, %v", d, err)
	}
	path, ok := s.Path("tiny")
	if !ok || path != d.Path {
		t.Errorf("path %q, %v", path, ok)
	}
	if diff := cmp.Diff([]string{"tiny/" + sum(b) + ".gguf", "tiny/manifest.json"}, tree(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file %v, %v", info.Mode(), err)
	}
	if err := s.Verify(t.Context(), "tiny", nil); err != nil {
		t.Errorf("verify: %v", err)
	}
	// A second pull asks nothing.
	if err := s.Pull(t.Context(), w, nil); err != nil || src.count() != 1 {
		t.Errorf("second pull: %v after %d downloads", err, src.count())
	}
	if err := s.Remove(t.Context(), "tiny"); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("left after remove: %v", left)
	}
	if err := s.Remove(t.Context(), "tiny"); !errors.Is(err, weights.ErrNotFound) {
		t.Errorf("second remove: %v", err)
	}
}

// TestPullReplaces: another digest in the catalogue replaces what is
// installed, in one step, and deletes the old file.
func TestPullReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := model(t, "A", 10), model(t, "B", 20)
	s := store(t, dir, one(a))
	w := catalog.Weights{ID: "m", Source: catalog.Source{SHA256: sum(a)}}
	if err := s.Pull(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	w.Source.SHA256 = sum(b)
	bad := one(a)
	if err := store(t, dir, bad).Pull(t.Context(), w, nil); !errors.Is(err, weights.ErrDigest) {
		t.Fatalf("the wrong file: error %v, want ErrDigest", err)
	}
	if d, err := s.Show("m"); err != nil || d.Header.Name != "A" {
		t.Errorf("a failed pull changed what is installed: %+v, %v", d, err)
	}
	if err := store(t, dir, one(b)).Pull(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Show("m"); err != nil || d.Header.Name != "B" {
		t.Errorf("show %+v, %v", d, err)
	}
	if d := cmp.Diff([]string{"m/" + sum(b) + ".gguf", "m/manifest.json"}, tree(t, dir)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

func TestJoinedParts(t *testing.T) {
	t.Parallel()
	b := model(t, "Parts", 1000)
	src := &shelf{files: map[string][]byte{
		"mem:1": archive(t, entry{name: "p1/data/m.gguf.part00", data: b[:1500]}, entry{name: "p1/README", data: []byte("x")}),
		"mem:2": archive(t, entry{name: "p2/data/m.gguf.part01", data: b[1500:3000]}),
		"mem:3": b[3000:],
	}}
	src.art = weights.Artifact{Origin: "mem:parts", Parts: []weights.Part{
		{URL: "mem:1", Member: "*.gguf*"}, {URL: "mem:2", Member: "p?/data/*.part01"}, {URL: "mem:3"},
	}}
	dir := t.TempDir()
	s := store(t, dir, src)
	w := catalog.Weights{ID: "m", Source: catalog.Source{SHA256: sum(b)}}
	if err := s.Pull(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Show("m"); err != nil || d.SHA256 != sum(b) || d.Header.Name != "Parts" {
		t.Errorf("show %+v, %v", d, err)
	}
	// In the wrong order they are another file.
	src.art.Parts[0], src.art.Parts[2] = src.art.Parts[2], src.art.Parts[0]
	w.ID = "n"
	if err := s.Pull(t.Context(), w, nil); !errors.Is(err, weights.ErrDigest) {
		t.Errorf("wrong order: error %v, want ErrDigest", err)
	}
	if left := tree(t, filepath.Join(dir, ".partial")); len(left) != 0 {
		t.Errorf("left after a wrong digest: %v", left)
	}
}

// TestRefused: whole files with the right digest that are no models.
func TestRefused(t *testing.T) {
	t.Parallel()
	good := model(t, "x", 100)
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"pickle", []byte("\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix"), "pickle"},
		{"zipped pickle", archive(t, entry{name: "archive/data.pkl", data: []byte("\x80\x02")}), "zip archive"},
		{"web page", []byte("\n<!DOCTYPE html><html>login</html>"), "web page"},
		{"safetensors", []byte("\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":1}         "), "lone safetensors"},
		{"empty", nil, "empty"},
		{"noise", []byte("something else entirely"), "unknown kind"},
		{"cut off", good[:len(good)-100], "not a usable GGUF file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := store(t, dir, one(tt.data))
			err := s.Pull(t.Context(), catalog.Weights{ID: "m", Source: catalog.Source{SHA256: sum(tt.data)}}, nil)
			if !errors.Is(err, weights.ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want ErrRefused with %q", err, tt.want)
			}
			if path, ok := s.Path("m"); ok {
				t.Errorf("%s counts as a model", path)
			}
			if left := tree(t, dir); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
			if strings.HasPrefix(tt.name, "cut") {
				return
			}
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.Import(t.Context(), "m", path, nil); err == nil {
				t.Error("import takes it")
			}
		})
	}
}

func TestTerms(t *testing.T) {
	t.Parallel()
	b := model(t, "x", 10)
	s := store(t, t.TempDir(), one(b))
	w := catalog.Weights{ID: "m", Terms: true, LicenseURL: "https://example.com/terms"}
	err := s.Pull(t.Context(), w, nil)
	if !errors.Is(err, weights.ErrTerms) || !strings.Contains(err.Error(), w.LicenseURL) {
		t.Fatalf("error %v, want ErrTerms with the address", err)
	}
	if err := s.Accept("m", "https://example.com/older"); err != nil {
		t.Fatal(err)
	}
	if err := s.Pull(t.Context(), w, nil); !errors.Is(err, weights.ErrTerms) {
		t.Fatalf("other terms were accepted: %v", err)
	}
	if err := s.Accept("m", w.LicenseURL); err != nil {
		t.Fatal(err)
	}
	if err := s.Pull(t.Context(), w, nil); err != nil || !s.Accepted("m", w.LicenseURL) {
		t.Fatalf("after consent: %v", err)
	}
}

// TestDamage: what does not look as it was installed does not count.
func TestDamage(t *testing.T) {
	t.Parallel()
	b := model(t, "x", 100)
	for name, damage := range map[string]func(dir string) error{
		"file gone":       func(dir string) error { return os.Remove(filepath.Join(dir, "m", sum(b)+".gguf")) },
		"file shorter":    func(dir string) error { return os.Truncate(filepath.Join(dir, "m", sum(b)+".gguf"), 50) },
		"manifest gone":   func(dir string) error { return os.Remove(filepath.Join(dir, "m", "manifest.json")) },
		"manifest cut":    func(dir string) error { return os.Truncate(filepath.Join(dir, "m", "manifest.json"), 20) },
		"manifest stolen": func(dir string) error { return os.Rename(filepath.Join(dir, "m"), filepath.Join(dir, "n")) },
		"file a link": func(dir string) error {
			path := filepath.Join(dir, "m", sum(b)+".gguf")
			if err := os.Rename(path, filepath.Join(dir, "elsewhere")); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(dir, "elsewhere"), path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			src := one(b)
			s := store(t, dir, src)
			w := catalog.Weights{ID: "m"}
			if err := s.Pull(t.Context(), w, nil); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"m", "n"} {
				if path, ok := s.Path(id); ok {
					t.Errorf("%s still counts", path)
				}
				if _, err := s.Show(id); err == nil {
					t.Errorf("%s is still shown", id)
				}
			}
			if l, err := s.List(); err != nil || len(l) != 0 {
				t.Errorf("list %v, %v", l, err)
			}
			if err := s.Pull(t.Context(), w, nil); err != nil || src.count() != 2 {
				t.Errorf("repair: %v", err)
			}
			if _, ok := s.Path("m"); !ok {
				t.Error("not repaired")
			}
		})
	}
}

func TestVerifyFindsChange(t *testing.T) {
	t.Parallel()
	b := model(t, "x", 100)
	s := store(t, t.TempDir(), one(b))
	if err := s.Pull(t.Context(), catalog.Weights{ID: "m"}, nil); err != nil {
		t.Fatal(err)
	}
	path, _ := s.Path("m")
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), "m", nil); !errors.Is(err, weights.ErrDigest) {
		t.Errorf("error %v, want ErrDigest", err)
	}
	if err := s.Verify(t.Context(), "other", nil); !errors.Is(err, weights.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	s := store(t, t.TempDir(), one(model(t, "x", 1)))
	for _, id := range []string{"", ".", "..", ".partial", "-x", "a/b", `a\b`, "a b", "a:b", "ä", "a\x00", strings.Repeat("a", 129)} {
		errs := []error{
			s.Pull(t.Context(), catalog.Weights{ID: id}, nil), s.Import(t.Context(), id, os.DevNull, nil),
			s.Remove(t.Context(), id), s.Accept(id, ""),
		}
		_, err := s.Show(id)
		for i, err := range append(errs, err) {
			if err == nil || !strings.Contains(err.Error(), "weights id") {
				t.Errorf("%q, call %d: error %v", id, i, err)
			}
		}
		if _, ok := s.Path(id); ok || s.Accepted(id, "") {
			t.Errorf("%q is there", id)
		}
	}
	for _, id := range []string{"a", "A1", "smollm2-135m_instruct.v1", strings.Repeat("a", 128)} {
		if err := weights.CheckID(id); err != nil {
			t.Error(err)
		}
	}
}

func TestNoSource(t *testing.T) {
	t.Parallel()
	s := store(t, t.TempDir(), one(nil))
	err := s.Pull(t.Context(), catalog.Weights{ID: "m", Source: catalog.Source{URL: "none"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "no known kind") {
		t.Errorf("error %v", err)
	}
	bare, err := weights.New(weights.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := bare.Pull(t.Context(), catalog.Weights{ID: "m"}, nil); err == nil || !strings.Contains(err.Error(), "cannot download") {
		t.Errorf("error %v", err)
	}
	if _, err := weights.New(weights.Config{}); err == nil {
		t.Error("a store without a folder")
	}
}

// TestImport takes the three forms of a local model through the real copier.
func TestImport(t *testing.T) {
	t.Parallel()
	converted := model(t, "Converted", 50)
	var saw []string
	var mu sync.Mutex
	dir := t.TempDir()
	s, err := weights.New(weights.Config{
		Dir: filepath.Join(dir, "models"), Sources: []weights.Source{file.Source{}}, Fetch: fetch.New(fetch.Config{}),
		Convert: func(_ context.Context, src fs.FS, dst *os.File) error {
			mu.Lock()
			defer mu.Unlock()
			saw = nil
			if err := fs.WalkDir(src, ".", func(path string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					saw = append(saw, path)
				}
				return err
			}); err != nil {
				return err
			}
			if _, err := src.Open("pytorch_model.bin"); !errors.Is(err, fs.ErrNotExist) {
				t.Error("the converter can open a pickle")
			}
			_, err := dst.Write(converted)
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	plain := model(t, "Plain", 20)
	gg := filepath.Join(dir, "m.gguf")
	folder := filepath.Join(dir, "folder")
	zipped := filepath.Join(dir, "m.zip")
	files := []entry{
		{name: "config.json", data: []byte("{}")}, {name: "model.safetensors", data: []byte("12345678")},
		{name: "1_Pooling/config.json", data: []byte("{}")}, {name: "pytorch_model.bin", data: []byte("\x80\x04")},
		{name: "run.py", data: []byte("import os")},
	}
	for _, e := range files {
		path := filepath.Join(folder, filepath.FromSlash(e.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, e.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(gg, plain, 0o600), os.WriteFile(zipped, archive(t, files...), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, name string }{{gg, "Plain"}, {folder, "Converted"}, {zipped, "Converted"}, {gg, "Plain"}} {
		if err := s.Import(t.Context(), "m", tt.from, nil); err != nil {
			t.Fatalf("%s: %v", tt.from, err)
		}
		d, err := s.Show("m")
		if err != nil || d.Header.Name != tt.name || !d.Imported || d.Origin != "file:"+tt.from || d.Converted != (tt.name == "Converted") {
			t.Errorf("%s: %+v, %v", tt.from, d.Manifest, err)
		}
		if err := s.Verify(t.Context(), "m", nil); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff([]string{"1_Pooling/config.json", "config.json", "model.safetensors"}, saw); d != "" {
		t.Errorf("the converter saw (-want +got):\n%s", d)
	}
	// What was imported by hand stays, whatever the catalogue says.
	if err := s.Pull(t.Context(), catalog.Weights{ID: "m", Source: catalog.Source{SHA256: sum(converted)}}, nil); err != nil {
		t.Errorf("pull of an imported id: %v", err)
	}
	if err := s.Import(t.Context(), "m", filepath.Join(dir, "missing"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	// The original may change; the copy does not.
	if err := os.WriteFile(gg, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), "m", nil); err != nil {
		t.Error(err)
	}
}

// TestFolderSafety: a link in a model folder that leads out of it is not read,
// and a folder is no GGUF model.
func TestFolderSafety(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret.json"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "folder")
	if err := errors.Join(os.Mkdir(folder, 0o700), os.Symlink("../secret.json", filepath.Join(folder, "config.json"))); err != nil {
		t.Fatal(err)
	}
	s, err := weights.New(weights.Config{
		Dir: filepath.Join(dir, "models"), Sources: []weights.Source{file.Source{}}, Fetch: fetch.New(fetch.Config{}),
		Convert: func(_ context.Context, src fs.FS, _ *os.File) error {
			_, err := fs.ReadFile(src, "config.json")
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Import(t.Context(), "m", folder, nil); err == nil {
		t.Error("a link out of the folder was followed")
	}
	if err := s.Pull(t.Context(), catalog.Weights{ID: "m", Source: catalog.Source{File: folder}}, nil); !errors.Is(err, weights.ErrRefused) {
		t.Errorf("a folder as GGUF: %v", err)
	}
}

// TestTwoPulls: of two pulls of the same id, by stores that know nothing of each
// other, one downloads and the other waits.
func TestTwoPulls(t *testing.T) {
	t.Parallel()
	b := model(t, "x", 100)
	dir := t.TempDir()
	first, second := one(b), one(b)
	first.block, first.begun = make(chan struct{}), make(chan struct{})
	waiting := make(chan string, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if err := store(t, dir, first).Pull(t.Context(), catalog.Weights{ID: "m"}, nil); err != nil {
			t.Error(err)
		}
	})
	<-first.begun // the first holds the lock
	wg.Go(func() {
		if err := store(t, dir, second).Pull(t.Context(), catalog.Weights{ID: "m"}, tell(waiting)); err != nil {
			t.Error(err)
		}
		if second.count() != 0 {
			t.Error("the second pull downloaded too")
		}
	})
	if name := <-waiting; !strings.Contains(name, "wait for another outcrop") {
		t.Errorf("the waiting one shows %q", name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store(t, dir, second).Remove(ctx, "m"); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is cancelled: %v", err)
	}
	close(first.block)
}

// tell is a Progress that sends the names of steps.
type tell chan string

func (c tell) Start(name string, _ int64) weights.Step {
	select {
	case c <- name:
	default:
	}
	return weights.Silent.Start(name, 0)
}

// TestFailureKeeps: an error in a download leaves the beginning for the next
// pull, and what belongs to other parts is swept away.
func TestFailureKeeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := model(t, "x", 100)
	src := one(b)
	s := store(t, dir, src)
	src.err = errors.New("cut")
	if err := s.Pull(t.Context(), catalog.Weights{ID: "m"}, nil); err == nil || !strings.Contains(err.Error(), "cut") {
		t.Fatalf("error %v", err)
	}
	part := filepath.Join(dir, ".partial", "m", "00-"+sum(b)[:20]+".part")
	stale := filepath.Join(dir, ".partial", "m", "00-older.part")
	if err := errors.Join(os.WriteFile(part, b[:10], 0o600), os.WriteFile(stale, b[:10], 0o600)); err != nil {
		t.Fatal(err)
	}
	_ = s.Pull(t.Context(), catalog.Weights{ID: "m"}, nil)
	if d := cmp.Diff([]string{".partial/m/" + filepath.Base(part)}, tree(t, dir)); d != "" {
		t.Errorf("kept (-want +got):\n%s", d)
	}
	if err := s.Remove(t.Context(), "m"); err != nil || len(tree(t, dir)) != 0 {
		t.Errorf("remove of a beginning: %v, left %v", err, tree(t, dir))
	}
}
