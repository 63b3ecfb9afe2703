package openai_test

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	chatWeights  = "smollm2-135m-instruct"
	embedWeights = "all-minilm-l6-v2"
)

// peerConfig is the argument of server.py.
type peerConfig struct {
	Site      string `json:"site"`
	Model     string `json:"model"`
	Projector string `json:"projector"`
	Template  string `json:"template"`
	Port      int    `json:"port"`
	Key       string `json:"key"`
	Slots     int    `json:"slots"`
	Context   int    `json:"context"`
	Safe      bool   `json:"safe"`
	Embedding bool   `json:"embedding"`
}

//go:embed testdata/server.py
var serverScript string

// peer is a real llama.cpp server.
type peer struct {
	cfg    peerConfig
	python string

	mu   sync.Mutex
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{} // closed when the process is gone
}

// startPeer starts a server until the test ends.
func startPeer(t testing.TB, cfg peerConfig) *peer {
	t.Helper()
	i := enginetest.Installed(t)
	cfg.Site = i.Site
	if cfg.Slots == 0 {
		cfg.Slots = 2
	}
	if cfg.Context == 0 {
		cfg.Context = 2048
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	p := &peer{cfg: cfg, python: i.Python}
	t.Cleanup(p.kill)
	p.begin(t)
	return p
}

func (p *peer) url() string { return fmt.Sprintf("http://127.0.0.1:%d", p.cfg.Port) }

// begin starts the process and waits until it is ready; a build that this machine
// cannot run as it is starts once more in safe mode.
func (p *peer) begin(t testing.TB) {
	t.Helper()
	err := p.start()
	if crash, ok := errors.AsType[*exec.ExitError](err); ok && crash.ExitCode() < 0 {
		p.cfg.Safe = true
		err = p.start()
	}
	if err != nil {
		t.Fatalf("start the peer: %v", err)
	}
}

func (p *peer) start() error {
	arg, err := json.Marshal(p.cfg)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.python, "-I", "-S", "-B", "-c", serverScript, string(arg))
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for !ready && lines.Scan() {
		ready = strings.Contains(lines.Text(), `"state":"ready"`)
	}
	if !ready {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			return err
		}
		return errors.New("it ended")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.in, p.done = cmd, in, make(chan struct{})
	go func(done chan struct{}) {
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		close(done)
	}(p.done)
	return nil
}

// kill ends the process as kill -9 does.
func (p *peer) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
		_ = p.in.Close()
		p.cmd = nil
	}
}

// begin starts an engine and runs it until the test ends.
func begin(t testing.TB, c openai.Config) *openai.Engine {
	t.Helper()
	c.Salt = []byte("salt of a test")
	for id, u := range c.Upstreams {
		if u.Transport == nil {
			tr := &http.Transport{}
			t.Cleanup(tr.CloseIdleConnections)
			u.Transport = tr
		}
		c.Upstreams[id] = u
	}
	e, err := openai.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
