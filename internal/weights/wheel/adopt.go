package wheel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/weights"
)

// Adopt installs an unpacked wheel that lies in the folder from, on the same file
// system as dir: it is moved to dir/<version>. The digests of its files must have
// been checked by the caller. A wheel that is installed already stays.
//
// Errors: when the folder is not that wheel, or lacks files of it.
func (i *Installer) Adopt(ctx context.Context, w Wheel, from, dir string, p weights.Progress) error {
	want, err := i.digest(w)
	if err != nil {
		return err
	}
	if !whole(from, w, want) {
		return fmt.Errorf("install %s: the folder does not hold version %s for this machine, or not all of it", w.Package, w.Version)
	}
	unlock, err := weights.Lock(ctx, filepath.Join(dir, ".lock"), "wait for another outcrop that installs "+w.Package, p)
	if err != nil {
		return fmt.Errorf("install %s: %w", w.Package, err)
	}
	defer unlock()
	path := filepath.Join(dir, w.Version)
	if whole(path, w, want) {
		return nil
	}
	if err := errors.Join(os.RemoveAll(path), os.Rename(from, path)); err != nil { // only a damaged one can be there
		return fmt.Errorf("install %s: %w", w.Package, weights.Explain(err, dir))
	}
	return nil
}
