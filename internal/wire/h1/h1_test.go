package h1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dialler counts connections.
type dialler struct {
	net.Dialer
	n atomic.Int32
}

func (d *dialler) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.n.Add(1)
	return d.DialContext(ctx, network, address)
}

// client returns a transport and a count of its connections.
func client(t *testing.T) (*Transport, *dialler) {
	t.Helper()
	d := &dialler{}
	tr := &Transport{Dial: d.dial}
	t.Cleanup(tr.CloseIdleConnections)
	return tr, d
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// raw serves each connection by hand.
func raw(t *testing.T, each func(i int, c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				each(i, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

func ask(t *testing.T, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header["X-Idempotency-Key"] = []string{}
	return r
}

// read sends a request and reads the whole answer.
func read(t *testing.T, tr *Transport, r *http.Request) string {
	t.Helper()
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}

// A connection serves one request after the other, whatever the sizes.
func TestReuse(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d %q", r.Header.Get("A"), r.URL.RequestURI(), len(b), r.Header["X-Idempotency-Key"])
	})
	tr, d := client(t)
	for _, n := range []int{0, 1, oneWrite, oneWrite + 1, 3 << 20} {
		r := ask(t, url+"/p?q=1", strings.Repeat("x", n))
		r.Header.Set("A", "b")
		if got, want := read(t, tr, r), fmt.Sprintf("200 b /p?q=1 %d []", n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if d.n.Load() != 1 {
		t.Errorf("%d connections", d.n.Load())
	}
}

// A server may close a connection just as the next request comes. That takes another
// one, if it may be sent twice.
func TestClosedBehindOurBack(t *testing.T) {
	t.Parallel()
	url := raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_, _ = http.ReadRequest(r)
		}
	})
	tr, d := client(t)
	for range 2 {
		if got := read(t, tr, ask(t, url, "")); got != "200 ok" {
			t.Error(got)
		}
	}
	if d.n.Load() != 2 {
		t.Errorf("%d connections", d.n.Load())
	}
	once := ask(t, url, "")
	delete(once.Header, "X-Idempotency-Key")
	if resp, err := tr.RoundTrip(once); err == nil {
		_ = resp.Body.Close()
		t.Error("a request that must not be sent twice was")
	}
}

// What comes on a connection while it lies unused is no answer to the next request,
// which takes another connection, also when it must not be sent twice.
func TestUnasked(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"an answer": "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecrets", "the end": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			late, sent, leave := make(chan struct{}), make(chan struct{}, 2), make(chan struct{})
			url := raw(t, func(i int, c net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				if i > 0 {
					return
				}
				<-late
				_, _ = io.WriteString(c, more)
				_ = c.(*net.TCPConn).CloseWrite()
				sent <- struct{}{}
				<-leave
			})
			defer close(leave)
			tr, d := client(t)
			once := func() *http.Request {
				r := ask(t, url, "")
				delete(r.Header, "X-Idempotency-Key")
				return r
			}
			if got := read(t, tr, once()); got != "200 ok" {
				t.Fatal(got)
			}
			close(late)
			<-sent
			if got := read(t, tr, once()); got != "200 ok" || d.n.Load() != 2 {
				t.Errorf("%s over %d connections", got, d.n.Load())
			}
		})
	}
}

// A new connection that breaks is not tried again: the server has the request.
func TestBreaksAtOnce(t *testing.T) {
	t.Parallel()
	url := raw(t, func(_ int, _ net.Conn, r *bufio.Reader) { _, _ = http.ReadRequest(r) })
	tr, d := client(t)
	_, err := tr.RoundTrip(ask(t, url, "")) //nolint:bodyclose // there is none
	if !errors.Is(err, io.ErrUnexpectedEOF) || d.n.Load() != 1 {
		t.Errorf("%v after %d connections", err, d.n.Load())
	}
}

