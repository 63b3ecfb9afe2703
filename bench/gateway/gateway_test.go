//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/bench/internal/report"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// TestMain lets the test's binary be the mock, the relay and the load client of a
// run.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{roleMock, roleRelay, roleLoad}, os.Args[1]) {
		if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// TestQuick runs the whole with Outcrop alone. It looks at no time: a busy machine
// must not fail a test.
func TestQuick(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and needs the real engine's folder")
	}
	var out, log bytes.Buffer
	if err := run(t.Context(), []string{"-peers", "", "-rounds", "1", "-seconds", "0.7", "-warm", "0.1", "-streams", "40"}, nil, &out, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.Bytes())
	}
	for _, want := range []string{
		"| OpenAI chat, 1 connection, Outcrop: CPU per request |", "| OpenAI chat, 16 connections, net/http relay: CPU per request |", "| Converse, 16 connections, Outcrop: added latency p50 |",
		"| ConverseStream, 16 connections, Outcrop: chunks out for each chunk in | 1 |", "| memory per open stream |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in the table:\n%s", want, out.Bytes())
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"x"}, {"-rounds", "0"}, {"-seconds", "0"}, {"-warm", "-1"}, {"-streams", "-1"}, {"-peers", "nobody"}, {"-nothing"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	b, err := parse(nil, io.Discard)
	if err != nil || len(b.peers) != 3 || b.rounds < 9 || b.limit > 45*time.Minute {
		t.Errorf("%+v, %v", b, err)
	}
}

// The document must have a place for the figures.
func TestDocumentHasPlace(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Rewrite(doc, []report.Section{{ID: "peers"}}); err != nil {
		t.Error(err)
	}
}

