package weights_test

import (
	"errors"
	"io/fs"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/outcrop/outcrop/internal/weights"
)

func TestSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := weights.Explain(&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, dir)
	if !errors.Is(full, weights.ErrNoSpace) || !strings.Contains(full.Error(), dir) {
		t.Errorf("full disk: %v", full)
	}
	other := errors.New("other")
	if got := weights.Explain(other, dir); got != other {
		t.Errorf("other error: %v", got)
	}
	if weights.Explain(nil, dir) != nil {
		t.Error("no error became one")
	}
	if err := weights.CheckSpace(dir, 1); err != nil {
		t.Errorf("one byte: %v", err)
	}
	if err := weights.CheckSpace(dir, math.MaxInt64); !errors.Is(err, weights.ErrNoSpace) {
		t.Errorf("8 EiB: %v", err)
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 98_362_432: "98.4 MB", 1e9: "1.0 GB", 5e12: "5.0 TB", 4e15: "4000.0 TB",
	} {
		if got := weights.Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
