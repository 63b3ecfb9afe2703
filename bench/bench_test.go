package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/bench/internal/report"
	"github.com/outcrop/outcrop/bench/internal/wire"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

func TestMain(m *testing.M) {
	if sandbox.InChild() {
		os.Exit(sandbox.Child())
	}
	goleak.VerifyTestMain(m)
}

// quick runs the program with -quick and returns the figures that it wrote.
// Nothing here looks at a time: a busy machine must not fail a test.
func quick(t *testing.T, flags ...string) section {
	t.Helper()
	file := filepath.Join(t.TempDir(), "figures.json")
	o, err := parse(append(flags, "-quick", "-json", file), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.load = inside // the test's binary is not the load client
	var out bytes.Buffer
	if err := o.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s []section
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if len(s) != 1 || len(s[0].Figures) == 0 {
		t.Fatalf("got %d sections, want one with figures", len(s))
	}
	for _, f := range s[0].Figures {
		if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
			t.Errorf("%s is %v", f.Name, f.Value)
		}
		if !strings.Contains(out.String(), "| "+f.Name+" |") {
			t.Errorf("%s is not in the table", f.Name)
		}
	}
	return s[0]
}

// want checks that figures are there and above zero.
func want(t *testing.T, s section, names ...string) {
	t.Helper()
	have := map[string]float64{}
	for _, f := range s.Figures {
		have[f.Name] = f.Value
	}
	for _, n := range names {
		if have[n] <= 0 {
			t.Errorf("%s: got %v, want a value above 0", n, have[n])
		}
	}
}

func TestQuickGateway(t *testing.T) {
	t.Parallel()
	s := quick(t, "-gateway")
	for _, n := range []string{"1 connection", "16 connections", "64 connections"} {
		want(t, s, "Converse, "+n+": requests/s", "Converse, "+n+": latency p50", "Converse, "+n+": latency p99",
			"Converse, "+n+": allocations per request", "Converse, "+n+": bytes allocated per request", "ConverseStream, "+n+": chunks/s")
	}
}

func TestQuickAccess(t *testing.T) {
	t.Parallel()
	// What the policies add may come out below zero when so little is measured.
	want(t, quick(t, "-access"), "latency p50 of the account's root, without policies", "latency p50 of a user with 50 policies of three statements")
}

func TestQuickSoak(t *testing.T) {
	t.Parallel()
	want(t, quick(t, "-soak"), "streams open at once") // the memory of this process is not the server's alone
}

// Shares and goodput are the scheduler's, not the machine's: they hold wherever the
// engine's time is a clock's.
func TestQuickOverload(t *testing.T) {
	t.Parallel()
	s := quick(t, "-overload")
	want(t, s, "goodput under overload: share of the peak", "refusals", "latency of a reply p99", "tokens of the account that got less, of an even share")
	for _, f := range s.Figures {
		if f.Name == "answers that are neither replies nor errors to try again" && f.Value != 0 {
			t.Errorf("%v %s", f.Value, f.Note)
		}
	}
}

func TestQuickEngine(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs the real engine")
	}
	want(t, quick(t, "-engine"), "1 stream, decode rate: ratio to the bare engine",
		"4 streams, aggregate rate: ratio to the bare engine", "8 streams, aggregate rate: ratio to the bare engine")
}

func TestQuickStartup(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and needs the real engine")
	}
	want(t, quick(t, "-startup"), "start to listening", "start to ready", "size of the program")
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"x"}, {"-pairs", "0"}, {"-tokens", "1"}, {"-nothing"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	o, err := parse(nil, io.Discard)
	if err != nil || !o.engine || !o.gateway || !o.startup || !o.micro {
		t.Errorf("no flags mean every part: %+v, %v", o, err)
	}
	if o, err = parse([]string{"-startup"}, io.Discard); err != nil || o.engine || !o.startup {
		t.Errorf("-startup means that part alone: %+v, %v", o, err)
	}
	o.quick, o.write, o.startup = true, true, false
	if err := o.run(t.Context(), io.Discard); err == nil {
		t.Error("figures of -quick went into the document")
	}
}

