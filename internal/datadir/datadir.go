// Package datadir finds, makes and locks the one directory that holds all state
// of a server.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// The files that Lock uses. The second one only tells who holds the first, in
// a file of its own because Windows lets nobody read a locked one.
const (
	lockFile = "lock"
	pidFile  = "lock.pid"
)

// Default is the directory that is used when none is named: the user's data
// folder of the operating system.
//
//	Linux    $XDG_DATA_HOME/outcrop, else ~/.local/share/outcrop
//	macOS    ~/Library/Application Support/Outcrop
//	Windows  %LocalAppData%\Outcrop
//
// Other systems are treated as Linux. As its specification says, a relative
// XDG_DATA_HOME is ignored.
//
// Errors: when the environment does not tell where the home directory is.
func Default() (string, error) { return defaultFor(runtime.GOOS, os.Getenv) }

func defaultFor(goos string, getenv func(string) string) (string, error) {
	switch goos {
	case "windows":
		if d := getenv("LocalAppData"); d != "" {
			return filepath.Join(d, "Outcrop"), nil
		}
		return "", errors.New("no data directory: %LocalAppData% is not set; name one with --data")
	case "darwin":
		if home := getenv("HOME"); home != "" {
			return filepath.Join(home, "Library", "Application Support", "Outcrop"), nil
		}
	default:
		if d := getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
			return filepath.Join(d, "outcrop"), nil
		}
		if home := getenv("HOME"); home != "" {
			return filepath.Join(home, ".local", "share", "outcrop"), nil
		}
	}
	return "", errors.New("no data directory: $HOME is not set; name one with --data")
}

// Create makes the directory, and those above it, with mode 0700 when it is
// missing. An existing one that is empty or Outcrop's own is closed to group and
// others.
//
// Errors: when the directory holds other things and other users may write to
// it, as in /tmp: they could replace its files, and it is not Outcrop's to close.
func Create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	if runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	own, err := ours(dir)
	if err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	if own && info.Mode()&fs.ModeSticky == 0 {
		err := os.Chmod(dir, 0o700) // #nosec G302 -- a directory must be entered
		if err != nil {
			return fmt.Errorf("close data directory to other users: %w", err)
		}
		return nil
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("data directory %s may be written by other users: name a new directory with --data", dir)
	}
	return nil
}

// ours reports whether a directory is empty or has been locked by Lock.
func ours(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err == nil, err
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == lockFile }), nil
}

// InUseError says that another server works on the directory.
type InUseError struct {
	Dir string
	PID int // process id of the other server; 0 when it has not told it yet
}

// Error tells who holds the directory and what to do.
func (e *InUseError) Error() string {
	who := "another server"
	if e.PID != 0 {
		who = fmt.Sprintf("another server (process %d)", e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop it first, or start this one with another --data directory", e.Dir, who)
}

// Lock keeps other servers off the directory, which must exist, until unlock or
// the end of the process, however that ends. Child processes do not inherit it.
// Commands that only read or make keys need no lock.
//
// Errors: *InUseError at once when another server has it.
func Lock(dir string) (unlock func() error, err error) {
	pid := filepath.Join(dir, pidFile)
	l := flock.New(filepath.Join(dir, lockFile))
	locked, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if !locked {
		return nil, &InUseError{Dir: dir, PID: readPID(pid)}
	}
	if err := os.WriteFile(pid, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), l.Close())
	}
	return func() error {
		// The lock file stays: removing it would let two servers lock two files.
		err := os.Remove(pid)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err := errors.Join(err, l.Close()); err != nil {
			return fmt.Errorf("unlock data directory: %w", err)
		}
		return nil
	}, nil
}

// readPID returns 0 when the file is missing or unreadable.
func readPID(path string) int {
	text, err := os.ReadFile(path) // #nosec G304 -- inside the operator's directory
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}
