//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The models of the mock upstream. A request names one of them, or an id that
// contains one of them.
const (
	// instant answers with instantTokens words at once, a stream in one write.
	instant = "instant"
	// paced makes a token every pace, pacedTokens in all.
	paced = "paced"
	// burst makes burstTokens tokens without a pause, each in a write of its own.
	burst = "burst"
	// stay makes one token and goes on when its client leaves, or when the mock is
	// asked for releasePath.
	stay = "stay"
)

const (
	instantTokens = 16
	pacedTokens   = 100
	burstTokens   = 200
	pace          = 5 * time.Millisecond
	promptTokens  = 160 // what the mock says that every prompt has
	releasePath   = "/release"
)

// instantText is the whole reply of instant, one word a token. Its bytes in an
// answer prove that the answer came from here.
const instantText = "granite basalt gneiss schist marble slate quartz mica chert flint opal jasper agate talc gypsum halite"

// monotonic is the machine's monotonic clock in nanoseconds, the same in all
// processes.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail for this clock
	return t.Nano()
}

// stampDigits is how many digits a stamp has; the text of a token of paced, burst
// and stay is a space and its stamp.
const stampDigits = 19

// appendStamp writes the text of a token made now.
func appendStamp(b []byte) []byte {
	b = append(b, ' ')
	n := strconv.AppendInt(nil, monotonic(), 10)
	for range stampDigits - len(n) {
		b = append(b, '0')
	}
	return append(b, n...)
}

// mock is an OpenAI-compatible server that answers by a fixed rule. It does as
// little as it can, so that what it costs hides no other's cost.
type mock struct {
	mu       sync.Mutex
	released chan struct{} // closed by the next request of releasePath
}

// serveMock serves on l until ctx ends.
func serveMock(ctx context.Context, l net.Listener) error {
	m := &mock{released: make(chan struct{})}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); wg.Wait() }()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("mock: %w", err)
		}
		wg.Go(func() {
			unhook := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer unhook()
			defer c.Close()
			_ = m.serve(ctx, c) // its client left
		})
	}
}

// exchange is the state of one connection.
type exchange struct {
	c    net.Conn
	r    *bufio.Reader
	body bytes.Buffer
	out  []byte
}

func (m *mock) serve(ctx context.Context, c net.Conn) error {
	x := &exchange{c: c, r: bufio.NewReaderSize(c, 4<<10)}
	for {
		r, err := http.ReadRequest(x.r)
		if err != nil {
			return err
		}
		x.body.Reset()
		if _, err := x.body.ReadFrom(r.Body); err != nil {
			return err
		}
		if err := m.answer(ctx, x, r); err != nil {
			return err
		}
		if r.Close {
			return nil
		}
	}
}

func (m *mock) answer(ctx context.Context, x *exchange, r *http.Request) error {
	switch {
	case r.URL.Path == releasePath:
		m.mu.Lock()
		close(m.released)
		m.released = make(chan struct{})
		m.mu.Unlock()
		return x.json(http.StatusOK, `{}`)
	case strings.HasSuffix(r.URL.Path, "/models"):
		return x.json(http.StatusOK, `{"object":"list","data":[{"id":"`+instant+`","object":"model","max_model_len":32768}]}`)
	case !strings.HasSuffix(r.URL.Path, "/chat/completions"):
		return x.json(http.StatusNotFound, `{"error":{"message":"no such path","code":404}}`)
	}
	model := after(x.body.Bytes(), `"model"`)
	kind := ""
	for _, k := range []string{instant, paced, burst, stay} {
		if bytes.Contains(model, []byte(k)) {
			kind = k
		}
	}
	if kind == "" {
		return x.json(http.StatusNotFound, `{"error":{"message":"no such model","code":404}}`)
	}
	if kind == stay && string(after(x.body.Bytes(), `"max_tokens"`)) == "1" {
		kind = instant // a server is tested so before its first use
	}
	if bytes.HasPrefix(after(x.body.Bytes(), `"stream"`), []byte("true")) {
		return m.stream(ctx, x, kind)
	}
	return m.whole(ctx, x, kind)
}

