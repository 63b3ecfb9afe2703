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

// TestWatch: a request ends when its server takes too long, and not by the time
// that our reader takes.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFleet(nil)
		w := f.Watch(t.Context(), time.Second)
		defer w.End()
		w.Pause()
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := w.Context().Err(); err != nil {
			t.Fatalf("ended while paused: %v", err)
		}
		w.Resume(time.Minute)
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		if err := w.Context().Err(); err != nil {
			t.Fatalf("ended too early: %v", err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		e := Settled(w.Context(), errors.New("cut off"), "100% late")
		if e == nil || e.Code != apierr.CodeModelTimeout || e.Message != "100% late" || !errors.Is(context.Cause(w.Context()), ErrStalled) {
			t.Fatalf("%v, cause %v", e, context.Cause(w.Context()))
		}
	})
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
