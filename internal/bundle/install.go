package bundle

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/outcrop/outcrop/internal/weights"
)

// Target is where a bundle is installed.
type Target struct {
	Weights *weights.Store
	Models  string // folder of Weights
	Engines string // folder in which the engine is unpacked before Adopt takes it
	// Adopt takes the engine's folder, all digests checked.
	Adopt    func(ctx context.Context, folder string, p weights.Progress) error
	Catalog  string // file that the catalogue of the bundle is written to
	Platform string // GOOS/GOARCH of this machine
}

// Show reads what a bundle says that it holds. It checks no file.
func Show(name string) (*Manifest, error) {
	f, err := os.Open(name) // #nosec G304 -- the operator names this file
	if err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	defer f.Close()
	_, m, err := open(f)
	return m, err
}

// open reads the manifest and returns the archive, which stands behind it.
func open(r io.Reader) (*tar.Reader, *Manifest, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrBundle, err)
		}
		b = bufio.NewReaderSize(z, 1<<20)
	}
	t := tar.NewReader(b)
	h, err := next(t)
	if err != nil {
		return nil, nil, err
	}
	if h.Name != manifestName || h.Size > maxManifest {
		return nil, nil, fmt.Errorf("%w: it does not begin with %s", ErrBundle, manifestName)
	}
	text, err := io.ReadAll(io.LimitReader(t, maxManifest))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	m, err := readManifest(text)
	return t, m, err
}

// next reads the head of the next entry, which must be a plain file.
func next(t *tar.Reader) (*tar.Header, error) {
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it ends too early", ErrBundle)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("%w: %q is not a plain file", ErrBundle, h.Name)
	}
	return h, nil
}

// Install unpacks a bundle, checks every digest, and only then moves the parts to
// their places, each in one step; a bundle that is refused leaves everything as it
// was. What is installed already stays. sum is the sha256 of the bundle's file,
// hex, and is checked before anything is unpacked; "" when it is not known.
//
// Errors wrap ErrBundle, weights.ErrDigest or weights.ErrNoSpace where they apply.
func (t Target) Install(ctx context.Context, name, sum string, p weights.Progress) (*Manifest, error) {
	f, err := os.Open(name) // #nosec G304 -- the operator names this file
	if err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	defer f.Close()
	if err := checkSum(ctx, f, sum, p); err != nil {
		return nil, err
	}
	archive, m, err := open(f)
	if err != nil {
		return nil, err
	}
	if m.Engine != "" && m.Platform != t.Platform {
		return nil, fmt.Errorf("%w: its engine is for %s, this machine is %s", ErrBundle, m.Platform, t.Platform)
	}
	s, err := newStage(t, m)
	if err != nil {
		return nil, err
	}
	defer s.clear()
	step := p.Start("unpack and check", m.Size())
	err = s.unpack(ctx, archive, m, step)
	step.Done(err)
	if err != nil {
		return nil, err
	}
	return m, t.place(ctx, s, m, p)
}

func checkSum(ctx context.Context, f *os.File, want string, p weights.Progress) error {
	if want == "" {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open the bundle: %w", err)
	}
	step := p.Start("check the bundle", info.Size())
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(h, counter{step}), &reader{ctx, f})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if got := hex.EncodeToString(h.Sum(nil)); err == nil && !strings.EqualFold(got, want) {
		err = fmt.Errorf("%w: the bundle has %s, expected is %s", weights.ErrDigest, got, want)
	}
	step.Done(err)
	return err
}

// stage is where files lie until all of them are checked: on the file systems of
// their places, under names that nobody else looks at.
type stage struct {
	models, engine, catalog string // folders; "" for what the bundle lacks
}

func newStage(t Target, m *Manifest) (*stage, error) {
	s := new(stage)
	make := func(dir *string, in string, wanted bool) error {
		if !wanted {
			return nil
		}
		if err := os.MkdirAll(in, 0o700); err != nil {
			return err
		}
		var err error
		*dir, err = os.MkdirTemp(in, ".bundle-")
		return err
	}
	err := errors.Join(
		make(&s.models, t.Models, len(m.Models) > 0),
		make(&s.engine, t.Engines, m.Engine != ""),
		make(&s.catalog, filepath.Dir(t.Catalog), m.Catalog),
	)
	if err == nil && s.models != "" {
		err = weights.CheckSpace(s.models, m.Size())
	}
	if err != nil {
		s.clear()
		return nil, fmt.Errorf("install a bundle: %w", err)
	}
	return s, nil
}

