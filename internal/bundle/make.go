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
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/weights"
)

// Source is where the parts of a bundle lie.
type Source struct {
	Weights  *weights.Store
	Models   string // folder of Weights
	Engine   string // folder of the unpacked engine; "" leaves it out
	Build    string // what the engine is, for people
	Catalog  string // the operator's catalogue; "" without
	Outcrop  string // version of this program
	Platform string // GOOS/GOARCH
	Now      func() time.Time
}

// part is a file on its way into a bundle.
type part struct {
	File
	from string
}

// Make packs the engine, the catalogue and the weights with these ids into the
// file out, which appears whole or not at all. It returns what it packed and the
// sha256 of the file, hex.
//
// Errors: weights that are not installed, or whose file is not the one that was
// installed.
func (s Source) Make(ctx context.Context, out string, ids []string, p weights.Progress) (*Manifest, string, error) {
	m := &Manifest{Format: format, Made: s.Now().UTC().Truncate(time.Second), Outcrop: s.Outcrop, Platform: s.Platform, Models: ids, Catalog: s.Catalog != ""}
	if s.Engine != "" {
		m.Engine = s.Build
	}
	parts, err := s.collect(ctx, ids, p)
	if err != nil {
		return nil, "", err
	}
	for _, f := range parts {
		m.Files = append(m.Files, f.File)
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("make a bundle: %w", err)
	}
	if _, err := readManifest(b); err != nil { // what cannot be installed must not be made
		return nil, "", err
	}
	tmp, err := os.CreateTemp(filepath.Dir(out), ".bundle-*")
	if err != nil {
		return nil, "", fmt.Errorf("make a bundle: %w", err)
	}
	defer os.Remove(tmp.Name())
	sum := sha256.New()
	err = write(ctx, io.MultiWriter(tmp, sum), out, m, b, parts, p)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), out)
	}
	if err != nil {
		return nil, "", fmt.Errorf("make a bundle: %w", weights.Explain(err, filepath.Dir(out)))
	}
	return m, hex.EncodeToString(sum.Sum(nil)), nil
}

// collect finds the files and their digests. Those of weights are known from
// their manifests and checked while they are packed.
func (s Source) collect(ctx context.Context, ids []string, p weights.Progress) ([]part, error) {
	var parts []part
	if s.Catalog != "" {
		f, err := digested(ctx, s.Catalog, catalogName)
		if err != nil {
			return nil, err
		}
		parts = append(parts, f)
	}
	if s.Engine != "" {
		step := p.Start("engine: check", 0)
		files, err := s.engine(ctx)
		step.Done(err)
		if err != nil {
			return nil, err
		}
		parts = append(parts, files...)
	}
	for _, id := range ids {
		names, err := s.Weights.Files(id)
		if err != nil {
			return nil, err
		}
		files, err := s.model(ctx, names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		parts = append(parts, files...)
	}
	return parts, nil
}

func (s Source) engine(ctx context.Context) ([]part, error) {
	var parts []part
	err := filepath.WalkDir(s.Engine, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("the engine's folder holds %s, which is no plain file", at)
		}
		rel, err := filepath.Rel(s.Engine, at)
		if err != nil {
			return err
		}
		f, err := digested(ctx, at, engineRoot+filepath.ToSlash(rel))
		parts = append(parts, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pack the engine: %w", err)
	}
	return parts, nil
}

// model reads the digests of model files out of the manifests beside them.
func (s Source) model(ctx context.Context, names []string) ([]part, error) {
	var parts []part
	sums := map[string]string{}
	for _, name := range names {
		at, inside := filepath.Join(s.Models, name), modelsRoot+filepath.ToSlash(name)
		if filepath.Base(name) == "manifest.json" {
			f, err := digested(ctx, at, inside)
			if err != nil {
				return nil, err
			}
			parts = append(parts, f)
			text, err := os.ReadFile(at) // #nosec G304 -- a path of the store
			if err != nil {
				return nil, err
			}
			_, file, sum, err := weights.CheckManifest(text)
			if err != nil {
				return nil, err
			}
			sums[file] = sum
			continue
		}
		info, err := os.Stat(at)
		if err != nil {
			return nil, err
		}
		sum := sums[filepath.Base(name)]
		if sum == "" {
			return nil, fmt.Errorf("%s is not the file of its manifest", name)
		}
		parts = append(parts, part{File{inside, info.Size(), sum}, at})
	}
	return parts, nil
}

// digested reads a file for its digest.
func digested(ctx context.Context, at, inside string) (part, error) {
	f, err := os.Open(at) // #nosec G304 -- a path of the operator or of the store
	if err != nil {
		return part{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, &reader{ctx, f})
	if err != nil {
		return part{}, err
	}
	return part{File{inside, n, hex.EncodeToString(h.Sum(nil))}, at}, nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to learn of it
	r   io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// write packs everything.
func write(ctx context.Context, w io.Writer, name string, m *Manifest, manifest []byte, parts []part, p weights.Progress) error {
	var packed io.WriteCloser = nopCloser{w}
	if strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".tgz") {
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return err
		}
		packed = z
	}
	t := tar.NewWriter(packed)
	step := p.Start("pack", m.Size())
	err := func() error {
		if err := entry(ctx, t, manifestName, int64(len(manifest)), m.Made, bytes.NewReader(manifest), io.Discard); err != nil {
			return err
		}
		for _, f := range parts {
			if err := add(ctx, t, f, m.Made, step); err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
		}
		return errors.Join(t.Close(), packed.Close())
	}()
	step.Done(err)
	return err
}

// add packs one file and checks that it is what the manifest says.
func add(ctx context.Context, t *tar.Writer, f part, at time.Time, step weights.Step) error {
	in, err := os.Open(f.from) // #nosec G304 -- a path of the operator or of the store
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	if err := entry(ctx, t, f.Path, f.Size, at, in, io.MultiWriter(h, counter{step})); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("%w: got %s, installed was %s; outcrop doctor tells what to do", weights.ErrDigest, got, f.SHA256)
	}
	return nil
}

func entry(ctx context.Context, t *tar.Writer, name string, size int64, at time.Time, r io.Reader, seen io.Writer) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: at}); err != nil {
		return err
	}
	n, err := io.CopyBuffer(io.MultiWriter(t, seen), io.LimitReader(&reader{ctx, r}, size), make([]byte, 1<<20))
	if err == nil && n != size {
		err = errors.New("the file became shorter")
	}
	return err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// counter reports what passes to a step.
type counter struct{ step weights.Step }

func (c counter) Write(b []byte) (int, error) {
	c.step.Add(int64(len(b)))
	return len(b), nil
}
