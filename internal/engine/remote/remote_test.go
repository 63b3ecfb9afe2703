package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://a:1":            "http://a:1",
		"https://a":             "https://a",
		"http://a:1/v1/":        "http://a:1",
		"http://a:1/x/v1":       "http://a:1/x",
		"http://a:1//":          "http://a:1",
		"":                      "",
		"a:1":                   "",
		"ftp://a":               "",
		"http://":               "",
		"http://me:hunter2@a/":  "",
		"http://a/?key=hunter2": "",
		"http://a/#hunter2":     "",
		"http://hunter2\x7f":    "",
	} {
		got, err := Address(text, "/v1")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "url: ") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got, err := Address("https://a/v1/", ""); err != nil || got != "https://a/v1" {
		t.Errorf("without a suffix: %q, %v", got, err)
	}
}

// transport answers as told and notes that its connections were closed.
type transport struct {
	answer func(*http.Request) (*http.Response, error)
	closed bool
}

// RoundTrip implements http.RoundTripper.
func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) { return tr.answer(r) }

// CloseIdleConnections is what Run looks for.
func (tr *transport) CloseIdleConnections() { tr.closed = true }

// answers is a transport that gives one answer.
func answers(status int, header http.Header, body string) *transport {
	return &transport{answer: func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}}
}

// TestFleet: the lines of the servers are told, turns are taken and given back, and
// the end of Run closes connections and ends what is watched.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := NewFleet(nil)
	tr := answers(http.StatusOK, nil, "")
	s := f.Add(Config{Weights: "w", Mode: engine.Embed, Transport: tr, Slots: limit.SlotsConfig{N: 1, Wait: time.Minute}})
	lease, err := s.Acquire(t.Context(), &engine.Target{Scope: "a"}, 7)
	if err != nil {
		t.Fatal(err)
	}
	lines := f.Lines()
	if len(lines) != 1 || lines[0].Weights != "w" || lines[0].Mode != engine.Embed || lines[0].Granted != 1 {
		t.Errorf("%+v", lines)
	}
	s.Slots.Release(lease, 7)

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	w := f.Watch(t.Context(), time.Hour)
	defer w.End()
	stop()
	<-w.Context().Done()
	if e := Settled(w.Context(), errors.New("cut off"), "late"); e == nil || e.Code != apierr.CodeServiceUnavailable {
		t.Errorf("%v", e)
	}
	if err := <-ended; err != nil || !tr.closed {
		t.Errorf("Run: %v, closed: %t", err, tr.closed)
	}
}

// slow is a body whose server takes its time for each byte.
type slow struct{ pauses []time.Duration }

func (s *slow) Read(p []byte) (int, error) {
	if len(s.pauses) == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pauses[0])
	s.pauses = s.pauses[1:]
	return copy(p, "."), nil
}

// TestWatch: a request ends when its server takes too long, and not by the time
// that our reader takes.
func TestWatch(t *testing.T) {
	t.Parallel()
	const first, idle = time.Minute, time.Second
	for name, c := range map[string]struct {
		pauses []time.Duration
		signs  []bool // what comes is one
		late   int    // the read in which time is up; -1: none
	}{
		"the first sign has its own time": {[]time.Duration{first - 1}, []bool{true}, -1},
		"which ends":                      {[]time.Duration{first + 1}, []bool{true}, 0},
		"and is not begun anew":           {[]time.Duration{first / 2, first/2 + 1}, []bool{false, true}, 1},
		"each sign has the same time":     {[]time.Duration{0, idle - 1, idle - 1}, []bool{true, true, true}, -1},
		"which ends too":                  {[]time.Duration{0, idle - 1, idle + 1}, []bool{true, true, true}, 2},
		"bytes that are no sign":          {[]time.Duration{0, idle / 2, idle/2 + 1, 0}, []bool{true, false, false, true}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := NewFleet(nil)
				w := f.Watch(t.Context(), first)
				defer w.End()
				b := w.Body(&slow{c.pauses}, idle)
				for i := range c.pauses {
					if _, err := b.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if ended := w.Context().Err() != nil; ended != (i == c.late) {
						t.Fatalf("read %d: ended %v", i, ended)
					}
					if i == c.late {
						break
					}
					if c.signs[i] {
						b.Sign()
						time.Sleep(time.Hour) // our own reader
						synctest.Wait()
						if err := w.Context().Err(); err != nil {
							t.Fatalf("ended while our reader was busy: %v", err)
						}
					}
				}
				if c.late < 0 {
					return
				}
				e := Settled(w.Context(), errors.New("cut off"), "100% late")
				if e == nil || e.Code != apierr.CodeModelTimeout || e.Message != "100% late" || !errors.Is(context.Cause(w.Context()), ErrStalled) {
					t.Fatalf("%v, cause %v", e, context.Cause(w.Context()))
				}
			})
		})
	}
}

// TestWithin: what the caller gets follows from who ended the request.
func TestWithin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFleet(nil)
		wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		odd := errors.New("odd")
		failed := func(ctx context.Context, err error) error {
			if e := Settled(ctx, err, "late"); e != nil {
				return e
			}
			return odd
		}
		if err := f.Within(t.Context(), time.Second, func(context.Context) error { return nil }, failed); err != nil {
			t.Errorf("no error: %v", err)
		}
		err := f.Within(t.Context(), time.Second, wait, failed)
		if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != apierr.CodeModelTimeout {
			t.Errorf("too long: %v", err)
		}
		if err := f.Within(t.Context(), time.Second, func(context.Context) error { return io.EOF }, failed); !errors.Is(err, odd) {
			t.Errorf("neither: %v", err)
		}
		ours := apierr.Validation("x")
		if err := f.Within(t.Context(), time.Second, func(context.Context) error { return errors.Join(io.EOF, ours) }, failed); !errors.Is(err, ours) {
			t.Errorf("an error for the caller: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := f.Within(ctx, time.Second, wait, failed); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's end: %v", err)
		}
	})
}