// startMock starts the mock in this process.
func startMock(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serveMock(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func chat(address, model string, stream bool) []byte {
	return post(address, "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[],"max_tokens":200, "stream": %v}`, model, stream))
}

// The mock makes what the checker asks for, in both forms.
func TestMock(t *testing.T) {
	t.Parallel()
	at := startMock(t)
	for _, c := range []struct {
		model  string
		form   form
		stream bool
	}{{instant, chatJSON, false}, {"acme." + instant + "-v1:0", chatJSON, false}, {instant, chatEvents, true}, {burst, chatEvents, true}, {paced, chatEvents, true}} {
		p := plan{Address: at, Connections: 2, Seconds: 0.05, Form: c.form, Tokens: tokensOf(c.model), Requests: [][]byte{chat(at, c.model, c.stream)}}
		if c.model != paced { // whose replies last longer
			o, err := p.run(t.Context())
			if err != nil || o.Done == 0 {
				t.Errorf("%+v: %+v, %v", c, o, err)
			}
			if c.model == burst && (o.Pieces != burstTokens || o.DelayP50 <= 0) {
				t.Errorf("%+v: %+v", c, o)
			}
			continue
		}
		if _, err := p.run(t.Context()); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	p := plan{Address: at, Connections: 1, Seconds: 0.01, Form: chatJSON, Requests: [][]byte{chat(at, "unknown", false)}}
	if _, err := p.run(t.Context()); err == nil {
		t.Error("an answer of 404 passes")
	}
	p.Refused, p.Refusal = p.Requests, 404
	if err := p.refusals(); err != nil {
		t.Error(err)
	}
	p.Refusal = 403
	if err := p.refusals(); err == nil {
		t.Error("a refusal with another status passes")
	}
}

// A held stream stays open until everybody is let go.
func TestStay(t *testing.T) {
	t.Parallel()
	at := startMock(t)
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(chat(at, stay, true)); err != nil {
		t.Fatal(err)
	}
	var all []byte
	buf := make([]byte, 4096)
	released := false
	for !bytes.Contains(all, []byte("[DONE]")) {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, buf[:n]...)
		if !released && bytes.Contains(all, []byte(`"content":" `)) {
			released = true
			p := plan{Address: at, Refused: [][]byte{post(at, releasePath, "{}")}, Refusal: 200}
			for !bytes.Contains(all, []byte("[DONE]")) { // until the stream has begun to wait
				if err := p.refusals(); err != nil {
					t.Fatal(err)
				}
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				n, err := c.Read(buf)
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
				all = append(all, buf[:n]...)
			}
		}
	}
	var stamps int
	stampsIn(all, func(int64) { stamps++ })
	if stamps != tokensOf(stay) {
		t.Errorf("%d stamps", stamps)
	}
}

func frame(t *testing.T, name, payload string) []byte {
	t.Helper()
	f, err := eventstream.NewEventFramer(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Append(nil, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The checker takes whole replies and nothing else.
func TestGrammar(t *testing.T) {
	t.Parallel()
	const start, delta, stop, end, usage = "messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"
	for name, c := range map[string]struct {
		events string
		good   bool
	}{
		"whole":             {start + " " + delta + " " + delta + " " + stop + " " + end + " " + usage, true},
		"with a start":      {start + " contentBlockStart " + delta + " " + stop + " " + end + " " + usage, true},
		"no usage":          {start + " " + delta + " " + stop + " " + end, false},
		"no text":           {start + " " + stop + " " + end + " " + usage, false},
		"no end of a block": {start + " " + delta + " " + end + " " + usage, false},
		"no start":          {delta + " " + stop + " " + end + " " + usage, false},
		"more":              {start + " " + delta + " " + stop + " " + end + " " + usage + " " + delta, false},
	} {
		for _, tokens := range []string{"160", "161"} {
			k := checker{form: frames, tokens: instantTokens}
			k.reset(true)
			var err error
			for e := range strings.FieldsSeq(c.events) {
				payload := `{"delta":{"text":"x"}}`
				if e == usage {
					payload = `{"usage":{"inputTokens":` + tokens + `}}`
				}
				if err == nil {
					f := frame(t, e, payload)
					err = errors.Join(k.piece(f[:7]), k.piece(f[7:]))
				}
			}
			if err == nil {
				err = k.end()
			}
			if good := c.good && tokens == "160"; (err == nil) != good {
				t.Errorf("%s with %s tokens: %v", name, tokens, err)
			}
		}
	}
	k := checker{form: frames}
	k.reset(true)
	f := frame(t, start, "{}")
	f[len(f)-1] ^= 1
	if k.piece(f) == nil {
		t.Error("a frame with a wrong checksum passes")
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	if got := slope([]float64{1, 2, 3}, []float64{12, 22, 32}); math.Abs(got-10) > 1e-9 {
		t.Errorf("slope %v", got)
	}
	b := &bench{peers: []string{liteLLM, portkey, miniStack}, taskset: "taskset"}
	var rounds []round
	for i := range 9 {
		r := round{Cells: map[string]outcome{}}
		for _, c := range b.cells() {
			r.Cells[c.String()] = outcome{Done: 100, Seconds: 1, CPU: map[string]float64{outcrop: 100, liteLLM: 3000, portkey: 700, miniStack: 500}[c.Server] + float64(i), P50: 200, Pieces: 100}
		}
		rounds = append(rounds, r)
	}
	var s report.Section
	b.figures(&s, rounds)
	found := map[string]report.Figure{}
	for _, f := range s.Figures {
		found[f.Name] = f
	}
	for name, met := range map[string]bool{
		"OpenAI chat, 16 connections, LiteLLM: CPU per request, in times Outcrop's": true,
		"OpenAI chat, 16 connections, Portkey: CPU per request, in times Outcrop's": false,
		"Converse, 1 connection, Outcrop: CPU per request":                          true,
		"ConverseStream, 16 connections, Outcrop: chunks out for each chunk in":     true,
	} {
		f, ok := found[name]
		if !ok || f.Bound == 0 || f.Interval == nil || f.Met() != met {
			t.Errorf("%s: %+v, there: %v", name, f, ok)
		}
	}
}

// What /proc tells of this process.
func TestProcesses(t *testing.T) {
	t.Parallel()
	if pids := tree(processes(), self()); len(pids) == 0 {
		t.Error("this process is not in its own tree")
	}
	if pss, err := treePSS(self()); err != nil || pss < 1<<20 {
		t.Errorf("%d bytes, %v", pss, err)
	}
	if treeCPU(0) != 0 || busy() <= 0 {
		t.Error("processor time")
	}
}
