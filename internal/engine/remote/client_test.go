package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// refusal is the error that the servers of these tests make.
type refusal struct{ Refusal }

func (refusal) Error() string { return "refused" }

// serve is a server of a fleet. change may be nil.
func serve(base string, tr http.RoundTripper, change func(*Config)) *Server {
	c := Config{Weights: "w", Base: base, Transport: tr, Refused: func(r Refusal) error { return refusal{r} }}
	if change != nil {
		change(&c)
	}
	return NewFleet(nil).Add(c)
}

// TestRequest: what a request carries, and whose header wins.
func TestRequest(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	tr := &transport{answer: func(r *http.Request) (*http.Response, error) {
		got, body = r, ""
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			body = string(b)
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}}
	s := serve("http://a:1/x", tr, func(c *Config) {
		c.Key = secret.NewString("k")
		c.Header = http.Header{"Authorization": {"no"}, "Content-Type": {"no"}, "X-Both": {"no"}, "X-Own": {"yes"}}
	})
	more := http.Header{"X-Both": {"yes"}}
	if _, err := s.Do(t.Context(), &Request{Method: http.MethodPost, Path: "/m%3A1/y", JSON: map[string]int{"n": 1}, Header: more}); err != nil {
		t.Fatal(err)
	}
	if got.URL.String() != "http://a:1/x/m%3A1/y" || got.Host != "a:1" || body != `{"n":1}` {
		t.Errorf("%s at %s: %s", got.URL, got.Host, body)
	}
	for k, want := range map[string]string{"Authorization": "Bearer k", "Content-Type": "application/json", "X-Both": "yes", "X-Own": "yes"} {
		if v := got.Header.Get(k); v != want {
			t.Errorf("%s: %q, want %q", k, v, want)
		}
	}
	if v, ok := got.Header["X-Idempotency-Key"]; !ok || len(v) != 0 {
		t.Errorf("not marked as repeatable: %q", v)
	}
	if _, err := s.Do(t.Context(), &Request{Method: http.MethodPost, Path: "/y", Type: "text/x", Body: []byte("raw"), Once: true}); err != nil {
		t.Fatal(err)
	}
	if _, marked := got.Header["X-Idempotency-Key"]; marked || body != "raw" || got.Header.Get("Content-Type") != "text/x" {
		t.Errorf("%q, %v", body, got.Header)
	}
	if len(more) != 1 {
		t.Errorf("the caller's header was changed: %v", more)
	}
}

// TestSign: a request is signed when all but the server's own header stands.
func TestSign(t *testing.T) {
	t.Parallel()
	tr := answers(http.StatusOK, nil, "")
	broken := errors.New("no credentials")
	s := serve("http://a", tr, func(c *Config) {
		c.Header = http.Header{"X-Late": {"yes"}}
		c.Sign = func(r *http.Request, body []byte) error {
			if string(body) != "raw" || r.Header.Get("X-Early") == "" || r.Header.Get("X-Late") != "" || r.URL.Path != "/y" {
				t.Errorf("%q, %v, %s", body, r.Header, r.URL)
			}
			return broken
		}
	})
	_, err := s.Do(t.Context(), &Request{Method: http.MethodPost, Path: "/y", Body: []byte("raw"), Header: http.Header{"X-Early": {"yes"}}})
	if !errors.Is(err, broken) || err.Error() != broken.Error() {
		t.Errorf("%v", err)
	}
}

// TestRefused: of an answer that was not wanted its status, some of its body and a
// sane time to come back are told.
func TestRefused(t *testing.T) {
	t.Parallel()
	for after, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "900000000000": 5 * time.Minute} {
		s := serve("http://a", answers(http.StatusTooManyRequests, http.Header{"Retry-After": {after}}, strings.Repeat("x", 1<<20)), nil)
		_, err := s.Do(t.Context(), &Request{Method: http.MethodGet, Path: "/", Want: http.StatusOK})
		r, ok := errors.AsType[refusal](err)
		if !ok || r.Status != http.StatusTooManyRequests || r.After != want || len(r.Body) != 64<<10 || r.Header == nil {
			t.Errorf("%q: %v, status %d, after %s, %d bytes", after, err, r.Status, r.After, len(r.Body))
		}
		resp, err := s.Do(t.Context(), &Request{Method: http.MethodGet, Path: "/"})
		if err != nil {
			t.Fatalf("any status is wanted: %v", err)
		}
		_ = resp.Body.Close() // read only
	}
}

// TestCall: answers are read under a limit, and their text reaches no error.
func TestCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"fits":      {`{"n":1}`, nil},
		"too large": {`{"n":1  }`, ErrTooLarge},
		"no JSON":   {`secret`, ErrBadJSON},
		"no number": {`{"n":""}`, ErrBadJSON},
	} {
		s := serve("http://a", answers(http.StatusOK, http.Header{"X-N": {"1"}}, c.body), nil)
		var out struct {
			N int `json:"n"`
		}
		h, err := s.Call(t.Context(), &Request{Method: http.MethodGet, Path: "/y", Name: "why", Want: http.StatusOK}, 8, &out)
		if !errors.Is(err, c.want) || err == nil && (out.N != 1 || h.Get("X-N") != "1") {
			t.Errorf("%s: %v, %+v", name, err, out)
		}
		if err != nil && (!errors.Is(err, ErrBadJSON) || !strings.HasPrefix(err.Error(), "why: ") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnreached: a connection that was never there is told from one that broke.
func TestUnreached(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer up.Close()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	ask := &Request{Method: http.MethodGet, Path: "/y"}
	_, err := serve(up.URL, tr, nil).Do(t.Context(), ask)
	if _, ok := errors.AsType[Unreached](err); err == nil || ok {
		t.Errorf("broken: %v", err)
	}
	up.Close()
	_, err = serve(up.URL, tr, nil).Do(t.Context(), ask)
	if _, ok := errors.AsType[Unreached](err); !ok || !strings.HasPrefix(err.Error(), "/y: ") {
		t.Errorf("not there: %v", err)
	}
}

// TestRedirect: one is an answer like any other.
func TestRedirect(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect))
	defer up.Close()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	_, err := serve(up.URL, tr, nil).Do(t.Context(), &Request{Method: http.MethodGet, Path: "/y", Want: http.StatusOK})
	if r, ok := errors.AsType[refusal](err); !ok || r.Status != http.StatusTemporaryRedirect {
		t.Errorf("%v", err)
	}
}

// TestPaths: addresses are remembered, and not without end.
func TestPaths(t *testing.T) {
	t.Parallel()
	s := serve("http://a", answers(http.StatusOK, nil, ""), nil)
	for range 2 {
		for i := range 10 * maxPaths {
			u, err := s.at(fmt.Sprintf("/jobs/%d", i))
			if err != nil || u.Path != fmt.Sprintf("/jobs/%d", i) {
				t.Fatalf("%v, %v", u, err)
			}
		}
	}
	n := 0
	s.paths.Range(func(any, any) bool { n++; return true })
	if n != maxPaths {
		t.Errorf("%d paths are kept", n)
	}
	if _, err := s.Do(context.Background(), &Request{Method: http.MethodGet, Path: "/%zz"}); err == nil {
		t.Error("a malformed path is sent")
	}
}
