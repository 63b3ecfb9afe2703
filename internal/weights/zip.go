package weights

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Limits on archives. They stop zip bombs long before the disk is full.
const (
	maxEntries = 100_000
	maxRatio   = 200     // unpacked bytes per packed byte of one entry
	ratioFrom  = 1 << 20 // bytes; smaller entries may be packed better
)

// ExtractMember writes the one entry of the zip at path that matches glob (see
// Part.Member) to w, and returns its size. No match, several matches, links
// and entries that unpack to more than max bytes are errors.
func ExtractMember(ctx context.Context, archive, glob string, max int64, w io.Writer, s Step) (int64, error) {
	z, err := openZip(archive)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	f, err := member(z, glob)
	if err != nil {
		return 0, err
	}
	if err := checkEntry(f, max); err != nil {
		return 0, err
	}
	return unpack(ctx, f, w, s)
}

// ExtractTree writes the entries of the zip at path for which keep is true into
// the folder dir, which must exist and be empty. Paths that leave dir, links,
// duplicates, and archives that unpack to more than max bytes are errors.
func ExtractTree(ctx context.Context, archive, dir string, max int64, keep func(name string) bool, s Step) error {
	z, err := openZip(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	seen := make(map[string]struct{})
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, "/")
		if !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsAny(name, "\\\x00:") || path.Clean(name) != name {
			return fmt.Errorf("%w: the archive holds the path %q", ErrRefused, f.Name)
		}
		if strings.HasSuffix(f.Name, "/") || !keep(name) {
			continue
		}
		fold := strings.ToLower(name)
		if _, dup := seen[fold]; dup {
			return fmt.Errorf("%w: the archive holds %q twice", ErrRefused, name)
		}
		seen[fold] = struct{}{}
		if err := checkEntry(f, max); err != nil {
			return err
		}
		max -= int64(f.UncompressedSize64) // #nosec G115 -- checkEntry bounds it
		if err := unpackInto(ctx, root, name, f, s); err != nil {
			return fmt.Errorf("unpack %s: %w", name, Explain(err, dir))
		}
	}
	if len(seen) == 0 {
		return errors.New("the archive holds none of the files that are needed")
	}
	return nil
}

func unpackInto(ctx context.Context, root *os.Root, name string, f *zip.File, s Step) error {
	if parent := path.Dir(name); parent != "." {
		if err := root.MkdirAll(filepath.FromSlash(parent), 0o700); err != nil {
			return err
		}
	}
	mode := fs.FileMode(0o600)
	if f.Mode()&0o100 != 0 {
		mode = 0o700
	}
	out, err := root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = unpack(ctx, f, out, s)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

func openZip(archive string) (*zip.ReadCloser, error) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	if len(z.File) > maxEntries {
		_ = z.Close()
		return nil, fmt.Errorf("%w: the archive has %d entries, at most %d are allowed", ErrRefused, len(z.File), maxEntries)
	}
	return z, nil
}

// member finds the one entry that matches glob.
func member(z *zip.ReadCloser, glob string) (*zip.File, error) {
	var found *zip.File
	for _, f := range z.File {
		name := f.Name
		if !strings.Contains(glob, "/") {
			name = path.Base(name)
		}
		ok, err := path.Match(glob, name)
		if err != nil {
			return nil, fmt.Errorf("member pattern %q: %w", glob, err)
		}
		if !ok || strings.HasSuffix(f.Name, "/") {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the archive has several members like %q: %s and %s", glob, found.Name, f.Name)
		}
		found = f
	}
	if found == nil {
		return nil, fmt.Errorf("the archive has no member like %q", glob)
	}
	return found, nil
}

// checkEntry refuses entries that are not plain files or that grow too much.
func checkEntry(f *zip.File, max int64) error {
	if !f.Mode().IsRegular() {
		return fmt.Errorf("%w: %q in the archive is not a plain file", ErrRefused, f.Name)
	}
	if max < 0 || f.UncompressedSize64 > uint64(max) {
		return fmt.Errorf("%w: %q unpacks to %d bytes, more than allowed", ErrRefused, f.Name, f.UncompressedSize64)
	}
	if f.UncompressedSize64 > ratioFrom && f.UncompressedSize64/maxRatio > f.CompressedSize64 {
		return fmt.Errorf("%w: %q unpacks to more than %d times its size", ErrRefused, f.Name, maxRatio)
	}
	return nil
}

// unpack writes an entry, at most the bytes that it declares; the archive's
// own checksum is verified on the way.
func unpack(ctx context.Context, f *zip.File, w io.Writer, s Step) (int64, error) {
	r, err := f.Open()
	if err != nil {
		return 0, fmt.Errorf("open %s in the archive: %w", f.Name, err)
	}
	defer r.Close()
	declared := int64(f.UncompressedSize64) // #nosec G115 -- checkEntry bounds it
	n, err := copyTo(ctx, w, io.LimitReader(r, declared+1), s)
	if err != nil {
		return n, err
	}
	if n != declared {
		return n, fmt.Errorf("%w: %q does not have the size that the archive declares", ErrRefused, f.Name)
	}
	return n, nil
}
