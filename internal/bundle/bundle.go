// Package bundle packs what a server needs to run without any network into one
// file, and installs it elsewhere: the unpacked engine, installed weights, the
// operator's catalogue, and a manifest with the digest of everything.
//
// A bundle is a tar archive, compressed with gzip when its name ends in .gz or
// .tgz. Its first entry is the manifest; the files follow in the manifest's order
// and must be what it says. `tar -t` lists it.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/weights"
)

// The names inside a bundle.
const (
	manifestName = "bundle.json"
	modelsRoot   = "models/"
	projectors   = ".projectors/"
	engineRoot   = "engine/"
	catalogName  = "catalog.yaml"
)

// The limits of a bundle. Larger ones are neither made nor read.
const (
	maxManifest = 32 << 20 // bytes
	maxFiles    = 100_000
	maxBytes    = 8 << 40 // of all files
	maxPath     = 1024    // bytes
)

// format is the version of the layout; a reader refuses others.
const format = 1

// ErrBundle is the reason for refusing a file: it is no bundle, is damaged, or
// holds what no bundle may.
var ErrBundle = errors.New("not a usable bundle")

// Manifest tells what a bundle holds.
type Manifest struct {
	Format   int       `json:"format"`
	Made     time.Time `json:"made"`
	Outcrop  string    `json:"outcrop"`          // version of the program that made it
	Platform string    `json:"platform"`         // GOOS/GOARCH that the engine is for
	Engine   string    `json:"engine,omitempty"` // e.g. "llama.cpp in xllamacpp 1.0"; "" without
	Models   []string  `json:"models"`           // ids of weights
	Catalog  bool      `json:"catalogue"`        // the operator's catalogue is in it
	Files    []File    `json:"files"`
}

// File is one file of a bundle.
type File struct {
	Path   string `json:"path"` // with slashes, e.g. "models/smollm2/manifest.json"
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// Size is how many bytes all files have.
func (m *Manifest) Size() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// readManifest checks everything that a manifest says, so that what follows can
// rely on it.
func readManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: its manifest is not readable: %w", ErrBundle, err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("%w: it has format %d, this program reads %d", ErrBundle, m.Format, format)
	}
	for _, text := range []string{m.Outcrop, m.Platform, m.Engine} {
		if len(text) > maxPath || hasControl(text) { // they are shown to people
			return nil, fmt.Errorf("%w: its manifest holds unusual text", ErrBundle)
		}
	}
	if len(m.Files) == 0 || len(m.Files) > maxFiles {
		return nil, fmt.Errorf("%w: it has %d files, 1 to %d are allowed", ErrBundle, len(m.Files), maxFiles)
	}
	models := map[string]bool{}
	for _, id := range m.Models {
		if weights.CheckID(id) != nil || models[id] {
			return nil, fmt.Errorf("%w: %q is no id of weights, or there twice", ErrBundle, id)
		}
		models[id] = true
	}
	seen := map[string]bool{}
	var total int64
	for _, f := range m.Files {
		if err := m.check(f, models); err != nil {
			return nil, err
		}
		fold := strings.ToLower(f.Path) // file systems may not tell them apart
		if seen[fold] {
			return nil, fmt.Errorf("%w: the path %q is there twice", ErrBundle, f.Path)
		}
		seen[fold] = true
		if total += f.Size; total > maxBytes {
			return nil, fmt.Errorf("%w: it holds more than %s", ErrBundle, weights.Bytes(maxBytes))
		}
	}
	return &m, nil
}

// check refuses a file that the manifest's own head does not announce, or whose
// path is unusual.
func (m *Manifest) check(f File, models map[string]bool) error {
	raw, err := hex.DecodeString(f.SHA256)
	if err != nil || len(raw) != sha256.Size || strings.ToLower(f.SHA256) != f.SHA256 || f.Size < 0 || f.Size > maxBytes {
		return fmt.Errorf("%w: size or digest of %q is malformed", ErrBundle, f.Path)
	}
	if len(f.Path) > maxPath || !fs.ValidPath(f.Path) || path.Clean(f.Path) != f.Path || strings.ContainsAny(f.Path, "\\:\x00") || hasControl(f.Path) {
		return fmt.Errorf("%w: it holds the path %q", ErrBundle, f.Path)
	}
	switch {
	case f.Path == catalogName && m.Catalog:
		return nil
	case strings.HasPrefix(f.Path, engineRoot) && m.Engine != "":
		return nil
	case strings.HasPrefix(f.Path, modelsRoot):
		rest := strings.TrimPrefix(strings.TrimPrefix(f.Path, modelsRoot), projectors)
		if id, name, ok := strings.Cut(rest, "/"); ok && models[id] && !strings.Contains(name, "/") {
			return nil
		}
	}
	return fmt.Errorf("%w: it holds the path %q, which nothing announces", ErrBundle, f.Path)
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
