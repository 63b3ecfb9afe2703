// Package fs keeps objects as files of one folder:
// <folder>/<account>/<bucket>/<key, escaped>. The folder belongs to Outcrop
// alone; its files are 0600 in folders of 0700.
package fs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/object"
)

// Store keeps objects in one folder. It implements object.Store.
//
// No name reaches the file system unescaped, and each bucket is opened as a root
// of its own, so not even a symbolic link that somebody put there leads out of it.
type Store struct {
	root *os.Root
}

// stale is the age at which a temporary file belongs to nobody any more.
const stale = 24 * time.Hour

// tempPrefix begins the names of files that are being written. It is no mark of
// an encoded key.
const tempPrefix = "tmp."

// Open uses the folder dir, which it makes when it is missing, and removes what
// writers that died more than a day ago left behind.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	s := &Store{root: root}
	if err := s.sweep(time.Now().Add(-stale)); err != nil {
		_ = root.Close() // the first error tells more
		return nil, fmt.Errorf("object store: %w", err)
	}
	return s, nil
}

// Close gives the folder back. What Get has opened stays readable.
func (s *Store) Close() error { return s.root.Close() }

func (s *Store) sweep(before time.Time) error {
	buckets, err := iofs.Glob(s.root.FS(), "*/*")
	if err != nil {
		return err
	}
	for _, b := range buckets {
		entries, err := iofs.ReadDir(s.root.FS(), b)
		if err != nil {
			continue // not a folder, so not a bucket
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !strings.HasPrefix(e.Name(), tempPrefix) || info.ModTime().After(before) {
				continue
			}
			if err := s.root.Remove(path.Join(b, e.Name())); err != nil && !errors.Is(err, iofs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// CreateBucket implements object.Store.
func (s *Store) CreateBucket(ctx context.Context, account, bucket string) error {
	if err := errors.Join(ctx.Err(), object.CheckAccount(account), object.CheckBucket(bucket)); err != nil {
		return err
	}
	if err := s.root.Mkdir(account, 0o700); err != nil && !errors.Is(err, iofs.ErrExist) {
		return fmt.Errorf("create bucket: %w", err)
	}
	err := s.root.Mkdir(account+"/"+bucket, 0o700)
	switch {
	case errors.Is(err, iofs.ErrExist):
		return object.ErrBucketExists
	case err != nil:
		return fmt.Errorf("create bucket: %w", err)
	}
	if err := errors.Join(syncDir(s.root, "."), syncDir(s.root, account)); err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	return nil
}

// bucket opens the folder of a bucket as a root of its own.
func (s *Store) bucket(ctx context.Context, account, bucket string) (*os.Root, error) {
	if err := errors.Join(ctx.Err(), object.CheckAccount(account), object.CheckBucket(bucket)); err != nil {
		return nil, err
	}
	name := account + "/" + bucket
	info, err := s.root.Lstat(name)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, object.ErrNoBucket
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	root, err := s.root.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	return root, nil
}

// Get implements object.Store.
func (s *Store) Get(ctx context.Context, account string, ref object.Ref) (io.ReadCloser, object.Info, error) {
	if err := object.CheckKey(ref.Key); err != nil {
		return nil, object.Info{}, err
	}
	b, err := s.bucket(ctx, account, ref.Bucket)
	if err != nil {
		return nil, object.Info{}, err
	}
	defer b.Close() // #nosec G104 -- opened for reading
	name := encodeKey(ref.Key)
	info, err := b.Lstat(name)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, object.Info{}, object.ErrNotFound
	}
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("get object: %w", err)
	}
	f, err := b.Open(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, object.Info{}, object.ErrNotFound
	}
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("get object: %w", err)
	}
	if info, err = f.Stat(); err != nil {
		_ = f.Close() // the first error tells more
		return nil, object.Info{}, fmt.Errorf("get object: %w", err)
	}
	return &reader{ctx: ctx, f: f}, infoOf(ref.Key, info), nil
}

func infoOf(key string, info iofs.FileInfo) object.Info {
	return object.Info{Key: key, Size: info.Size(), Modified: info.ModTime().UTC()}
}

// reader reads an object until the caller of Get goes away.
type reader struct {
	ctx context.Context
	f   *os.File
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.f.Read(p)
}

func (r *reader) Close() error { return r.f.Close() }

// Delete implements object.Store.
func (s *Store) Delete(ctx context.Context, account string, ref object.Ref) error {
	if err := object.CheckKey(ref.Key); err != nil {
		return err
	}
	b, err := s.bucket(ctx, account, ref.Bucket)
	if err != nil {
		return err
	}
	defer b.Close() // #nosec G104 -- opened for reading
	name := encodeKey(ref.Key)
	err = b.Remove(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	dir := path.Dir(name)
	if err := syncDir(b, dir); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("delete object: %w", err)
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if b.Remove(dir) != nil { // not empty: another object lives there
			break
		}
	}
	return nil
}

// Put implements object.Store.
func (s *Store) Put(ctx context.Context, account string, ref object.Ref, r io.Reader, o object.Options) error {
	if err := object.CheckKey(ref.Key); err != nil {
		return err
	}
	b, err := s.bucket(ctx, account, ref.Bucket)
	if err != nil {
		return err
	}
	defer b.Close() // #nosec G104 -- what was written is synced by then
	temp := tempPrefix + rand.Text()
	if err := write(ctx, b, temp, r, o.MaxBytes); err != nil {
		_ = b.Remove(temp) // the next Open removes it else
		return err
	}
	if err := publish(b, temp, encodeKey(ref.Key), o.IfAbsent); err != nil {
		_ = b.Remove(temp)
		return err
	}
	return nil
}

// write makes the file temp of all that r gives, at most limit bytes.
func write(ctx context.Context, b *os.Root, temp string, r io.Reader, limit int64) error {
	if limit <= 0 || limit > object.MaxBytes {
		limit = object.MaxBytes
	}
	f, err := b.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	n, err := io.Copy(f, io.LimitReader(&source{ctx: ctx, r: r}, limit+1))
	if err == nil && n > limit {
		err = object.ErrTooLarge
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return nil
}

// source reads what is put until the caller of Put goes away.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// publish gives the file temp its name. A Delete beside it may take away the
// empty folder that was made a moment ago; then it is made once more.
func publish(b *os.Root, temp, name string, ifAbsent bool) error {
	dir := path.Dir(name)
	fresh := dir // the highest folder whose names may be new
	for try := 0; ; try++ {
		fresh = existing(b, fresh)
		err := b.MkdirAll(dir, 0o700)
		if err == nil {
			if ifAbsent {
				err = b.Link(temp, name)
			} else {
				err = b.Rename(temp, name)
			}
		}
		switch {
		case errors.Is(err, iofs.ErrNotExist) && try < 100:
			continue
		case ifAbsent && errors.Is(err, iofs.ErrExist):
			return object.ErrExists
		case err != nil:
			return fmt.Errorf("put object: %w", err)
		}
		break
	}
	if ifAbsent {
		if err := b.Remove(temp); err != nil {
			return fmt.Errorf("put object: %w", err)
		}
	}
	for ; ; dir = path.Dir(dir) {
		if err := syncDir(b, dir); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return fmt.Errorf("put object: %w", err)
		}
		if dir == fresh || dir == "." {
			return nil
		}
	}
}

// existing is the lowest folder on the way to dir that is there.
func existing(b *os.Root, dir string) string {
	for dir != "." {
		if _, err := b.Lstat(dir); err == nil {
			break
		}
		dir = path.Dir(dir)
	}
	return dir
}
