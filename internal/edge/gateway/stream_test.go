package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

const (
	streamPath = "/model/m/converse-stream"
	chunksPath = "/model/m/invoke-with-response-stream"
)

// text is a contentBlockDelta.
func text(s string) *rt.ConverseStreamEvent {
	return &rt.ConverseStreamEvent{ContentBlockDelta: &rt.ContentBlockDeltaEvent{
		ContentBlockIndex: new(int32(0)), Delta: &rt.ContentBlockDelta{Text: &s},
	}}
}

// streams makes ConverseStream answer with events.
func (f *fixture) streams(events func(ctx context.Context, yield func(any, error) bool)) {
	f.stream = func(ctx context.Context, _ *call.Call, _ *rt.ConverseStreamInput) (*rt.ConverseStreamOutput, error) {
		return &rt.ConverseStreamOutput{Stream: func(yield func(any, error) bool) { events(ctx, yield) }}, nil
	}
}

// open sends a ConverseStream request and returns its answer unread.
func (f *fixture) open(t testing.TB, c *http.Client, url string) *http.Response {
	t.Helper()
	resp, err := c.Do(f.sign(t, http.MethodPost, url+streamPath, []byte(converseBody)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// Every event must be on the wire before the next one is made.
func TestEventsLeaveAsTheyAreMade(t *testing.T) {
	t.Parallel()
	f := start(t)
	next := make(chan struct{})
	f.streams(func(_ context.Context, yield func(any, error) bool) {
		for _, word := range []string{"a", "b", "c"} {
			if !yield(text(word), nil) {
				return
			}
			<-next // the test has read this one
		}
	})
	s := f.listen(t)
	resp := f.open(t, s.Client(), s.URL)
	if got := resp.Header.Get("Content-Type"); got != "application/vnd.amazon.eventstream" || resp.ContentLength != -1 {
		t.Errorf("content type %s, length %d", got, resp.ContentLength)
	}
	frames := eventstream.NewReader(resp.Body)
	for _, word := range []string{"a", "b", "c"} {
		fr, err := frames.Next()
		if err != nil || fr.Text(eventstream.HeaderEventType) != "contentBlockDelta" || !strings.Contains(string(fr.Payload), `"`+word+`"`) {
			t.Fatalf("frame %s, %v; want %s", fr.Payload, err, word)
		}
		next <- struct{}{}
	}
	if _, err := frames.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last event: %v", err)
	}
}

// exception is what ends a stream.
type exception struct{ kind, name, message string }

func lastFrame(t *testing.T, resp *http.Response) exception {
	t.Helper()
	frames := eventstream.NewReader(resp.Body)
	var e exception
	for {
		fr, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return e
		}
		if err != nil {
			t.Fatalf("read frames: %v", err)
		}
		e = exception{fr.Text(eventstream.HeaderMessageType), fr.Text(eventstream.HeaderExceptionType), string(fr.Payload)}
	}
}

// An error in a running stream arrives as an exception that the stream models.
func TestErrorInStream(t *testing.T) {
	t.Parallel()
	cause := errors.New("/secret/path")
	const fixed = "internal error"
	for _, c := range []struct {
		name         string
		err          error
		both, chunks string // exception of ConverseStream, and of InvokeModelWithResponseStream where it differs
		part         string
	}{
		{"stream error", apierr.ModelStreamError("broke").WithCause(cause), "modelStreamErrorException", "", "broke"},
		{"model error", apierr.ModelError("broke").WithCause(cause), "modelStreamErrorException", "", "broke"},
		{"timeout", apierr.ModelTimeout("stalled"), "modelStreamErrorException", "modelTimeoutException", "stalled"},
		{"not ready", apierr.ModelNotReady("gone"), "modelStreamErrorException", "", "gone"},
		{"throttled", apierr.Throttling("wait"), "throttlingException", "", "wait"},
		{"validation", apierr.Validation("bad"), "validationException", "", "bad"},
		{"unavailable", apierr.Unavailable("later"), "serviceUnavailableException", "", "later"},
		{"not modelled", apierr.NotFound("where"), "internalServerException", "", "where"},
		{"unknown", cause, "internalServerException", "", fixed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			f.streams(func(_ context.Context, yield func(any, error) bool) {
				_ = yield(text("a"), nil) && yield(nil, c.err)
			})
			f.chunks = func(yield func(any, error) bool) {
				_ = yield(&rt.ResponseStream{Chunk: &rt.PayloadPart{Bytes: []byte("{}")}}, nil) && yield(nil, c.err)
			}
			if c.chunks == "" {
				c.chunks = c.both
			}
			s := f.listen(t)
			for path, want := range map[string]string{streamPath: c.both, chunksPath: c.chunks} {
				resp, err := s.Client().Do(f.sign(t, http.MethodPost, s.URL+path, []byte(converseBody)))
				if err != nil {
					t.Fatal(err)
				}
				e := lastFrame(t, resp)
				_ = resp.Body.Close()
				if resp.StatusCode != 200 || e.kind != "exception" || e.name != want || !strings.Contains(e.message, c.part) {
					t.Errorf("%s: %d, %+v, want %s with %q", path, resp.StatusCode, e, want, c.part)
				}
				if strings.Contains(e.message, "secret") {
					t.Errorf("%s leaks: %s", path, e.message)
				}
				if rec := f.records.last(t); rec.Status != 200 || !strings.EqualFold(rec.ErrorCode, want) {
					t.Errorf("%s: recorded %d %s", path, rec.Status, rec.ErrorCode)
				}
			}
		})
	}
}

