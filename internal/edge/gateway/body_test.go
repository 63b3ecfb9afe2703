package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// head is a signed request up to its body, as it goes over the wire.
func (f *fixture) head(t *testing.T, path string, body []byte, more ...string) string {
	t.Helper()
	r := f.sign(t, http.MethodPost, "http://localhost"+path, body)
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: localhost\r\n", path)
	for k, v := range r.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v[0])
	}
	for _, m := range more {
		b.WriteString(m + "\r\n")
	}
	return b.String() + "\r\n"
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.invoke = func(_ context.Context, _ *call.Call, in *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
		return &rt.InvokeModelOutput{Body: fmt.Appendf(nil, "%d", len(in.Body)), ContentType: new("application/json")}, nil
	}
	s := f.listen(t)
	const limit, small = 25_000_000, 4 << 20
	for _, c := range []struct {
		name, path string
		size       int
		chunked    bool
		status     int
	}{
		{"at the limit", "/model/m/invoke", limit, false, 200},
		{"at the limit, chunked", "/model/m/invoke", limit, true, 200},
		{"over the limit", "/model/m/invoke", limit + 1, false, 413},
		{"over the limit, chunked", "/model/m/invoke", limit + 1, true, 413},
		{"control plane at the limit", "/guardrails", small, false, 501},
		{"control plane over the limit", "/guardrails", small + 1, false, 413},
		{"control plane over the limit, chunked", "/guardrails", small + 1, true, 413},
		{"one byte, chunked", "/model/m/invoke", 1, true, 200},
		{"no byte, chunked", "/model/m/invoke", 0, true, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body := bytes.Repeat([]byte("x"), c.size)
			r := f.sign(t, http.MethodPost, s.URL+c.path, body)
			if c.chunked {
				r.ContentLength, r.Body = -1, io.NopCloser(bytes.NewReader(body))
			}
			a := do(t, s.Client(), r)
			if a.status != c.status {
				t.Fatalf("%d %s, want %d", a.status, a.code, c.status)
			}
			if c.status == 200 && a.body != fmt.Sprint(c.size) {
				t.Errorf("the handler got %s bytes of %d", a.body, c.size)
			}
			if c.status == 413 && (a.code != apierr.CodeRequestTooLarge || !strings.Contains(a.message, "bytes")) {
				t.Errorf("%s: %s", a.code, a.message)
			}
		})
	}
}

// The budget of all bodies is held while a body is in use, and is given back
// whatever becomes of its request.
func TestBodyBudget(t *testing.T) {
	t.Parallel()
	const budget = 1 << 20
	f := start(t, func(c *gateway.Config) { c.BodyBudget = budget })
	s := f.listen(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	whole := bytes.Repeat([]byte("x"), budget)
	endings := map[string]func() (*rt.InvokeModelOutput, error){
		"answer": func() (*rt.InvokeModelOutput, error) { return &rt.InvokeModelOutput{Body: []byte("{}")}, nil },
		"error":  func() (*rt.InvokeModelOutput, error) { return nil, errors.New("broken") },
		"panic":  func() (*rt.InvokeModelOutput, error) { panic("boom") },
		"abort":  func() (*rt.InvokeModelOutput, error) { panic(http.ErrAbortHandler) },
	}
	for name, end := range endings {
		f.invoke = func(context.Context, *call.Call, *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
			inside <- struct{}{}
			<-leave
			return end()
		}
		ended := make(chan error, 1)
		go func() {
			resp, err := s.Client().Do(f.sign(t, http.MethodPost, s.URL+"/model/m/invoke", whole))
			if err == nil {
				_ = resp.Body.Close()
			}
			ended <- err
		}()
		<-inside
		a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(converseBody)))
		if a.status != 503 || a.code != apierr.CodeServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: beside a full budget: %d %s", name, a.status, a.code)
		}
		leave <- struct{}{}
		if err := <-ended; (err != nil) != (name == "abort") {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.invoke = func(_ context.Context, _ *call.Call, in *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
		return &rt.InvokeModelOutput{Body: fmt.Appendf(nil, "%d", len(in.Body))}, nil
	}
	if a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/invoke", whole)); a.body != fmt.Sprint(budget) {
		t.Errorf("after all: %d %s", a.status, a.body)
	}
}

