package llamacpp_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// doomedServer runs the real engine until it is killed. It prints the engine's
// process id as soon as there is one, or, told to wait, once it makes tokens.
func doomedServer() int {
	launcher, err := sandbox.Self()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	file := llamacpp.File{Path: os.Getenv("DOOMED_MODEL"), Mode: engine.Chat}
	e := llamacpp.New(llamacpp.Config{
		Weights: llamacpp.WeightsFunc(func(context.Context, string) (llamacpp.File, error) { return file, nil }),
		Installer: llamacpp.InstallerFunc(func(context.Context) (llamacpp.Host, error) {
			return llamacpp.Host{Python: os.Getenv("DOOMED_PYTHON"), Site: os.Getenv("DOOMED_SITE"), Build: "x"}, nil
		}),
		Slots: 1, MaxContext: 512, Threads: 1, MemoryLimit: -1, RunDir: os.Getenv("DOOMED_DIR"),
		Sandbox: &llamacpp.Sandbox{Launcher: launcher},
	})
	ctx := context.Background()
	go func() { _ = e.Run(ctx) }()
	show := func() bool {
		s := e.Status()
		if len(s) == 0 || s[0].PID == 0 {
			return false
		}
		fmt.Println(s[0].PID)
		return true
	}
	if os.Getenv("DOOMED_WHEN") == "loading" {
		go func() {
			for !show() {
				time.Sleep(time.Millisecond)
			}
		}()
	}
	for {
		for _, err := range e.Generate(ctx, chatTarget("x"), enginetest.Ask("Tell me a story", 300)) {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			if os.Getenv("DOOMED_WHEN") == "streaming" {
				show()
			}
		}
	}
}

// No engine outlives a killed server by more than a second, whether it was
// loading or making tokens.
func TestNoOrphans(t *testing.T) {
	t.Parallel()
	r := theReal(t)
	for _, when := range []string{"loading", "streaming"} {
		// Not in parallel: this test has its turn, and those that wait for one may
		// hold all places for parallel tests.
		t.Run(when, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe) // #nosec G204 -- this test binary
			cmd.Env = append(os.Environ(), roleVar+"=server", "DOOMED_WHEN="+when, "DOOMED_MODEL="+r.files[chatWeights].Path,
				"DOOMED_PYTHON="+r.host.Python, "DOOMED_SITE="+r.host.Site, "DOOMED_DIR="+shortDir(t))
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			pid, convErr := strconv.Atoi(strings.TrimSpace(line))
			kill9(t, cmd.Process.Pid)
			_ = cmd.Wait()
			if err != nil || convErr != nil {
				t.Fatalf("the server said %q: %v", line, err)
			}
			end := time.Now().Add(time.Second)
			for alive(pid) {
				if time.Now().After(end) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					t.Fatalf("engine process %d is alive 1 s after its server was killed", pid)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
}

// alive is false for zombies too: in a container nobody may reap them.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err) || !exists("/proc/self")
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