func TestTakeKeepsTheCalmest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cores  []float64 // that others keep busy, try by try
		want   []int     // tries that are kept, calmest first
		tries  int
		others float64
	}{
		"calm":        {[]float64{0, 0.05}, []int{0, 1}, 2, 0.05},
		"one too bad": {[]float64{0.02, 1.5, 0.01}, []int{2, 0}, 3, 0.02},
		"never calm":  {[]float64{0.9, 0.8, 0.7, 0.6, 0.5, 0.4}, []int{5, 4}, 6, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := -1
			got, err := take(t.Context(), &patient{}, 2, func() (int, float64, error) { i++; return i, test.cores[i], nil })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.values); diff != "" || got.tries != test.tries || got.others != test.others {
				t.Errorf("%s, %s", got, diff)
			}
		})
	}
	if _, err := take(t.Context(), &patient{}, 1, func() (int, float64, error) { return 0, 0, io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want that of the try", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := take(ctx, &patient{}, 1, func() (int, float64, error) { return 0, 0, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 0)
	before := usage{at: at, all: 1000, own: 100, known: true}
	after := usage{at: at.Add(2 * time.Second), all: 1300, own: 200, known: true}
	if got := foreign(before, after); got != 1 {
		t.Errorf("others used %v cores, want 1", got)
	}
	after.own = 900
	if got := foreign(before, after); got != 0 {
		t.Errorf("others used %v cores, want 0", got)
	}
	if got := foreign(usage{}, after); got != 0 {
		t.Errorf("unknown use is %v cores, want 0", got)
	}
}

// The document must have a place for the figures of each part.
func TestDocumentHasPlaces(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	o := &options{}
	var all []section
	for _, p := range o.parts("") {
		all = append(all, section{ID: p.id})
	}
	if _, err := report.Rewrite(doc, all); err != nil {
		t.Error(err)
	}
}

func TestParseBenchmarks(t *testing.T) {
	t.Parallel()
	out := "goos: linux\nBenchmarkVerify-2   \t  100\t 300.0 ns/op\t  16 B/op\t   2 allocs/op\n" +
		"BenchmarkVerify-2   \t  100\t 100.0 ns/op\t 45.1 MB/s\t  16 B/op\t   2 allocs/op\n" +
		"BenchmarkVerify-2   \t  100\t 200.0 ns/op\t  16 B/op\t   2 allocs/op\n" +
		"BenchmarkPlain/with_name \t  7\t 1.5 ns/op\nPASS\n"
	want := []figure{
		{Name: "Verify", Value: 200, Unit: "ns/op", Note: "2 allocations, 16 B"},
		{Name: "Plain/with_name", Value: 1.5, Unit: "ns/op"},
	}
	if diff := cmp.Diff(want, parseBenchmarks([]byte(out))); diff != "" {
		t.Error(diff)
	}
}

// The load client must notice replies that are not what they should be.
func TestLoadFindsBadAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		deltas int
	}{
		"wrong status": {"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", 0},
		"no deltas":    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLoader(plan{Requests: [][]byte{[]byte("x")}, Status: 200, Deltas: test.deltas}, answer(t, test.answer), 1)
			if err := l.loop(0); err == nil {
				t.Error("taken as a good reply")
			}
		})
	}
}

func TestClientReportsErrors(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	in := fmt.Sprintf(`{"address":%q,"connections":1,"count":1,"requests":["eA=="]}`, address)
	if err := client(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	var o outcome
	if err := json.Unmarshal(out.Bytes(), &o); err != nil || o.FirstError == "" {
		t.Errorf("outcome %+v, %v; want an error in it", o, err)
	}
	if err := client(strings.NewReader("{"), io.Discard); err == nil {
		t.Error("half a plan was taken")
	}
}

func TestRatesNeedWholeReplies(t *testing.T) {
	t.Parallel()
	r := &reply{}
	if err := r.readEvent([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n")); err != nil || r.first.IsZero() {
		t.Errorf("text was not seen: %v", err)
	}
	if err := r.readEvent([]byte("data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n")); err != nil || r.tokens != 7 {
		t.Errorf("got %d tokens, %v; want 7", r.tokens, err)
	}
	if _, err := rate(2, 8, func() *reply { return &reply{network: "tcp", address: "127.0.0.1:0"} }); err == nil {
		t.Error("streams that failed have a rate")
	}
}

// answer serves one connection with a canned answer per request of one byte.
func answer(t *testing.T, text string) *wire.Conn {
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
	w := wire.New(ours)
	t.Cleanup(func() { w.Close(); <-done })
	return w
}
