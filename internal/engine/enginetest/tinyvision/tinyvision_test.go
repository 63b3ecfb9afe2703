package tinyvision_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/outcrop/outcrop/internal/engine/enginetest/tinyvision"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// The files are whole, small, and the same each time.
func TestWrite(t *testing.T) {
	t.Parallel()
	var before [][]byte
	for range 2 {
		var now [][]byte
		model, projector, err := tinyvision.Write(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{model, projector} {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			h, err := gguf.Read(bytes.NewReader(b), int64(len(b)))
			if err != nil || h.Tensors == 0 || len(b) > 1<<20 {
				t.Errorf("%s: %d bytes, %v", path, len(b), err)
			}
			now = append(now, b)
		}
		for i := range before {
			if !bytes.Equal(before[i], now[i]) {
				t.Errorf("file %d differs from the one before", i)
			}
		}
		before = now
	}
	if _, _, err := tinyvision.Write(t.TempDir() + "/missing"); err == nil {
		t.Error("written into a folder that is not there")
	}
}
