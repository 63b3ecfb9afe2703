package llamacpp

import (
	"net"
	"os"
	"testing"
)

// TestFence starts a program in the engine's place that tries to reach what the
// engine must not: a listener of this machine, and a name server outside. Nothing
// arrives, while the same program reaches the listener without the fence.
func TestFence(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	arrived := make(chan struct{}, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			arrived <- struct{}{}
		}
	}()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "OUTCROP_TEST_ROLE=prober", "OUTCROP_TEST_PROBE="+l.Addr().String()+" 192.0.2.1:53")
	open, err := fork([]string{exe}, env, t.TempDir(), sysProcAttr())
	if err != nil {
		t.Fatal(err)
	}
	<-open.exited
	if code := open.state.ExitCode(); code != 1 {
		t.Fatalf("without a fence the prober reaches %d of what it should: the test shows nothing", code)
	}
	<-arrived
	fenced, err := start([]string{exe}, env, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	<-fenced.exited
	if !fenced.fenced {
		// Not a failure of ours: start falls back, and the runner says so in the log.
		t.Logf("this system permits no network namespaces; the prober reached %d", fenced.state.ExitCode())
		return
	}
	if code := fenced.state.ExitCode(); code != 0 || len(arrived) != 0 {
		t.Errorf("behind the fence the prober reaches %d, %d arrived: %s", code, len(arrived), fenced.stderr.last(1000))
	}
}
