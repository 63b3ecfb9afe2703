package app_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/datadir"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// strict stores records before calls end, so that a test can look at once.
func strict(c *app.Config) { c.Usage.Strict = true }

// gate is a reply whose deltas after the first wait for the test.
type gate struct {
	inside chan struct{} // gets a value when the reply has begun to wait
	open   chan struct{} // closed: go on
}

func newGate() *gate { return &gate{make(chan struct{}, 1), make(chan struct{})} }

func (g *gate) pace(ctx context.Context, i int) error {
	if i == 0 {
		return nil
	}
	if i == 1 {
		g.inside <- struct{}{}
	}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listening is an idle connection to a server: it ends when the server has
// closed its listener.
func listening(t *testing.T, endpoint string) (ended func()) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return func() { _, _ = r.ReadByte() }
}

// A stream that runs when a stop is asked for is finished; nobody else gets in.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, major := range []int{1, 2} {
		g := newGate()
		s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three", Pace: g.pace})), apptest.Config(strict))
		out, err := s.RuntimeOver(major).ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hi")})
		if err != nil {
			t.Fatal(err)
		}
		<-g.inside
		ended := listening(t, s.Endpoint)
		stopped := make(chan struct{})
		go func() { s.Stop(t); close(stopped) }()
		ended()
		if conn, err := net.Dial("tcp", strings.TrimPrefix(s.Endpoint, "http://")); err == nil {
			_ = conn.Close()
			t.Errorf("HTTP/%d: a stopping server takes new connections", major)
		}
		close(g.open)
		text := ""
		for ev := range out.GetStream().Events() {
			if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
				text += d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
			}
		}
		if err := out.GetStream().Err(); err != nil || text != "one two three" {
			t.Errorf("HTTP/%d: %q, %v", major, text, err)
		}
		<-stopped
		if r := s.Usage(t, s.Account, 1); len(r) != 1 || r[0].Status != 200 || r[0].ErrorCode != "" || r[0].OutputTokens != 4 {
			t.Errorf("HTTP/%d: recorded %+v", major, r)
		}
	}
}

// A stream that outlasts the drain time is ended with an exception, and its
// record is stored before the server is gone.
func TestDrainTimeIsOver(t *testing.T) {
	t.Parallel()
	for _, major := range []int{1, 2} {
		g := newGate()
		log := &syncBuffer{}
		s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three", Pace: g.pace})), apptest.Log(slog.New(slog.NewTextHandler(log, nil))),
			apptest.Config(func(c *app.Config) { c.Limits.Drain = 50 * time.Millisecond }))
		out, err := s.RuntimeOver(major).ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hi")})
		if err != nil {
			t.Fatal(err)
		}
		<-g.inside
		begin := time.Now()
		s.Stop(t)
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("HTTP/%d: the stop took %v", major, took)
		}
		for range out.GetStream().Events() { // to the end
		}
		var gone *types.ServiceUnavailableException
		if err := out.GetStream().Err(); !errors.As(err, &gone) {
			t.Errorf("HTTP/%d: the stream ended with %v", major, err)
		}
		r := s.Usage(t, s.Account, 1)
		if len(r) != 1 || r[0].OutputTokens != 1 || r[0].ErrorCode != "ServiceUnavailableException" {
			t.Errorf("HTTP/%d: recorded %+v", major, r)
		}
		if strings.Contains(log.String(), "not stored") {
			t.Errorf("HTTP/%d: log: %s", major, log)
		}
	}
}

// soonest runs f until it takes no longer than limit, at most 5 times: a busy
// machine may make one run slow, a fault makes all of them slow.
func soonest(t *testing.T, limit time.Duration, what string, f func() time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 5 {
		d := f()
		if d <= limit {
			return
		}
		took = append(took, d)
	}
	t.Errorf("%s took %v, want at most %v", what, took, limit)
}

// A reader that goes away frees the engine at once, and what it got is counted.
func TestReaderLeaves(t *testing.T) {
	t.Parallel()
	ended := make(chan time.Time, 1)
	e := watched{scripted.New(scripted.Reply{Text: "word", Endless: true, Pace: func(ctx context.Context, i int) error {
		if i < 5 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}), ended}
	s := apptest.Start(t, apptest.Engine(e), apptest.Config(strict))
	c := s.Runtime()
	soonest(t, 200*time.Millisecond, "freeing the engine", func() time.Duration {
		out, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hi")})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range out.GetStream().Events() {
			if n++; n == 6 { // messageStart and 5 deltas
				break
			}
		}
		left := time.Now()
		_ = out.GetStream().Close()
		return (<-ended).Sub(left)
	})
	s.Stop(t)
	if r := s.Usage(t, s.Account, 1); len(r) != 1 || r[0].OutputTokens != 5 || r[0].InputTokens == 0 || r[0].ErrorCode != "ClientDisconnected" {
		t.Errorf("recorded %+v", r)
	}
}

// watched tells when a reply has ended.
type watched struct {
	*scripted.Engine
	ended chan time.Time
}

func (w watched) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		defer func() { w.ended <- time.Now() }()
		w.Engine.Generate(ctx, t, r)(yield)
	}
}

