package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/file"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// model is a small GGUF file.
func model(t testing.TB, architecture, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := gguf.Write(&b, []gguf.Pair{{Key: "general.architecture", Value: architecture}, {Key: "general.name", Value: name}},
		[]gguf.Tensor{{Name: "t", Type: gguf.TensorF32, Dims: []uint64{64}, Data: func(w io.Writer) error {
			_, err := w.Write(make([]byte, 256))
			return err
		}}})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t testing.TB, path string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func store(t testing.TB, dir string) *weights.Store {
	t.Helper()
	s, err := weights.New(weights.Config{Dir: dir, Sources: []weights.Source{file.Source{}}, Fetch: fetch.New(fetch.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// installed is an installation with two models, one with a projector, an engine
// and a catalogue.
func installed(t testing.TB) Source {
	t.Helper()
	dir := t.TempDir()
	s := Source{
		Models: filepath.Join(dir, "models"), Engine: filepath.Join(dir, "engine"), Build: "engine 1.0", Catalog: put(t, filepath.Join(dir, "c.yaml"), []byte("models: []\n")),
		Outcrop: "1.2.3", Platform: "linux/amd64", Now: func() time.Time { return time.Date(2026, 11, 22, 8, 0, 0, 5, time.UTC) },
	}
	put(t, filepath.Join(s.Engine, "engine.so"), bytes.Repeat([]byte("engine"), 1000))
	put(t, filepath.Join(s.Engine, "sub", "deep", "x.py"), []byte("pass\n"))
	put(t, filepath.Join(s.Engine, "empty"), nil)
	s.Weights = store(t, s.Models)
	for _, id := range []string{"one", "two"} {
		if err := s.Weights.Import(t.Context(), id, put(t, filepath.Join(dir, id+".gguf"), model(t, "llama", id)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Weights.ImportProjector(t.Context(), "two", put(t, filepath.Join(dir, "p.gguf"), model(t, "clip", "p")), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// empty is a machine without anything; its engine goes to <dir>/engine.
func empty(t testing.TB) (Target, string) {
	t.Helper()
	dir := t.TempDir()
	tg := Target{Models: filepath.Join(dir, "models"), Engines: filepath.Join(dir, "engines"), Catalog: filepath.Join(dir, "catalog.yaml"), Platform: "linux/amd64"}
	tg.Weights = store(t, tg.Models)
	tg.Adopt = func(_ context.Context, folder string, _ weights.Progress) error {
		return os.Rename(folder, filepath.Join(dir, "engine"))
	}
	return tg, dir
}

// tree lists the files below dir with their contents, but for locks.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		switch {
		case strings.Contains(rel, ".locks"):
		case e.IsDir():
			if strings.Contains(rel, ".bundle-") {
				all[rel] = "left over"
			}
		default:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[filepath.ToSlash(rel)] = string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"b.tar", "b.tar.gz", "b.tgz"} {
		src := installed(t)
		out := filepath.Join(t.TempDir(), name)
		made, sum, err := src.Make(t.Context(), out, []string{"one", "two"}, weights.Silent)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if s := sha256.Sum256(b); hex.EncodeToString(s[:]) != sum || (b[0] == 0x1f) != (name != "b.tar") {
			t.Errorf("%s: the digest is not that of the file, or it is not compressed as its name says", name)
		}
		shown, err := Show(out)
		if err != nil || len(shown.Files) != 10 || shown.Engine != "engine 1.0" || !shown.Catalog || fmt.Sprint(shown.Models) != "[one two]" || shown.Size() != made.Size() {
			t.Errorf("%s: %+v, %v", name, shown, err)
		}
		tg, dir := empty(t)
		if _, err := tg.Install(t.Context(), out, strings.ToUpper(sum), weights.Silent); err != nil {
			t.Fatal(err)
		}
		got := tree(t, dir)
		for path, text := range tree(t, src.Models) {
			if got["models/"+path] != text {
				t.Errorf("%s: %s differs", name, path)
			}
		}
		for path, text := range tree(t, src.Engine) {
			if got["engine/"+path] != text {
				t.Errorf("%s: engine's %s differs", name, path)
			}
		}
		if got["catalog.yaml"] != "models: []\n" || len(got) != 10 {
			t.Errorf("%s: %d files, catalogue %q", name, len(got), got["catalog.yaml"])
		}
		for _, id := range []string{"one", "two"} {
			if err := tg.Weights.Verify(t.Context(), id, nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, ok := tg.Weights.Projector("two"); !ok {
			t.Errorf("%s: the projector is missing", name)
		}
		// Once more, over what is there.
		again, err := Show(out)
		if err != nil || again.Engine == "" {
			t.Fatal(err)
		}
		tg.Adopt = func(context.Context, string, weights.Progress) error { return nil } // as the installer: it is there
		if _, err := tg.Install(t.Context(), out, "", weights.Silent); err != nil || len(tree(t, dir)) != 10 {
			t.Errorf("%s: again: %v, %d files", name, err, len(tree(t, dir)))
		}
	}
}

// A part of an installation makes a bundle too.
func TestParts(t *testing.T) {
	t.Parallel()
	src := installed(t)
	src.Engine, src.Catalog = "", ""
	out := filepath.Join(t.TempDir(), "b.tar")
	m, _, err := src.Make(t.Context(), out, []string{"two"}, weights.Silent)
	if err != nil || m.Engine != "" || m.Catalog || len(m.Files) != 4 {
		t.Fatalf("%+v, %v", m, err)
	}
	tg, dir := empty(t)
	tg.Platform = "plan9/mips" // weights run everywhere
	if _, err := tg.Install(t.Context(), out, "", weights.Silent); err != nil || len(tree(t, dir)) != 4 {
		t.Errorf("%v, %v", err, tree(t, dir))
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(s Source)
		ids   []string
		want  error
	}{
		"not installed": {func(Source) {}, []string{"three"}, weights.ErrNotFound},
		"no model":      {func(s Source) { _ = os.RemoveAll(filepath.Join(s.Models, "one")) }, []string{"one"}, weights.ErrNotFound},
		"damaged": {func(s Source) {
			path, _ := s.Weights.Path("one")
			b, _ := os.ReadFile(path)
			b[len(b)-1] ^= 1
			_ = os.WriteFile(path, b, 0o600)
		}, []string{"one"}, weights.ErrDigest},
		"twice": {func(Source) {}, []string{"one", "one"}, ErrBundle},
		"link":  {func(s Source) { _ = os.Symlink("/etc/passwd", filepath.Join(s.Engine, "link")) }, []string{"one"}, nil},
	} {
		src := installed(t)
		c.spoil(src)
		dir := t.TempDir()
		_, _, err := src.Make(t.Context(), filepath.Join(dir, "b.tar"), c.ids, weights.Silent)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if left := tree(t, dir); len(left) != 0 {
			t.Errorf("%s: it leaves %v", name, left)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := installed(t).Make(ctx, filepath.Join(t.TempDir(), "b.tar"), []string{"one"}, weights.Silent); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// forged is a bundle that somebody wrote by hand.
type forged struct {
	manifest Manifest
	names    []string
	data     map[string][]byte
	head     func(i int, h *tar.Header)
	tail     func(t *tar.Writer)
	raw      []byte // in place of the manifest
}

func (f forged) bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	text := f.raw
	if text == nil {
		var err error
		if text, err = json.Marshal(f.manifest); err != nil {
			t.Fatal(err)
		}
	}
	write := func(i int, name string, data []byte) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o600}
		if f.head != nil {
			f.head(i, h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(-1, manifestName, text)
	for i, n := range f.names {
		write(i, n, f.data[n])
	}
	if f.tail != nil {
		f.tail(w)
	}
	_ = w.Close() // a cut archive is a case
	return b.Bytes()
}

// honest is a forged bundle that is in order: one model.
func honest(t testing.TB) forged {
	t.Helper()
	b := model(t, "llama", "m")
	s := sha256.Sum256(b)
	sum := hex.EncodeToString(s[:])
	m, err := json.Marshal(weights.Manifest{ID: "m", SHA256: sum, Delivered: sum, Size: int64(len(b))})
	if err != nil {
		t.Fatal(err)
	}
	f := forged{names: []string{"models/m/manifest.json", "models/m/" + sum + ".gguf"}, data: map[string][]byte{}}
	f.data[f.names[0]], f.data[f.names[1]] = m, b
	f.manifest = Manifest{Format: format, Platform: "linux/amd64", Models: []string{"m"}}
	f.list()
	return f
}

// list makes the manifest say what the data is.
func (f *forged) list() {
	f.manifest.Files = nil
	for _, n := range f.names {
		s := sha256.Sum256(f.data[n])
		f.manifest.Files = append(f.manifest.Files, File{n, int64(len(f.data[n])), hex.EncodeToString(s[:])})
	}
}

// add puts a further file in.
func (f *forged) add(name string, data []byte) {
	f.names = append(f.names, name)
	f.data[name] = data
	f.list()
}

// TestInstallRefuses: whatever is wrong, nothing changes and nothing is left.
func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	tg, _ := empty(t)
	if _, err := tg.Install(t.Context(), put(t, filepath.Join(t.TempDir(), "b"), honest(t).bytes(t)), "", weights.Silent); err != nil {
		t.Fatalf("the honest one: %v", err)
	}
	path := func(name string) func(*forged) { return func(f *forged) { f.add(name, []byte("x")) } }
	cases := map[string]func(*forged){
		"up":              path("models/m/../../evil"),
		"up, at once":     path("../evil"),
		"absolute":        path("/etc/evil"),
		"backslash":       path(`models\m\evil`),
		"up by backslash": path(`models/m/..\..\evil`),
		"drive":           path("C:/evil"),
		"dot":             path("models/m/./x"),
		"two slashes":     path("models/m//x"),
		"empty name":      path(""),
		"NUL": func(f *forged) {
			f.manifest.Files = append(f.manifest.Files, File{"models/m/a\x00b", 0, f.manifest.Files[0].SHA256})
		},
		"line end":            path("models/m/a\nb"),
		"outside of models":   path("root.key"),
		"database":            path("outcrop.db"),
		"another model":       path("models/n/x"),
		"deep in a model":     path("models/m/sub/x"),
		"lock":                path("models/.locks/m.lock"),
		"consent":             path("models/.terms/m.json"),
		"engine, unannounced": path("engine/x"),
		"catalogue, too":      path("catalog.yaml"),
		"same name, folded":   path("models/m/MANIFEST.json"),
		"too long":            path("models/m/" + strings.Repeat("x", 2000)),
		"wrong digest":        func(f *forged) { f.manifest.Files[1].SHA256 = strings.Repeat("00", 32) },
		"no digest":           func(f *forged) { f.manifest.Files[1].SHA256 = "" },
		"upper case digest":   func(f *forged) { f.manifest.Files[1].SHA256 = strings.ToUpper(f.manifest.Files[1].SHA256) },
		"negative size":       func(f *forged) { f.manifest.Files[1].Size = -1 },
		"huge size":           func(f *forged) { f.manifest.Files[1].Size = 1 << 62 },
		"smaller than told":   func(f *forged) { f.manifest.Files[1].Size++ },
		"larger than told":    func(f *forged) { f.manifest.Files[1].Size-- },
		"other order":         func(f *forged) { slices.Reverse(f.names) },
		"a file less":         func(f *forged) { f.names = f.names[:1] },
		"a file more":         func(f *forged) { f.names = append(f.names, "models/m/x"); f.data["models/m/x"] = []byte("x") },
		"no files":            func(f *forged) { f.names, f.manifest.Files = nil, nil },
		"no model file":       func(f *forged) { f.names = f.names[:1]; f.list() },
		"another's manifest": func(f *forged) {
			f.data[f.names[0]] = []byte(`{"id":"n","sha256":"` + strings.Repeat("00", 32) + `"}`)
			f.list()
		},
		"manifest is none": func(f *forged) { f.data[f.names[0]] = []byte(`[]`); f.list() },
		"not a model": func(f *forged) {
			b := []byte("MZ this is a program")
			s := sha256.Sum256(b)
			sum := hex.EncodeToString(s[:])
			f.names = []string{f.names[0], "models/m/" + sum + ".gguf"}
			f.data[f.names[0]] = []byte(fmt.Sprintf(`{"id":"m","sha256":%q,"size":%d}`, sum, len(b)))
			f.data[f.names[1]] = b
			f.list()
		},
		"bad id":           func(f *forged) { f.manifest.Models = []string{"../m"} },
		"id twice":         func(f *forged) { f.manifest.Models = []string{"m", "m"} },
		"id without files": func(f *forged) { f.manifest.Models = append(f.manifest.Models, "n") },
		"other format":     func(f *forged) { f.manifest.Format = 2 },
		"control text":     func(f *forged) { f.manifest.Outcrop = "\x1b[2J" },
		"other platform": func(f *forged) {
			f.manifest.Engine, f.manifest.Platform = "e", "plan9/mips"
			f.add("engine/x", []byte("x"))
		},
		"manifest, no JSON": func(f *forged) { f.raw = []byte("{") },
		"symlink": func(f *forged) {
			f.head = func(i int, h *tar.Header) {
				if i == 1 {
					h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc/passwd", 0
				}
			}
		},
		"hard link": func(f *forged) {
			f.head = func(i int, h *tar.Header) {
				if i == 1 {
					h.Typeflag, h.Linkname, h.Size = tar.TypeLink, "models/m/manifest.json", 0
				}
			}
		},
		"device": func(f *forged) {
			f.head = func(i int, h *tar.Header) {
				if i == 1 {
					h.Typeflag, h.Size = tar.TypeChar, 0
				}
			}
		},
		"manifest is a link": func(f *forged) {
			f.head = func(i int, h *tar.Header) {
				if i == -1 {
					h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc/passwd", 0
				}
			}
		},
		"folder at the end": func(f *forged) {
			f.tail = func(w *tar.Writer) { _ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "x/"}) }
		},
	}
	for name, spoil := range cases {
		f := honest(t)
		spoil(&f)
		refused(t, name, f.bytes(t))
	}
	good := honest(t).bytes(t)
	refused(t, "nothing", nil)
	refused(t, "no archive", []byte(strings.Repeat("nonsense", 1000)))
	refused(t, "cut in the manifest", good[:600])
	refused(t, "cut in a file", good[:len(good)-1500])
	refused(t, "broken gzip", append([]byte{0x1f, 0x8b}, good...))
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(good)
	_ = w.Close()
	refused(t, "cut gzip", z.Bytes()[:z.Len()/2])
	tg, dir := empty(t)
	if _, err := tg.Install(t.Context(), put(t, filepath.Join(t.TempDir(), "b"), good), strings.Repeat("00", 32), weights.Silent); !errors.Is(err, weights.ErrDigest) || len(tree(t, dir)) != 0 {
		t.Errorf("another file's digest: %v, %v", err, tree(t, dir))
	}
	if _, err := tg.Install(t.Context(), filepath.Join(dir, "none"), "", weights.Silent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func refused(t *testing.T, name string, b []byte) {
	t.Helper()
	tg, dir := empty(t)
	_, err := tg.Install(t.Context(), put(t, filepath.Join(t.TempDir(), "b"), b), "", weights.Silent)
	if err == nil {
		t.Errorf("%s: installed", name)
	} else if !errors.Is(err, ErrBundle) && !errors.Is(err, weights.ErrDigest) && !errors.Is(err, weights.ErrRefused) && !errors.Is(err, weights.ErrNoSpace) {
		t.Errorf("%s: %v is of no known kind", name, err)
	}
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("%s: it leaves %v", name, left)
	}
}

// FuzzInstall: any bytes are refused or give what their manifest says, and nothing
// appears outside of its place.
func FuzzInstall(f *testing.F) {
	f.Add(honest(f).bytes(f))
	two := honest(f)
	two.add("models/m/x", []byte("x"))
	f.Add(two.bytes(f))
	up := honest(f)
	up.add("models/m/../../../evil", []byte("x"))
	f.Add(up.bytes(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, m, err := open(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrBundle) {
				t.Fatalf("error %v is of no known kind", err)
			}
			return
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(filepath.FromSlash(file.Path)) || file.Size < 0 || len(file.SHA256) != 64 {
				t.Fatalf("%+v is taken", file)
			}
		}
		tg, dir := empty(t)
		m, err = tg.Install(t.Context(), put(t, filepath.Join(t.TempDir(), "b"), b), "", weights.Silent)
		got := tree(t, dir)
		if err != nil {
			if m != nil && len(got) > len(m.Files) || m == nil && len(got) > 0 {
				t.Fatalf("refused, and left %v", got)
			}
			return
		}
		for path := range got {
			if !strings.HasPrefix(path, "models/") && !strings.HasPrefix(path, "engine") && path != catalogName {
				t.Fatalf("the file %s appeared", path)
			}
		}
		for _, id := range m.Models {
			if _, ok := tg.Weights.Path(id); !ok {
				t.Fatalf("%s is not installed", id)
			}
		}
	})
}