// clear removes what was not moved to its place.
func (s *stage) clear() {
	for _, dir := range []string{s.models, s.engine, s.catalog} {
		if dir != "" {
			_ = os.RemoveAll(dir) // it only costs room
		}
	}
}

// folder is where a file of the bundle is staged, and its path in there.
func (s *stage) folder(name string) (dir, rest string) {
	if rest, ok := strings.CutPrefix(name, modelsRoot); ok {
		return s.models, rest
	}
	if rest, ok := strings.CutPrefix(name, engineRoot); ok {
		return s.engine, rest
	}
	return s.catalog, name
}

// unpack writes all files of the archive, which must be those of the manifest in
// its order.
func (s *stage) unpack(ctx context.Context, archive *tar.Reader, m *Manifest, step weights.Step) error {
	roots := map[string]*os.Root{}
	defer func() {
		for _, r := range roots {
			_ = r.Close() // nothing is written through it any more
		}
	}()
	for _, f := range m.Files {
		h, err := next(archive)
		if err != nil {
			return err
		}
		if h.Name != f.Path || h.Size != f.Size {
			return fmt.Errorf("%w: it holds %q where its manifest has %q", ErrBundle, h.Name, f.Path)
		}
		dir, rest := s.folder(f.Path)
		root := roots[dir]
		if root == nil {
			if root, err = os.OpenRoot(dir); err != nil {
				return fmt.Errorf("unpack the bundle: %w", err)
			}
			roots[dir] = root
		}
		if err := unpackFile(ctx, root, rest, f, archive, step); err != nil {
			return fmt.Errorf("unpack %s: %w", f.Path, weights.Explain(err, dir))
		}
	}
	switch _, err := archive.Next(); {
	case err == nil:
		return fmt.Errorf("%w: it holds more than its manifest says", ErrBundle)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", ErrBundle, err)
	}
	return nil
}

func unpackFile(ctx context.Context, root *os.Root, rest string, f File, r io.Reader, step weights.Step) error {
	if parent := path.Dir(rest); parent != "." {
		if err := root.MkdirAll(filepath.FromSlash(parent), 0o700); err != nil {
			return err
		}
	}
	out, err := root.OpenFile(filepath.FromSlash(rest), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(out, h, counter{step}), io.LimitReader(&reader{ctx, archived{r}}, f.Size), make([]byte, 1<<20))
	err = errors.Join(err, out.Sync(), out.Close())
	if err != nil {
		return err
	}
	if n != f.Size {
		return fmt.Errorf("%w: it ends too early", ErrBundle)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("%w: got %s, want %s", weights.ErrDigest, got, f.SHA256)
	}
	return nil
}

// archived reads from an archive: its errors are the bundle's.
type archived struct{ r io.Reader }

func (a archived) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", ErrBundle, err)
	}
	return n, err
}

// place moves the staged parts to where they belong.
func (t Target) place(ctx context.Context, s *stage, m *Manifest, p weights.Progress) error {
	for _, id := range m.Models {
		if err := s.matches(m, id); err != nil {
			return err
		}
		if err := t.Weights.CheckStaged(id, s.models); err != nil {
			return err
		}
	}
	if m.Engine != "" {
		if err := t.Adopt(ctx, s.engine, p); err != nil {
			return err
		}
	}
	for _, id := range m.Models {
		if err := t.Weights.Adopt(ctx, id, s.models, p); err != nil {
			return err
		}
	}
	if m.Catalog {
		if err := os.Rename(filepath.Join(s.catalog, catalogName), t.Catalog); err != nil {
			return fmt.Errorf("install the catalogue: %w", err)
		}
	}
	return nil
}

// matches checks that the manifests of weights name the files that are beside
// them, whose digests the bundle's own manifest has.
func (s *stage) matches(m *Manifest, id string) error {
	digests := map[string]string{}
	for _, f := range m.Files {
		digests[f.Path] = f.SHA256
	}
	for _, prefix := range []string{"", projectors} {
		text, err := os.ReadFile(filepath.Join(s.models, filepath.FromSlash(prefix), id, "manifest.json")) // #nosec G304 -- the id was checked, the folder is the operator's own
		if err != nil && prefix != "" {
			continue // most weights have no projector
		}
		if err != nil {
			return fmt.Errorf("%w: %s has no manifest", ErrBundle, id)
		}
		own, file, sum, err := weights.CheckManifest(text)
		if err != nil || own != id || digests[modelsRoot+prefix+id+"/"+file] != sum {
			return fmt.Errorf("%w: the manifest of %s does not belong to its file", ErrBundle, id)
		}
	}
	return nil
}
