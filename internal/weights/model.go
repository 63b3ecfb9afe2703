package weights

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/outcrop/outcrop/internal/catalog"
)

// clip is the architecture of projectors.
const clip = "clip"

// checkModel accepts a GGUF file that an engine can load by itself; in a store of
// projectors, one that it can load beside weights.
func (s *Store) checkModel(path string) error {
	if kind, err := magic(path); err != nil {
		return err
	} else if kind != kindGGUF {
		return fmt.Errorf("%w: the file is %s, a model must be GGUF (for safetensors set format: safetensors)", ErrRefused, kind)
	}
	h, err := readHeader(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if h.SplitCount > 1 {
		return fmt.Errorf("%w: the file is one of %d of a split model; merge them first", ErrRefused, h.SplitCount)
	}
	if h.Tensors == 0 {
		return fmt.Errorf("%w: the file holds no tensors", ErrRefused)
	}
	switch projector := h.Architecture == clip; {
	case projector && s.what == "":
		return fmt.Errorf("%w: the file is a projector, which needs the weights that it belongs to", ErrRefused)
	case !projector && s.what != "":
		return fmt.Errorf("%w: the file is no projector (its architecture is %s)", ErrRefused, h.Architecture)
	}
	return nil
}

// sniff tells the format of a file or folder to import.
func sniff(path string) (catalog.Format, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return catalog.Safetensors, nil
	}
	kind, err := magic(path)
	if err != nil {
		return "", err
	}
	switch kind {
	case kindGGUF:
		return catalog.GGUF, nil
	case kindZip:
		return catalog.Safetensors, nil
	}
	return "", fmt.Errorf("%w: the file is %s; GGUF, or a folder or zip with safetensors, is needed", ErrRefused, kind)
}

// kind is what the first bytes of a file say it is, for messages.
type kind string

const (
	kindGGUF        kind = "GGUF"
	kindZip         kind = "a zip archive"
	kindPickle      kind = "a Python pickle, which could run code"
	kindSafetensors kind = "a lone safetensors file, without its config.json and tokenizer.json"
	kindHTML        kind = "a web page"
	kindEmpty       kind = "empty"
	kindUnknown     kind = "of an unknown kind"
)

func magic(path string) (kind, error) {
	f, err := os.Open(path) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return "", fmt.Errorf("open model file: %w", err)
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("read model file: %w", err)
	}
	b = b[:n]
	switch {
	case len(b) == 0:
		return kindEmpty, nil
	case bytes.HasPrefix(b, []byte("GGUF")):
		return kindGGUF, nil
	case bytes.HasPrefix(b, []byte("PK\x03\x04")), bytes.HasPrefix(b, []byte("PK\x05\x06")):
		return kindZip, nil
	case len(b) > 1 && b[0] == 0x80 && b[1] >= 1 && b[1] <= 5:
		return kindPickle, nil
	case len(b) > 9 && b[8] == '{':
		return kindSafetensors, nil
	case bytes.HasPrefix(bytes.TrimSpace(b), []byte("<")):
		return kindHTML, nil
	}
	return kindUnknown, nil
}

// needed reports whether a file of a safetensors model is read by a converter.
// Everything else, pickles above all, is not even unpacked.
func needed(name string) bool {
	dir, base := path.Split(name)
	if dir != "" && base != "config.json" { // "1_Pooling/config.json"
		return false
	}
	return strings.HasSuffix(base, ".safetensors") || strings.HasSuffix(base, ".json") || base == "tokenizer.model"
}

// maxSafetensors bounds an unpacked safetensors model, in bytes.
const maxSafetensors = maxModel

// convertZip unpacks a zipped safetensors model and converts it.
func (s *Store) convertZip(ctx context.Context, id, archive, work string, p Progress) (string, error) {
	kind, err := magic(archive)
	if err != nil {
		return "", err
	}
	if kind != kindZip {
		return "", fmt.Errorf("%w: the file is %s, a safetensors model must come as a zip or a folder", ErrRefused, kind)
	}
	dir := filepath.Join(work, "unzipped")
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("unpack: %w", Explain(err, work))
	}
	step := start(p, id+": unpack", 0)
	err = ExtractTree(ctx, archive, dir, maxSafetensors, needed, step)
	step.Done(err)
	if err != nil {
		return "", err
	}
	return s.convertDir(ctx, id, dir, work, p)
}

// convertDir converts the safetensors model in the folder dir, which may be one
// of the user's.
func (s *Store) convertDir(ctx context.Context, id, dir, work string, p Progress) (_ string, err error) {
	if s.c.Convert == nil {
		return "", fmt.Errorf("%w: safetensors cannot be converted here, use a GGUF file", ErrRefused)
	}
	step := start(p, id+": convert to GGUF", 0)
	defer func() { step.Done(err) }()
	src, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("convert: %w", err)
	}
	defer src.Close()
	out := filepath.Join(work, "converted")
	f, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- a path of the operator or of the store itself
	if err != nil {
		return "", fmt.Errorf("convert: %w", Explain(err, work))
	}
	err = s.c.Convert(ctx, only{src.FS()}, f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("convert: %w", Explain(err, work))
	}
	return out, nil
}