// An error before the first event is an ordinary one.
func TestErrorBeforeStream(t *testing.T) {
	t.Parallel()
	f := start(t)
	s := f.listen(t)
	for name, c := range map[string]struct {
		events func(yield func(any, error) bool)
		status int
		code   string
	}{
		"error":    {func(yield func(any, error) bool) { yield(nil, apierr.Throttling("wait")) }, 429, apierr.CodeThrottling},
		"no event": {func(func(any, error) bool) {}, 424, apierr.CodeModelError},
		"panic":    {func(func(any, error) bool) { panic("boom") }, 500, apierr.CodeInternal},
		"bad event": {func(yield func(any, error) bool) {
			yield(&rt.ConverseStreamEvent{}, nil)
		}, 500, apierr.CodeInternal},
	} {
		f.streams(func(_ context.Context, yield func(any, error) bool) { c.events(yield) })
		resp := f.open(t, s.Client(), s.URL)
		if a := read(t, resp); a.status != c.status || a.code != c.code || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s %s", name, a.status, a.code, a.header.Get("Content-Type"))
		}
	}
}

// A failure of our own in mid-stream must not look like the end of the reply.
func TestBrokenStreamIsTold(t *testing.T) {
	t.Parallel()
	f := start(t)
	s := f.listen(t)
	for name, last := range map[string]func(yield func(any, error) bool){
		"panic":     func(func(any, error) bool) { panic("boom") },
		"bad event": func(yield func(any, error) bool) { yield(&rt.ConverseStreamEvent{}, nil) },
	} {
		f.streams(func(_ context.Context, yield func(any, error) bool) {
			if yield(text("a"), nil) {
				last(yield)
			}
		})
		if e := lastFrame(t, f.open(t, s.Client(), s.URL)); e.name != "internalServerException" {
			t.Errorf("%s: last frame %+v", name, e)
		}
	}
	if log := f.log.String(); strings.Contains(log, "boom") || !strings.Contains(log, "stack=") {
		t.Errorf("log of a panic: %s", log)
	}
}

// A reader that goes away ends the making of events at once.
func TestReaderGoesAway(t *testing.T) {
	t.Parallel()
	for _, major := range []int{1, 2} {
		f := start(t)
		f.records.came = make(chan meter.Record, 1)
		ended := make(chan time.Time, 1)
		f.streams(func(ctx context.Context, yield func(any, error) bool) {
			defer func() { ended <- time.Now() }()
			if !yield(text("a"), nil) {
				return
			}
			<-ctx.Done() // an engine between two tokens
			yield(nil, ctx.Err())
		})
		s := f.listenTCP(t)
		client := s.client(major)
		var took []time.Duration // a busy machine may make one run slow, not all
		for len(took) < 5 && (len(took) == 0 || took[len(took)-1] > 200*time.Millisecond) {
			resp := f.open(t, client, s.url)
			if _, err := eventstream.NewReader(resp.Body).Next(); err != nil {
				t.Fatal(err)
			}
			left := time.Now()
			_ = resp.Body.Close()
			took = append(took, (<-ended).Sub(left))
			if rec := <-f.records.came; rec.ErrorCode != "ClientDisconnected" || rec.Status != 200 {
				t.Errorf("HTTP/%d: recorded %d %s", major, rec.Status, rec.ErrorCode)
			}
		}
		if len(took) == 5 {
			t.Errorf("HTTP/%d: the engine was free after %v", major, took)
		}
		client.CloseIdleConnections()
	}
}

