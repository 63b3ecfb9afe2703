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

func TestStatistics(t *testing.T) {
	t.Parallel()
	v := []float64{3, 1, 2, 4}
	if got := median(v); got != 2.5 {
		t.Errorf("median %v, want 2.5", got)
	}
	if diff := cmp.Diff([]float64{3, 1, 2, 4}, v); diff != "" {
		t.Errorf("median changed its argument:\n%s", diff)
	}
	if got := quantile([]float64{0, 10}, 0.99); math.Abs(got-9.9) > 1e-9 {
		t.Errorf("quantile %v, want 9.9", got)
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing is %v", got)
	}
	if got := interval([]float64{5, 5, 5}); got != [2]float64{5, 5} {
		t.Errorf("interval of equal values is %v", got)
	}
	many := make([]float64, 101)
	for i := range many {
		many[i] = float64(i)
	}
	if got := interval(many); got[0] < 30 || got[0] > 49 || got[1] < 51 || got[1] > 70 {
		t.Errorf("interval of 0..100 is %v", got)
	}
	if diff := cmp.Diff([]float64{1, 2000}, micros([]time.Duration{2 * time.Millisecond, time.Microsecond})); diff != "" {
		t.Error(diff)
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

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0.97: "0.970", 12.34: "12.3", 123.4: "123", 12345.6: "12,346", -1234567: "-1,234,567", 100: "100", 5: "5", math.NaN(): "none",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	s := section{
		ID: "startup", Command: "go run ./bench -startup", Machine: "2 vCPUs", Load: "0.10",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Figures: []figure{
			{Name: "start", Value: 120, Unit: "ms", Bound: 100, Interval: &[2]float64{110, 130}},
			{Name: "ratio", Value: 0.98, Bound: 0.97, Least: true, Note: "median"},
		},
	}
	doc := "# Title\n\n<!-- bench:startup -->\nold\n<!-- /bench:startup -->\nend\n"
	got, err := rewrite([]byte(doc), []section{s})
	if err != nil {
		t.Fatal(err)
	}
	want := "# Title\n\n<!-- bench:startup -->\n" +
		"`go run ./bench -startup`, 2026-01-02, 2 vCPUs, load average before the run 0.10.\n\n" +
		"| figure | value | 95 % interval | target | met | remark |\n|---|---:|---|---|---|---|\n" +
		"| start | 120 ms | 110 to 130 | ≤ 100 ms | **no** |  |\n" +
		"| ratio | 0.980 |  | ≥ 0.970 | yes | median |\n" +
		"<!-- /bench:startup -->\nend\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if again, err := rewrite(got, []section{s}); err != nil || !bytes.Equal(again, got) {
		t.Errorf("a second write changed the document: %v", err)
	}
	if s.missed() != 1 {
		t.Errorf("%d targets missed, want 1", s.missed())
	}
	if _, err := rewrite([]byte("# Title\n"), []section{s}); err == nil {
		t.Error("a document without a place for the figures was taken")
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
	if _, err := rewrite(doc, all); err != nil {
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

// answer serves one connection with a canned answer per request of one byte.
func answer(t *testing.T, text string) *wire {
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
	w := newWire(ours)
	t.Cleanup(func() { w.close(); <-done })
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
				status, err := w.do([]byte("x"), func(p []byte) error {
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
		"lines":            {lineEnd, []string{"a\nb", "c\n", "d"}, []string{"a\n", "bc\n"}},
		"frame in one":     {frameEnd, []string{frame(16)}, []string{frame(16)}},
		"frames together":  {frameEnd, []string{frame(16) + frame(20)}, []string{frame(16), frame(20)}},
		"frame in pieces":  {frameEnd, []string{frame(16)[:2], frame(16)[2:9], frame(16)[9:]}, []string{frame(16)}},
		"one and a half":   {frameEnd, []string{frame(16) + frame(20)[:7], frame(20)[7:]}, []string{frame(16), frame(20)}},
		"length too small": {frameEnd, []string{"\x00\x00\x00\x03abcdefghijklmnop"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cutter{end: test.end}
			var got []string
			for _, p := range test.pieces {
				if err := c.add([]byte(p), func(u []byte) error { got = append(got, string(u)); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
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
