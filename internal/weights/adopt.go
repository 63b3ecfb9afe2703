package weights

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Files are the paths of what is installed for an id, below the store's folder:
// the manifest and the model file, and those of its projector. The error wraps
// ErrNotFound when the weights are not installed.
func (s *Store) Files(id string) ([]string, error) {
	m, err := s.manifest(id)
	if err != nil {
		return nil, err
	}
	all := []string{s.manifestFile(id), s.file(m)}
	for i, path := range all {
		if all[i], err = filepath.Rel(s.root(), path); err != nil {
			return nil, fmt.Errorf("files of %s: %w", id, err)
		}
	}
	if _, ok := s.Projector(id); ok && s.what == "" {
		more, err := s.projectors().Files(id)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// root is the folder of the store that s belongs to.
func (s *Store) root() string {
	if s.what != "" {
		return filepath.Dir(s.c.Dir)
	}
	return s.c.Dir
}

// staged is the store that lies in another folder.
func (s *Store) staged(from string) *Store {
	c := s.c
	c.Dir = from
	return &Store{c: c, what: s.what}
}

// hasProjector reports whether a projector lies in the folder from for an id.
func (s *Store) hasProjector(id, from string) bool {
	_, err := os.Lstat(filepath.Join(from, ".projectors", id))
	return err == nil && s.what == ""
}

// CheckStaged reports whether Adopt would take what lies in the folder from: the
// manifests belong to their files, and those are models of the right kind. Digests
// are not read.
func (s *Store) CheckStaged(id, from string) error {
	if err := CheckID(id); err != nil {
		return err
	}
	if s.hasProjector(id, from) {
		if err := s.projectors().CheckStaged(id, filepath.Join(from, ".projectors")); err != nil {
			return fmt.Errorf("projector: %w", err)
		}
	}
	staged := s.staged(from)
	m, err := staged.manifest(id)
	if err == nil {
		err = staged.checkModel(staged.file(m))
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", id, err)
	}
	return nil
}

// Adopt installs what lies in the folder from, laid out as the store itself and on
// its file system, for an id: its manifest, model file, and projector if it has
// one. The files are moved. Their digests must have been checked by the caller,
// against the manifests too.
func (s *Store) Adopt(ctx context.Context, id, from string, p Progress) error {
	if err := s.CheckStaged(id, from); err != nil {
		return err
	}
	if s.hasProjector(id, from) {
		if err := s.projectors().Adopt(ctx, id, filepath.Join(from, ".projectors"), p); err != nil {
			return fmt.Errorf("projector: %w", err)
		}
	}
	staged := s.staged(from)
	m, err := staged.manifest(id)
	if err != nil {
		return fmt.Errorf("install %s: %w", id, err)
	}
	unlock, err := s.lock(ctx, id, p)
	if err != nil {
		return err
	}
	defer unlock()
	if old, err := s.manifest(id); err == nil && old.SHA256 == m.SHA256 {
		return nil
	}
	if err := s.move(staged, m); err != nil {
		return fmt.Errorf("install %s: %w", id, Explain(err, s.c.Dir))
	}
	return nil
}

// move takes a staged model file, then its manifest, which decides; a crash in
// between leaves the old state.
func (s *Store) move(staged *Store, m Manifest) error {
	if err := os.MkdirAll(s.dir(m.ID), 0o700); err != nil {
		return err
	}
	if err := syncFile(staged.file(m)); err != nil {
		return err
	}
	if err := os.Rename(staged.file(m), s.file(m)); err != nil {
		return err
	}
	if err := syncDir(s.dir(m.ID)); err != nil {
		return err
	}
	b, err := os.ReadFile(staged.manifestFile(m.ID))
	if err != nil {
		return err
	}
	if err := writeFile(s.manifestFile(m.ID), b); err != nil {
		return err
	}
	if err := syncDir(s.c.Dir); err != nil {
		return err
	}
	entries, _ := os.ReadDir(s.dir(m.ID)) // what is left over only costs room
	for _, e := range entries {
		if e.Name() != "manifest.json" && e.Name() != filepath.Base(s.file(m)) {
			_ = os.Remove(filepath.Join(s.dir(m.ID), e.Name()))
		}
	}
	return nil
}

// CheckManifest reads the text of a manifest and returns the id that it is for and
// the name and digest of its model file.
func CheckManifest(text []byte) (id, file, sum string, err error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return "", "", "", fmt.Errorf("manifest: %w", err)
	}
	if raw, err := hex.DecodeString(m.SHA256); err != nil || len(raw) != 32 || CheckID(m.ID) != nil || m.Size < 0 {
		return "", "", "", errors.New("manifest: its id or digest is malformed")
	}
	return m.ID, m.SHA256 + ".gguf", m.SHA256, nil
}