// A declared length holds no budget before bytes come.
func TestDeclaredLengthIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *gateway.Config) { c.BodyBudget = 1 << 20 })
		p, stop := f.overPipes(t)
		defer stop()
		for range 32 {
			c := p.dial()
			defer c.Close()
			if _, err := io.WriteString(c, f.head(t, "/model/m/invoke", nil, "Content-Length: 25000000")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		c := newRaw(p.dial())
		defer c.Close()
		if _, err := io.WriteString(c, f.head(t, "/model/m/converse", []byte(converseBody), fmt.Sprint("Content-Length: ", len(converseBody)))+converseBody); err != nil {
			t.Fatal(err)
		}
		if a := c.answer(t); a.status != 200 {
			t.Errorf("%d %s", a.status, a.message)
		}
	})
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		first int           // bytes that come at once
		every time.Duration // then one byte each
		cut   time.Duration // when the gateway gives up
		extra string        // header
	}{
		{"nothing comes", 0, 0, 20 * time.Second, "Content-Length: 100000"},
		{"it stalls", 50_000, 0, 21525878906 * time.Nanosecond, "Content-Length: 100000"},
		{"a byte a second", 0, time.Second, 20000488281 * time.Nanosecond, "Content-Length: 100000"},
		{"chunked", 0, 0, 20 * time.Second, "Transfer-Encoding: chunked"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				p, stop := f.overPipes(t)
				defer stop()
				conn := newRaw(p.dial())
				defer conn.Close()
				begin := time.Now()
				if _, err := io.WriteString(conn, f.head(t, "/model/m/invoke", nil, c.extra)+strings.Repeat("x", c.first)); err != nil {
					t.Fatal(err)
				}
				gone := make(chan struct{})
				defer func() { <-gone }()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					defer close(gone)
					for c.every > 0 {
						select {
						case <-ctx.Done():
							return
						case <-time.After(c.every):
						}
						if _, err := conn.Write([]byte("x")); err != nil {
							return
						}
					}
				}()
				a := conn.answer(t)
				if took := time.Since(begin); took.Round(time.Millisecond) > c.cut.Round(time.Millisecond)+time.Millisecond || took < c.cut-time.Millisecond {
					t.Errorf("cut after %v, want %v", took, c.cut)
				}
				if a.status != 408 || a.code != "RequestTimeoutException" {
					t.Errorf("%d %s", a.status, a.code)
				}
				if _, err := conn.r.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("after the answer: %v, want the end of the connection", err)
				}
				if took := time.Since(begin); took > c.cut+6*time.Second {
					t.Errorf("the connection ended after %v", took)
				}
			})
		})
	}
}

// Someone without credentials gets his answer at once, whatever body he
// announces, and cannot hold the connection by not sending it.
func TestStrangersBody(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"Content-Length: 10", "Content-Length: 200000", "Content-Length: 25000000", "Content-Length: 99999999999", "Transfer-Encoding: chunked"} {
		t.Run(length, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				p, stop := f.overPipes(t)
				defer stop()
				conn := newRaw(p.dial())
				defer conn.Close()
				begin := time.Now()
				if _, err := io.WriteString(conn, "POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\n"+length+"\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if a := conn.answer(t); a.code != missing || time.Since(begin) > 0 {
					t.Errorf("%d %s after %v", a.status, a.code, time.Since(begin))
				}
				if _, err := conn.r.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("after the answer: %v", err)
				}
				if took := time.Since(begin); took > 6*time.Second {
					t.Errorf("the connection was held for %v", took)
				}
			})
		})
	}
}

// A client that sends its whole body before it reads still sees why it was
// refused.
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	f := start(t)
	s := f.listen(t)
	for name, c := range map[string]struct {
		size int
		cred sigv4.Credentials
		code string
	}{
		"too large":   {26_000_000, f.credentials(), apierr.CodeRequestTooLarge},
		"unknown key": {200_000, sigv4.Credentials{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Secret: f.key.Secret}, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := bytes.Repeat([]byte("x"), c.size)
			r := f.sign(t, http.MethodPost, s.URL+"/model/m/invoke", body)
			if err := sigv4.Sign(r, body, c.cred, "us-east-1", "bedrock", time.Now()); err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := r.Write(conn); err != nil { // nothing is read before all is sent
				t.Fatalf("send: %v", err)
			}
			if a := newRaw(conn).answer(t); a.code != c.code {
				t.Errorf("%d %s, want %s", a.status, a.code, c.code)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	f := start(t)
	s := f.listen(t)
	dial := func(head string) *raw {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		return newRaw(conn)
	}
	expect := []string{"Expect: 100-continue", fmt.Sprint("Content-Length: ", len(converseBody))}
	c := dial(f.head(t, "/model/m/converse", []byte(converseBody), expect...))
	if resp, err := http.ReadResponse(c.r, nil); err != nil || resp.StatusCode != 100 {
		t.Fatalf("%v %v, want 100 Continue", resp, err)
	}
	if _, err := io.WriteString(c, converseBody); err != nil {
		t.Fatal(err)
	}
	if a := c.answer(t); a.status != 200 {
		t.Errorf("%d %s", a.status, a.message)
	}
	for name, head := range map[string]string{
		"stranger":  "POST /model/m/converse HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(expect, "\r\n") + "\r\n\r\n",
		"too large": f.head(t, "/model/m/converse", nil, "Expect: 100-continue", "Content-Length: 25000001"),
	} {
		if a := dial(head).answer(t); a.status != 403 && a.status != 413 {
			t.Errorf("%s: %d, want a refusal and no 100", name, a.status)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	f := start(t)
	s := f.listen(t)
	for i, body := range []string{converseBody, "", converseBody, `{"bad`, converseBody} {
		r := f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(body))
		reused := false
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused },
		}))
		do(t, s.Client(), r)
		if reused != (i > 0) {
			t.Errorf("request %d: connection reused: %v", i, reused)
		}
	}
}

// A body that ends early is the client's mistake, not the server's.
func TestCutBody(t *testing.T) {
	t.Parallel()
	f := start(t)
	s := f.listen(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, f.head(t, "/model/m/converse", nil, "Content-Length: 100")+"{"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if a := newRaw(conn).answer(t); a.status != 400 || a.code != apierr.CodeSerialization {
		t.Errorf("%d %s", a.status, a.code)
	}
}