// after is what a JSON body has for a key, up to the next comma or brace.
func after(body []byte, key string) []byte {
	_, rest, _ := bytes.Cut(body, []byte(key))
	rest = bytes.TrimLeft(rest, " :")
	if end := bytes.IndexAny(rest, ",}"); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// json answers with a body.
func (x *exchange) json(status int, body string) error {
	x.out = fmt.Appendf(x.out[:0], "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
	_, err := x.c.Write(x.out)
	return err
}

// tokensOf is how many tokens a reply has.
func tokensOf(kind string) int {
	return map[string]int{instant: instantTokens, paced: pacedTokens, burst: burstTokens, stay: 2}[kind]
}

// whole answers without a stream. The stamps of its tokens say when a server
// would have made them.
func (m *mock) whole(ctx context.Context, x *exchange, kind string) error {
	text := []byte(instantText)
	if kind != instant {
		text = nil
		for i := range tokensOf(kind) {
			if err := m.wait(ctx, x, kind, i); err != nil {
				return err
			}
			text = appendStamp(text)
		}
	}
	return x.json(http.StatusOK, fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion","created":1795339296,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%q,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":%s}`,
		kind, text, usageOf(kind)))
}

func usageOf(kind string) string {
	n := tokensOf(kind)
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, promptTokens, n, promptTokens+n)
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
	eventHead  = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795339296,"model":"mock","choices":[{"index":0,"delta":`
	eventTail  = `,"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
)

// stream answers with events. Those of instant leave together; of the others
// each leaves by itself.
func (m *mock) stream(ctx context.Context, x *exchange, kind string) error {
	x.out = append(append(x.out[:0], streamHead...), chunk(eventHead+`{"role":"assistant","content":""}`+eventTail)...)
	flush := func() error {
		_, err := x.c.Write(x.out)
		x.out = x.out[:0]
		return err
	}
	words := strings.SplitAfter(instantText, " ")
	var event []byte
	for i := range tokensOf(kind) {
		if kind != instant {
			if err := flush(); err != nil {
				return err
			}
			if err := m.wait(ctx, x, kind, i); err != nil {
				return err
			}
		}
		event = append(append(event[:0], eventHead...), `{"content":"`...)
		if kind == instant {
			event = append(event, words[i]...)
		} else {
			event = appendStamp(event)
		}
		event = append(append(event, `"}`...), eventTail...)
		x.out = fmt.Appendf(x.out, "%x\r\n%s\r\n", len(event), event)
	}
	x.out = append(x.out, chunk(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795339296,"model":"mock","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}`+"\n\n")...)
	x.out = append(x.out, chunk(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795339296,"model":"mock","choices":[],"usage":`+usageOf(kind)+"}\n\n")...)
	x.out = append(x.out, chunk("data: [DONE]\n\n")...)
	x.out = append(x.out, "0\r\n\r\n"...)
	return flush()
}

// chunk is a piece of a chunked body.
func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

var errLeft = errors.New("the client left")

// wait is what lies before token i.
func (m *mock) wait(ctx context.Context, x *exchange, kind string, i int) error {
	switch {
	case kind == paced:
		time.Sleep(pace)
	case kind == stay && i > 0:
		m.mu.Lock()
		released := m.released
		m.mu.Unlock()
		left := make(chan error, 1)
		go func() { // a client that has asked says nothing more until it is answered
			_, err := x.r.Peek(1)
			left <- err
		}()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-left:
			return errLeft
		case <-released:
			_ = x.c.SetReadDeadline(time.Unix(1, 0)) // wakes the look for the client
			<-left
			return x.c.SetReadDeadline(time.Time{})
		}
	}
	return nil
}

// runMock is the mock as a process of its own: it prints where it listens and
// ends with its input.
func runMock(ctx context.Context, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("mock: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // to its end, however that comes
		cancel()
	}()
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return fmt.Errorf("mock: %w", err)
	}
	return serveMock(ctx, l)
}
