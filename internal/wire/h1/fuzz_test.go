package h1

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// recorded is a connection on which a server says what was recorded, and then ends it.
type recorded struct {
	net.Conn // for the methods that no request calls
	answer   io.Reader
}

func (r *recorded) Read(b []byte) (int, error) { return r.answer.Read(b) }
func (*recorded) Write(b []byte) (int, error)  { return len(b), nil }
func (*recorded) Close() error                 { return nil }
func (*recorded) SetDeadline(time.Time) error  { return nil }

// FuzzAnswer: whatever a server answers, a request ends, reads no more than there is,
// and leaves a connection to the next one only when nothing is left on it.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2;x=y\r\nok\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nok",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nto the end", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 304\r\n\r\n", "", "\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		left := bytes.NewReader(answer)
		tr := &Transport{Dial: func(context.Context, string, string) (net.Conn, error) { return &recorded{answer: left}, nil }}
		defer tr.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return
		}
		b, err := io.ReadAll(resp.Body)
		if len(b) > len(answer) {
			t.Fatalf("%d bytes of an answer of %d", len(b), len(answer))
		}
		if cerr := resp.Body.Close(); cerr != nil {
			t.Fatal(cerr)
		}
		kept := tr.pop("server:80")
		if kept != nil && (err != nil || kept.r.Buffered() > 0 || resp.Close) {
			t.Fatalf("a connection is kept that cannot be used again: %v, %d bytes", err, kept.r.Buffered())
		}
	})
}
