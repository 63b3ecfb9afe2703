package wire

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answer serves one connection with a canned answer per request of one byte.
func answer(t *testing.T, text string) *Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close() //nolint:errcheck // a pipe
		one := make([]byte, 1)
		for {
			if _, err := theirs.Read(one); err != nil {
				return
			}
			if _, err := io.WriteString(theirs, text); err != nil {
				return
			}
		}
	}()
	w := New(ours)
	t.Cleanup(func() { w.Close(); <-done })
	return w
}

func TestWire(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		status int
		pieces []string
		fails  bool
	}{
		"length":        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, []string{"hello"}, false},
		"chunks":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, []string{"hello", "0123456789"}, false},
		"refused":       {"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\n{}", 403, []string{"{}"}, false},
		"no status":     {"HTTP/1.1 abc\r\n\r\n", 0, nil, true},
		"short line":    {"HTTP\r\n", 0, nil, true},
		"bad length":    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 200, nil, true},
		"bad chunk":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 200, nil, true},
		"chunk too big": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n", 200, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := answer(t, test.answer)
			for range 2 { // the connection is good for another request
				var pieces []string
				status, err := w.Do([]byte("x"), func(p []byte) error {
					pieces = append(pieces, string(p))
					return nil
				})
				if status != test.status || (err != nil) != test.fails {
					t.Fatalf("status %d, error %v", status, err)
				}
				if test.fails {
					return
				}
				if diff := cmp.Diff(test.pieces, pieces); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestCutter(t *testing.T) {
	t.Parallel()
	frame := func(n byte) string { return "\x00\x00\x00" + string(n) + strings.Repeat("f", int(n)-4) }
	for name, test := range map[string]struct {
		end    func([]byte) int
		pieces []string
		want   []string
	}{
		"lines":            {LineEnd, []string{"a\nb", "c\n", "d"}, []string{"a\n", "bc\n"}},
		"frame in one":     {FrameEnd, []string{frame(16)}, []string{frame(16)}},
		"frames together":  {FrameEnd, []string{frame(16) + frame(20)}, []string{frame(16), frame(20)}},
		"frame in pieces":  {FrameEnd, []string{frame(16)[:2], frame(16)[2:9], frame(16)[9:]}, []string{frame(16)}},
		"one and a half":   {FrameEnd, []string{frame(16) + frame(20)[:7], frame(20)[7:]}, []string{frame(16), frame(20)}},
		"length too small": {FrameEnd, []string{"\x00\x00\x00\x03abcdefghijklmnop"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Cutter{End: test.end}
			var got []string
			for _, p := range test.pieces {
				if err := c.Add([]byte(p), func(u []byte) error { got = append(got, string(u)); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