// A client that closes its sending side counts as gone, and must not be told
// that all went well.
func TestHalfClosedClient(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.records.came = make(chan meter.Record, 1)
	inside := make(chan struct{})
	f.converse = func(ctx context.Context, _ *call.Call, _ *rt.ConverseInput) (*rt.ConverseOutput, error) {
		close(inside)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s := f.listen(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(converseBody)).Write(conn); err != nil {
		t.Fatal(err)
	}
	<-inside
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("answered %q", b)
	}
	if rec := <-f.records.came; rec.Status != 499 || rec.ErrorCode != "ClientDisconnected" {
		t.Errorf("recorded %d %s", rec.Status, rec.ErrorCode)
	}
}

// A reader that stops reading is cut after the write timeout and delays nobody
// else, on a connection of its own or on one that it shares.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for _, major := range []int{1, 2} {
		f := start(t, func(c *gateway.Config) { c.WriteTimeout = 300 * time.Millisecond })
		f.records.came = make(chan meter.Record, 2)
		piece := strings.Repeat("x", 64<<10)
		f.streams(func(_ context.Context, yield func(any, error) bool) {
			for yield(text(piece), nil) { // until the reader is cut
			}
		})
		s := f.listenTCP(t)
		client := s.client(major)
		resp := f.open(t, client, s.url)
		if a := do(t, client, f.sign(t, http.MethodPost, s.url+"/model/m/converse", []byte(converseBody))); a.status != 200 {
			t.Errorf("HTTP/%d: beside a slow reader: %d %s", major, a.status, a.code)
		}
		<-f.records.came
		if rec := <-f.records.came; rec.ErrorCode != "ClientDisconnected" {
			t.Errorf("HTTP/%d: recorded %d %s", major, rec.Status, rec.ErrorCode)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("HTTP/%d: the cut stream ended as if it were whole", major)
		}
		client.CloseIdleConnections()
	}
}

// A model may think longer than a client may take to read.
func TestThinkingIsNotSlowReading(t *testing.T) {
	t.Parallel()
	for _, major := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			f := start(t, func(c *gateway.Config) { c.WriteTimeout = time.Second })
			f.streams(func(ctx context.Context, yield func(any, error) bool) {
				for range 3 {
					if !yield(text("a"), nil) {
						return
					}
					select {
					case <-ctx.Done():
						yield(nil, ctx.Err())
						return
					case <-time.After(time.Minute):
					}
				}
			})
			p, stop := f.overPipes(t)
			client := p.client(major)
			resp, err := client.Do(f.sign(t, http.MethodPost, "http://localhost"+streamPath, []byte(converseBody)))
			if err != nil {
				t.Fatal(err)
			}
			frames, n := eventstream.NewReader(resp.Body), 0
			for {
				if _, err = frames.Next(); err != nil {
					break
				}
				n++
			}
			if n != 3 || !errors.Is(err, io.EOF) {
				t.Errorf("HTTP/%d: %d events, then %v", major, n, err)
			}
			_ = resp.Body.Close()
			client.CloseIdleConnections()
			stop()
		})
	}
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) Write(p []byte) (int, error)      { return len(p), nil }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) Flush()                           {}
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// A stream of thousands of events costs the gateway no memory per event.
func TestStreamAllocations(t *testing.T) {
	f := start(t)
	n := 0
	ev := text("word")
	f.streams(func(_ context.Context, yield func(any, error) bool) {
		for range n {
			if !yield(ev, nil) {
				return
			}
		}
	})
	run := func(events int) float64 {
		n = events
		return testing.AllocsPerRun(5, func() {
			r, _ := received(f.sign(t, http.MethodPost, "http://localhost"+streamPath, []byte(converseBody)), []byte(converseBody))
			f.handler.ServeHTTP(&sink{http.Header{}}, r)
		})
	}
	few, many := run(1000), run(6000)
	if perEvent := (many - few) / 5000; perEvent > 0.1 {
		t.Errorf("%.2f allocations per event", perEvent)
	}
}

// BenchmarkConverse is the gateway's own cost of one call.
func BenchmarkConverse(b *testing.B) {
	f := start(b)
	body := []byte(converseBody)
	signed := f.sign(b, http.MethodPost, "http://localhost/model/m/converse", body)
	b.ReportAllocs()
	for b.Loop() {
		r, _ := received(signed, body)
		f.handler.ServeHTTP(&sink{http.Header{}}, r)
	}
}

// BenchmarkEvent is the gateway's own cost of one event of a stream.
func BenchmarkEvent(b *testing.B) {
	f := start(b)
	ev := text("word")
	f.streams(func(_ context.Context, yield func(any, error) bool) {
		for b.Loop() {
			if !yield(ev, nil) {
				return
			}
		}
	})
	r, _ := received(f.sign(b, http.MethodPost, "http://localhost"+streamPath, []byte(converseBody)), []byte(converseBody))
	b.ReportAllocs()
	f.handler.ServeHTTP(&sink{http.Header{}}, r)
}
