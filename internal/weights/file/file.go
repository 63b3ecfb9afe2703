// Package file takes weights from this machine.
package file

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
)

// Source resolves paths. The zero value is ready to use.
type Source struct{}

var _ weights.Source = Source{}

// Accepts reports whether s names a path.
func (Source) Accepts(s catalog.Source) bool { return s.File != "" }

// Resolve looks at the path. A file is copied into the store and checked there,
// so that later changes to it do not reach an engine. A folder, which holds a
// safetensors model, is read where it is.
func (Source) Resolve(_ context.Context, s catalog.Source) (weights.Artifact, error) {
	path, err := filepath.Abs(s.File)
	if err != nil {
		return weights.Artifact{}, fmt.Errorf("model file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return weights.Artifact{}, fmt.Errorf("model file: %w", err)
	}
	art := weights.Artifact{Origin: "file:" + path}
	switch {
	case info.IsDir():
		art.Dir = path
	case info.Mode().IsRegular():
		art.Parts = []weights.Part{{URL: address(path), SHA256: s.SHA256, Size: info.Size()}}
	default:
		return weights.Artifact{}, fmt.Errorf("model file: %s is neither a file nor a folder", path)
	}
	return art, nil
}

// address writes an absolute path as a file address.
func address(path string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") { // a drive letter
		slashed = "/" + slashed
	}
	u := url.URL{Scheme: "file", Path: slashed}
	return u.String()
}
