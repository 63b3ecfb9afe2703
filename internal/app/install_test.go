package app

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Sockets lie where the next server clears them, or nowhere in the data
// directory when no socket can lie there.
func TestSocketDir(t *testing.T) {
	t.Parallel()
	base, err := os.MkdirTemp("", "o") // t.TempDir is too long on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	want := filepath.Join(base, "run")
	for range 2 { // the second time over a left-over probe
		if got := socketDir(base); got != want {
			t.Fatalf("socketDir = %q, want %q", got, want)
		}
		if left, _ := os.ReadDir(want); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(want, "probe.sock"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		_ = l.Close()
	}
	if info, err := os.Stat(want); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := socketDir(filepath.Join(base, strings.Repeat("x", 100))); got != "" {
		t.Errorf("a path that is too long for sockets is used: %q", got)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := socketDir(file); got != "" {
		t.Errorf("a file is used as a folder: %q", got)
	}
}
