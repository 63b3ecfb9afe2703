//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The peers, each in the version that is compared.
const (
	liteLLM   = "LiteLLM"
	portkey   = "Portkey"
	miniStack = "MiniStack"
	outcrop   = "Outcrop"
)

// package specifiers of the registries.
const (
	liteLLMPackage   = "litellm[proxy]==1.102.4"
	portkeyPackage   = "@portkey-ai/gateway@1.15.2"
	miniStackPackage = "ministack==1.5.33"
)

// installTime bounds the installation of one peer, startTime its start.
const (
	installTime = 10 * time.Minute
	startTime   = 3 * time.Minute
)

// server is a gateway that runs.
type server struct {
	name    string
	address string
	cmd     *exec.Cmd
	ended   chan error
}

// once runs a command to its end.
func once(ctx context.Context, dir string, env []string, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the callers' words
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out[max(0, len(out)-2000):])
	}
	return nil
}

// install brings a peer into the cache folder, unless it is there.
func (b *bench) install(ctx context.Context, name string) (folder string, err error) {
	spec := map[string]string{liteLLM: liteLLMPackage, portkey: portkeyPackage, miniStack: miniStackPackage}[name]
	folder = filepath.Join(b.cache, "bench", strings.NewReplacer("/", "-", "@", "-", "[", "-", "]", "").Replace(spec))
	done := filepath.Join(folder, "installed")
	if _, err := os.Stat(done); err == nil {
		return folder, nil
	}
	b.say("installing %s into %s", spec, folder)
	if err := os.RemoveAll(folder); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // programs that anybody may have
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if name == portkey {
		err = once(ctx, folder, nil, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", spec)
	} else {
		err = once(ctx, folder, nil, "python3", "-m", "venv", "venv")
		if err == nil {
			err = once(ctx, folder, nil, filepath.Join(folder, "venv", "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", spec)
		}
	}
	if err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return folder, os.WriteFile(done, nil, 0o600)
}

// startPeer installs and starts a peer before the mock.
func (b *bench) startPeer(ctx context.Context, name string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if name == relay {
		return b.start(ctx, name, port, "/", []string{"GOMAXPROCS=1"}, b.self, roleRelay, "127.0.0.1:"+port, b.mock)
	}
	folder, err := b.install(ctx, name)
	if err != nil {
		return nil, err
	}
	upstream := "http://" + b.mock
	switch name {
	case liteLLM:
		config := filepath.Join(b.dir, "litellm.yaml")
		text := "model_list:\n  - model_name: " + instant + "\n    litellm_params: {model: openai/" + instant + ", api_base: " + upstream + "/v1, api_key: none}\n" +
			"litellm_settings: {num_retries: 0, telemetry: false}\nrouter_settings: {num_retries: 0}\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		return b.start(ctx, name, port, "/health/liveliness", []string{"LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR", "LITELLM_MODE=PRODUCTION"},
			filepath.Join(folder, "venv", "bin", "litellm"), "--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", "1")
	case portkey:
		return b.start(ctx, name, port, "/", []string{"TRUSTED_CUSTOM_HOSTS=127.0.0.1,localhost", "NODE_ENV=production"},
			"node", filepath.Join(folder, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js"), "--port="+port, "--headless")
	}
	return b.start(ctx, name, port, "/_ministack/health", []string{
		"GATEWAY_PORT=" + port, "BIND_HOST=127.0.0.1", "MINISTACK_BEDROCK_PROXY_URL=" + upstream, "SERVICES=bedrock-runtime,bedrock,sts,iam", "LOG_LEVEL=WARNING",
		"TMPDIR=" + b.dir,
	}, filepath.Join(folder, "venv", "bin", "ministack"))
}

// freePort is a port that nobody listens on now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// start runs a gateway on its core and waits until it answers at a path, with
// whatever status.
func (b *bench) start(ctx context.Context, name, port, path string, env []string, argv ...string) (*server, error) {
	log, err := os.Create(filepath.Join(b.dir, strings.ReplaceAll(name, "/", "-")+".log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	s := &server{name: name, address: "127.0.0.1:" + port, ended: make(chan error, 1)}
	s.cmd = b.pinned(ctx, b.gatewayCore, argv...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = b.dir, log, log
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		if resp, err := client.Do(r); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				b.say("%s is up after %.1f s", name, time.Since(begin).Seconds())
				return s, nil
			}
		}
		select {
		case err := <-s.ended:
			text, _ := os.ReadFile(log.Name()) // best effort: it tells why
			return nil, fmt.Errorf("%s ended early: %w\n%s", name, err, text[max(0, len(text)-2000):])
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name()) // best effort: it tells why
			return nil, errors.Join(fmt.Errorf("%s does not answer: %w\n%s", name, ctx.Err(), text[max(0, len(text)-2000):]), s.stop())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// root is the process whose tree is the gateway.
func (s *server) root() int { return s.cmd.Process.Pid }

// rest stops the clock of a gateway that is not measured now, so that what it
// does when nobody asks it disturbs nobody; wake lets it go on.
func (s *server) rest() error { return s.signal(syscall.SIGSTOP) }

func (s *server) wake() error { return s.signal(syscall.SIGCONT) }

func (s *server) signal(sig syscall.Signal) error {
	pids := tree(processes(), s.root())
	slices.Sort(pids)
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal %s: %w", s.name, err)
		}
	}
	return nil
}

// stop ends a gateway and all that it started.
func (s *server) stop() error {
	err := s.wake()
	pid := s.root()
	_ = syscall.Kill(-pid, syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-s.ended
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // what its children left
	return err
}

// request is the bytes of a POST.
func post(address, path, body string, headers ...string) []byte {
	var b strings.Builder
	b.WriteString("POST " + path + " HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: outcrop-bench\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n")
	for i := 0; i < len(headers); i += 2 {
		b.WriteString(headers[i] + ": " + headers[i+1] + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return []byte(b.String())
}
