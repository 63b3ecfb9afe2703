package weights_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// model is a small GGUF file; size is how many numbers it holds.
func model(t testing.TB, name string, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	err := gguf.Write(&b, []gguf.Pair{
		{Key: "general.architecture", Value: "llama"},
		{Key: "general.name", Value: name},
		{Key: "llama.context_length", Value: uint32(2048)},
	}, []gguf.Tensor{{Name: "t", Type: gguf.TensorF32, Dims: []uint64{uint64(size)}, Data: func(w io.Writer) error {
		_, err := w.Write(bytes.Repeat([]byte{1, 2, 3, 4}, size))
		return err
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// entry is a file of a zip.
type entry struct {
	name string
	data []byte
	mode fs.FileMode
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if len(e.data) == 0 {
			h.Method = zip.Store
		}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shelf is a source and fetcher over memory: address to contents.
type shelf struct {
	mu      sync.Mutex
	files   map[string][]byte
	art     weights.Artifact
	fetched []string
	err     error         // of the next Fetch
	begun   chan struct{} // closed by the first Fetch that blocks
	block   chan struct{} // blocks Fetch until it is closed
}

func (s *shelf) Accepts(c catalog.Source) bool { return c.File == "" && c.URL != "none" }

func (s *shelf) Resolve(context.Context, catalog.Source) (weights.Artifact, error) {
	return s.art, nil
}

func (s *shelf) Fetch(ctx context.Context, p weights.Part, path string, step weights.Step) (weights.File, error) {
	s.mu.Lock()
	b, ok := s.files[p.URL]
	s.fetched = append(s.fetched, p.URL)
	err, block := s.err, s.block
	s.mu.Unlock()
	if block != nil {
		close(s.begun)
		select {
		case <-block:
		case <-ctx.Done():
			return weights.File{}, ctx.Err()
		}
	}
	if err != nil {
		return weights.File{}, err
	}
	if !ok {
		return weights.File{}, errors.New("no such file")
	}
	if p.SHA256 != "" && p.SHA256 != sum(b) {
		return weights.File{}, weights.ErrDigest
	}
	step.Add(int64(len(b)))
	return weights.File{SHA256: sum(b), Size: int64(len(b))}, os.WriteFile(path, b, 0o600)
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetched)
}

// one is a shelf with one file.
func one(b []byte) *shelf {
	return &shelf{
		files: map[string][]byte{"mem:m": b},
		art:   weights.Artifact{Origin: "mem:m", Parts: []weights.Part{{URL: "mem:m", SHA256: sum(b)}}},
	}
}

func store(t testing.TB, dir string, s *shelf) *weights.Store {
	t.Helper()
	st, err := weights.New(weights.Config{Dir: dir, Sources: []weights.Source{s}, Fetch: s})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// tree lists the files below dir, but for locks.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if rel, _ := filepath.Rel(dir, path); !e.IsDir() && filepath.Dir(rel) != ".locks" {
			out = append(out, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}