// Pieces of a stream arrive one by one, and a stream that is left is cut.
func TestStream(t *testing.T) {
	t.Parallel()
	next, gone := make(chan struct{}), make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else it does not see us leave
		for i := range 3 {
			fmt.Fprintf(w, "piece %d\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
		<-r.Context().Done()
		close(gone)
	})
	tr, _ := client(t)
	resp, err := tr.RoundTrip(ask(t, url, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		if got, err := lines.ReadString('\n'); err != nil || got != fmt.Sprintf("piece %d\n", i) {
			t.Fatalf("%q, %v", got, err)
		}
		next <- struct{}{}
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	<-gone
}

// The end of the context ends a request wherever it stands, with the cause.
func TestCancel(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	asked := make(chan struct{}, 2)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else it does not see us leave
		if r.URL.Path == "/late" {
			_ = http.NewResponseController(w).Flush()
		}
		asked <- struct{}{}
		<-r.Context().Done()
	})
	for _, path := range []string{"/early", "/late"} {
		tr, _ := client(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-asked
			cancel(because)
		}()
		resp, err := tr.RoundTrip(ask(t, url+path, "{}").WithContext(ctx))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if !errors.Is(err, because) {
			t.Errorf("%s: %v", path, err)
		}
		if len(tr.idle) > 0 {
			t.Errorf("%s: the connection was kept", path)
		}
	}
	tr, d := client(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	if _, err := tr.RoundTrip(ask(t, url, "").WithContext(ctx)); !errors.Is(err, because) || d.n.Load() != 0 { //nolint:bodyclose // there is none
		t.Errorf("%v, %d connections", err, d.n.Load())
	}
}

// Answers as servers send them.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"interim":        {"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "200 a"},
		"to the end":     {"HTTP/1.0 200 OK\r\n\r\nall of it", "200 all of it"},
		"without a body": {"HTTP/1.1 204 No Content\r\n\r\n", "204 "},
		"chunks":         {"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "500 ab"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := raw(t, func(_ int, w net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err == nil {
					_, _ = io.WriteString(w, c.answer)
				}
			})
			tr, _ := client(t)
			if got := read(t, tr, ask(t, url, "")); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	for name, answer := range map[string]string{
		"no HTTP":       "SSH-2.0-x\r\n\r\n",
		"a long head":   "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", maxHead) + "\r\n\r\n",
		"interims only": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim),
		"half a head":   "HTTP/1.1 200 OK\r\nA",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := raw(t, func(_ int, w net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err == nil {
					_, _ = io.WriteString(w, answer)
				}
			})
			tr, _ := client(t)
			if resp, err := tr.RoundTrip(ask(t, url, "")); err == nil {
				_ = resp.Body.Close()
				t.Error("taken for an answer")
			}
		})
	}
}

// A body that ends early is no whole body.
func TestCutBody(t *testing.T) {
	t.Parallel()
	url := raw(t, func(_ int, w net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
		}
	})
	tr, _ := client(t)
	resp, err := tr.RoundTrip(ask(t, url, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// A server that refuses a large body before it has read it is heard.
func TestEarlyRefusal(t *testing.T) {
	t.Parallel()
	url := raw(t, func(_ int, w net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			_, _ = io.WriteString(w, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			_ = w.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, r)
		}
	})
	tr, _ := client(t)
	if got := read(t, tr, ask(t, url, strings.Repeat("x", 1<<20))); got != "413 no" {
		t.Error(got)
	}
}

// What would break the framing of a request is refused before anything is sent.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*http.Request){
		"TLS":              func(r *http.Request) { r.URL.Scheme = "https" },
		"unknown length":   func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1 },
		"line in a value":  func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
		"line in a name":   func(r *http.Request) { r.Header["A\r\nB"] = []string{"c"} },
		"line in the host": func(r *http.Request) { r.Host = "a\r\nB: c" },
		"line in the path": func(r *http.Request) { r.URL.Opaque = "/a b\r\n" },
		"method":           func(r *http.Request) { r.Method = "GET /x" },
	} {
		tr, d := client(t)
		r := ask(t, "http://127.0.0.1:1/", "x")
		change(r)
		if resp, err := tr.RoundTrip(r); err == nil || d.n.Load() != 0 {
			if err == nil {
				_ = resp.Body.Close()
			}
			t.Errorf("%s: %v, %d connections", name, err, d.n.Load())
		}
	}
}

// Connections are kept for a while and not in any number.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		tr := &Transport{MaxIdle: 2, IdleTimeout: time.Second, Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			open.Add(1)
			go func() {
				defer open.Add(-1)
				defer theirs.Close()
				r := bufio.NewReader(theirs)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					if _, err := io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}}
		var bodies []io.ReadCloser
		for range 3 {
			resp, err := tr.RoundTrip(ask(t, "http://h/", ""))
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, resp.Body)
		}
		for _, b := range bodies {
			if _, err := io.ReadAll(b); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if open.Load() != 2 {
			t.Errorf("%d connections are kept", open.Load())
		}
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if open.Load() != 0 || tr.timer != nil {
			t.Errorf("%d connections are kept for ever", open.Load())
		}
		if got := read(t, tr, ask(t, "http://h/", "")); got != "200 a" {
			t.Error(got)
		}
		tr.CloseIdleConnections()
		synctest.Wait()
		if open.Load() != 0 {
			t.Errorf("%d connections outlive the transport", open.Load())
		}
	})
}

// What a kept connection costs a request.
func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer s.Close()
	body := []byte(strings.Repeat("x", 1000))
	for name, rt := range map[string]http.RoundTripper{
		"h1": &Transport{Dial: new(net.Dialer).DialContext}, "net_http": &http.Transport{},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.URL, bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				resp, err := rt.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
		rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	}
}