func TestSecondServer(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	_, err := app.New(t.Context(), app.Config{DataDir: s.Data, Listen: "127.0.0.1:0"}, nil, scriptedEngine)
	var used *datadir.InUseError
	if !errors.As(err, &used) || used.PID != os.Getpid() {
		t.Errorf("a second server on the directory: %v", err)
	}
	_, err = app.New(t.Context(), app.Config{DataDir: t.TempDir(), Listen: strings.TrimPrefix(s.Endpoint, "http://")}, nil, scriptedEngine)
	if err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a second server on the port: %v", err)
	}
	soonest(t, time.Second, "a refusal", func() time.Duration {
		begin := time.Now()
		if _, err := app.New(t.Context(), app.Config{DataDir: s.Data, Listen: "127.0.0.1:0"}, nil, scriptedEngine); err == nil {
			t.Error("started")
		}
		return time.Since(begin)
	})
}

func scriptedEngine(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) {
	return scripted.New(), nil
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 404, "/metrics": 404, "/debug/pprof/": 404, "/foundation-models": 403} {
		resp, err := http.Get(s.Endpoint + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != status || status == 200 && string(b) != "ok\n" {
			t.Errorf("%s: %d %q, want %d", path, resp.StatusCode, b, status)
		}
	}
}

// net/http answers some requests itself unless it is told not to.
func TestOptions(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.Endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 400 || resp.Header.Get("x-amzn-RequestId") == "" {
		t.Errorf("%v, %v", resp, err)
	}
}

// The server is not ready before everything is installed.
func TestReadiness(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	s, err := app.New(ctx, app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}, nil, scriptedEngine)
	if err != nil {
		t.Fatal(err)
	}
	status := func() int {
		resp, err := http.Get(s.Endpoint() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	done := make(chan error, 1)
	before := 0
	installing := make(chan struct{})
	go func() {
		done <- s.Run(ctx, func(ctx context.Context) error {
			before = status()
			close(installing)
			<-ctx.Done() // asked to stop while installing
			return fmt.Errorf("install: %w", ctx.Err())
		})
	}()
	<-installing
	if before != 503 {
		t.Errorf("ready with %d while installing", before)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("a stop while installing: %v", err)
	}
}

// What fails beside the calls ends the server and is told.
func TestRunFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s, err := app.New(t.Context(), app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}, nil, scriptedEngine)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the installation fails: %v", err)
	}
	s, err = app.New(t.Context(), app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}, nil,
		func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) {
			return failing{scripted.New(), broken}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), nil); !errors.Is(err, broken) {
		t.Errorf("the engine fails: %v", err)
	}
	if _, err := app.New(t.Context(), app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}, nil,
		func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("there is no engine: %v", err)
	}
}

type failing struct {
	*scripted.Engine
	err error
}

func (f failing) Run(context.Context) error { return f.err }

// A second start needs no second.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func() time.Duration {
		begin := time.Now()
		s := apptest.Start(t, apptest.Config(func(c *app.Config) { c.DataDir = dir }))
		took := time.Since(begin)
		s.Stop(t)
		return took
	}
	start()
	soonest(t, time.Second, "a second start", start)
}

// converse sends a signed Converse request with an HTTP client.
func converse(t *testing.T, c *http.Client, endpoint string, k keys.Created) *http.Response {
	t.Helper()
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/model/"+claude2+"/converse", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := sigv4.Sign(r, body, sigv4.Credentials{AccessKeyID: k.ID, Secret: k.Secret}, "us-east-1", "bedrock", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	plain := apptest.Start(t)
	secure := apptest.Start(t, apptest.Config(func(c *app.Config) { c.TLS.SelfSigned = true }))
	ca, err := os.ReadFile(filepath.Join(secure.Data, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	for name, c := range map[string]struct {
		s     *apptest.Server
		set   func(*http.Protocols)
		major int
	}{
		"HTTP/1.1":                        {plain, func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		"HTTP/2 with prior knowledge":     {plain, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 2},
		"HTTP/1.1 over TLS":               {secure, func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		"HTTP/2 over TLS":                 {secure, func(p *http.Protocols) { p.SetHTTP2(true) }, 2},
		"either over TLS, the server's 2": {secure, func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			protocols := new(http.Protocols)
			c.set(protocols)
			client := &http.Client{Transport: &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
			defer client.CloseIdleConnections()
			if resp := converse(t, client, c.s.Endpoint, c.s.Key); resp.StatusCode != 200 || resp.ProtoMajor != c.major || resp.Header.Get("x-amzn-RequestId") == "" {
				t.Errorf("%d over %s", resp.StatusCode, resp.Proto)
			}
		})
	}
	if !strings.HasPrefix(secure.Endpoint, "https://") {
		t.Errorf("endpoint %s", secure.Endpoint)
	}
}

// An SDK program talks to a server with TLS, and with a bearer key.
func TestBearerKey(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	k := s.NewKey(t, s.Account, keys.Bearer)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint+"/model/"+claude2+"/converse",
		strings.NewReader(`{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+string(k.Secret.Reveal()))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("x-amzn-ErrorType"))
	}
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
