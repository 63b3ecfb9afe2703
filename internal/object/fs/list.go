package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/object"
)

// List implements object.Store. It reads the folders that can hold the prefix
// and sorts what it finds, so its time grows with the objects there, not with
// the length of the page.
func (s *Store) List(ctx context.Context, account, bucket, prefix string, o object.ListOptions) (object.Page, error) {
	limit := o.Limit
	if limit <= 0 || limit > object.MaxList {
		limit = object.MaxList
	}
	b, err := s.bucket(ctx, account, bucket)
	if err != nil {
		return object.Page{}, err
	}
	defer b.Close() // #nosec G104 -- opened for reading
	w := walk{ctx: ctx, root: b, prefix: prefix, after: o.After}
	if err := w.folder(".", ""); err != nil {
		return object.Page{}, fmt.Errorf("list objects: %w", err)
	}
	slices.SortFunc(w.found, func(a, b found) int { return strings.Compare(a.key, b.key) })
	var page object.Page
	for _, f := range w.found {
		if len(page.Objects) == limit {
			page.More = true
			break
		}
		info, err := b.Lstat(f.path)
		if errors.Is(err, iofs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return object.Page{}, fmt.Errorf("list objects: %w", err)
		}
		page.Objects = append(page.Objects, infoOf(f.key, info))
	}
	return page, nil
}

// walk collects the keys of a bucket.
type walk struct {
	ctx           context.Context
	root          *os.Root
	prefix, after string
	found         []found
}

type found struct{ key, path string }

// folder reads dir, whose path stands for the beginning of its keys.
func (w *walk) folder(dir, begin string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	entries, err := iofs.ReadDir(w.root.FS(), dir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		part, isObject, ok := decodeElement(e.Name())
		key, name := begin+part, e.Name()
		if dir != "." {
			name = dir + "/" + name
		}
		switch {
		case !ok:
		case isObject && e.Type().IsRegular():
			if strings.HasPrefix(key, w.prefix) && key > w.after {
				w.found = append(w.found, found{key, name})
			}
		case !isObject && e.IsDir() && (strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)):
			if err := w.folder(name, key); err != nil {
				return err
			}
		}
	}
	return nil
}
