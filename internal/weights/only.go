package weights

import (
	"io/fs"
	"path"
	"slices"
)

// only shows the files of a safetensors model that a converter needs, and
// hides all others.
type only struct{ fsys fs.FS }

// Open opens a needed file, or a folder.
func (o only) Open(name string) (fs.File, error) {
	f, err := o.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	if !info.IsDir() && (!needed(name) || !info.Mode().IsRegular()) {
		_ = f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f, nil
}

// ReadDir lists folders and needed files.
func (o only) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.fsys, name)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() && !needed(path.Join(name, e.Name()))
	}), nil
}
