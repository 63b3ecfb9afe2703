package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/edge/workload"
	"github.com/outcrop/outcrop/internal/secret"
)

// DefaultWorkloads is where programs of this machine get credentials unless told
// otherwise.
const DefaultWorkloads = "127.0.0.1:8687"

// Workloads hands temporary credentials to programs of this machine. It is off
// while there are no roles. See docs/workloads.md.
type Workloads struct {
	// Listen is HOST:PORT of the loopback; default 127.0.0.1:8687.
	Listen string         `yaml:"listen"`
	Roles  []WorkloadRole `yaml:"roles"`
}

// WorkloadRole is a program and the role that it acts as. It proves itself by a
// token, by the user that it runs as, or by both.
type WorkloadRole struct {
	// Name is also that of its sessions: 2 to 64 letters, digits and +=,.@-_.
	Name string `yaml:"name"`
	// RoleARN is a role that trusts ecs-tasks.amazonaws.com or
	// pods.eks.amazonaws.com, for the container endpoint, or ec2.amazonaws.com, for
	// the metadata endpoint.
	RoleARN string `yaml:"role_arn"`
	// TokenFile holds its token, 16 to 1024 letters, digits and -._~. A file that is
	// not there is made, mode 0600.
	TokenFile string `yaml:"token_file"`
	// UID is the user that it runs as; on Linux only.
	UID *uint32 `yaml:"uid"`
}

// workloads is the endpoint, open. nil is none.
type workloads struct {
	listen net.Listener
	http   *http.Server
}

// openWorkloads takes the address and reads the tokens. It answers nobody yet.
func openWorkloads(c Workloads, region string, issuer workload.Issuer, log *slog.Logger) (*workloads, error) {
	if len(c.Roles) == 0 {
		if c.Listen != "" {
			return nil, errors.New("workloads: listen is set, but there are no roles")
		}
		return nil, nil
	}
	cfg := workload.Config{Issuer: issuer, Region: region, Log: log}
	for _, r := range c.Roles {
		w := workload.Workload{Name: r.Name, Role: r.RoleARN, UID: r.UID}
		if r.TokenFile != "" {
			text, err := readToken(r.TokenFile)
			if err != nil {
				return nil, fmt.Errorf("workload %s: %w", r.Name, err)
			}
			w.Token = secret.NewString(text)
		}
		cfg.Workloads = append(cfg.Workloads, w)
	}
	h, err := workload.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("workloads: %w", err)
	}
	address := cmp.Or(c.Listen, DefaultWorkloads)
	host, _, err := net.SplitHostPort(address)
	if err != nil || !loopbackHost(host) {
		return nil, fmt.Errorf("workloads: %q must be HOST:PORT of the loopback, e.g. %s", address, DefaultWorkloads)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("workloads: listen on %s: %w", address, err)
	}
	return &workloads{l, &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// readToken reads the token of a workload, and makes one when there is none.
func readToken(path string) (string, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- the operator names this file
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read its token: %w", err)
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	token := base64.RawURLEncoding.EncodeToString(b[:])
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the operator names this file
	if err != nil {
		return "", fmt.Errorf("make its token: %w", err)
	}
	_, err = f.WriteString(token) // no line end: botocore would send it
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("make its token: %w", err)
	}
	return token, nil
}

// run answers until ctx ends.
func (w *workloads) run(ctx context.Context) error {
	if w == nil {
		return nil
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if w.http.Shutdown(last) != nil {
			_ = w.http.Close() // who asks again finds the next server
		}
	})
	err := w.http.Serve(w.listen)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve workloads: %w", err)
}

// close gives the address back.
func (w *workloads) close() error {
	if w == nil {
		return nil
	}
	if err := w.listen.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
