package datadir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// lockVariable asks the test binary to hold a lock until it is killed.
const lockVariable = "OUTCROP_DATADIR_TEST_LOCK"

func TestMain(m *testing.M) {
	dir := os.Getenv(lockVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := Lock(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("locked")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until killed, or the parent is gone
}

func TestDefault(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // the table is written with slashes
	}
	for name, c := range map[string]struct {
		goos string
		env  map[string]string
		want string
	}{
		"linux":                  {"linux", map[string]string{"HOME": "/home/a"}, "/home/a/.local/share/outcrop"},
		"linux, own data folder": {"linux", map[string]string{"HOME": "/home/a", "XDG_DATA_HOME": "/data"}, "/data/outcrop"},
		"linux, relative folder": {"linux", map[string]string{"HOME": "/home/a", "XDG_DATA_HOME": "data"}, "/home/a/.local/share/outcrop"},
		"linux, no home":         {"linux", nil, ""},
		"macOS":                  {"darwin", map[string]string{"HOME": "/Users/a", "XDG_DATA_HOME": "/data"}, "/Users/a/Library/Application Support/Outcrop"},
		"macOS, no home":         {"darwin", nil, ""},
		"windows":                {"windows", map[string]string{"LocalAppData": "/c/Users/a/AppData/Local"}, "/c/Users/a/AppData/Local/Outcrop"},
		"windows, no folder":     {"windows", map[string]string{"HOME": "/home/a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := defaultFor(c.goos, func(k string) string { return c.env[k] })
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("default = %q, %v; want %q", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "--data") {
				t.Errorf("error %q does not say what to do", err)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // the folder's access list is inherited there
	}
	for name, c := range map[string]struct {
		mode fs.FileMode // of an existing directory; 0 means none
		file string      // in it
		want fs.FileMode // afterwards; 0 means refused
	}{
		"missing":                      {want: 0o700},
		"private":                      {mode: 0o700, file: "x", want: 0o700},
		"empty, open":                  {mode: 0o777, want: 0o700},
		"own, open":                    {mode: 0o755, file: lockFile, want: 0o700},
		"foreign, readable":            {mode: 0o755, file: "x", want: 0o755},
		"foreign, writable":            {mode: 0o777, file: "x"},
		"foreign, writable by a group": {mode: 0o770, file: "x"},
		"empty, shared like /tmp":      {mode: 0o777 | fs.ModeSticky},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "a", "b")
			if c.mode != 0 {
				if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, c.mode)); err != nil {
					t.Fatal(err)
				}
			}
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(dir, c.file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := Create(dir)
			if (err == nil) != (c.want != 0) {
				t.Fatalf("Create = %v, want error: %v", err, c.want == 0)
			}
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if c.want != 0 && info.Mode().Perm() != c.want {
				t.Errorf("mode %v, want %v", info.Mode().Perm(), c.want)
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Create(file); err == nil {
			t.Error("took a file for a directory")
		}
	})
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	busy, ok := errors.AsType[*InUseError](err)
	if !ok || busy.PID != os.Getpid() || busy.Dir != dir {
		t.Fatalf("second lock = %v, want InUseError with this process", err)
	}
	if msg := busy.Error(); !strings.Contains(msg, fmt.Sprint(os.Getpid())) || !strings.Contains(msg, "--data") {
		t.Errorf("message %q does not name the process and what to do", msg)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = Lock(dir)
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if _, err := Lock(filepath.Join(dir, "missing")); err == nil {
		t.Error("locked a missing directory")
	}
}

// The other server is a process of its own, and dies without unlocking.
func TestLockOfAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), self) // #nosec G204 -- this very test binary
	other.Env = append(os.Environ(), lockVariable+"="+dir)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "locked\n" {
		t.Fatalf("other process said %q, %v", line, err)
	}
	_, err = Lock(dir)
	if busy, ok := errors.AsType[*InUseError](err); !ok || busy.PID != other.Process.Pid {
		t.Errorf("Lock = %v, want InUseError with process %d", err, other.Process.Pid)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatalf("lock after the other's death: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestInUseErrorWithoutPID(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"missing": "", "torn": "12x"} {
		path := filepath.Join(t.TempDir(), "pid")
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e := &InUseError{Dir: "/d", PID: readPID(path)}
		if e.PID != 0 || strings.Contains(e.Error(), "process") {
			t.Errorf("%s: %q", name, e.Error())
		}
	}
}
