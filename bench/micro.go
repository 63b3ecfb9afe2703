package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"github.com/outcrop/outcrop/bench/internal/stats"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// microRun runs the Go benchmarks of the hot path.
type microRun struct {
	root  string // of the repository
	count int    // runs of each; the median is reported
	time  string // of each run, for -benchtime
}

// microBenchmarks are the ones that a request meets on its way, in that order.
var microBenchmarks = [...]struct{ pkg, pattern string }{
	{"internal/wire/route", "MatchRealTables"},
	{"internal/wire/sigv4", "Verify"},
	{"internal/wire/restjson", "."},
	{"internal/catalog", "Resolve"},
	{"internal/family/converse", "."},
	{"internal/family/anthropic", "."},
	{"internal/family/titan", "."},
	{"internal/limit", "Slots"},
	{"internal/engine/llamacpp", "."},
	{"internal/wire/eventstream", "Frame$"},
	{"internal/meter", "Add"},
	{"internal/store/sqlite", "PutUsage"},
}

func (g microRun) measure(ctx context.Context, s *section) error {
	for _, m := range microBenchmarks {
		args := []string{"test", "-run", "^$", "-bench", m.pattern, "-benchmem", "-count", strconv.Itoa(g.count), "-benchtime", g.time, "./" + m.pkg}
		cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // a fixed list
		cmd.Dir = g.root
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		for _, f := range parseBenchmarks(out) {
			f.Name = strings.TrimPrefix(m.pkg, "internal/") + " " + f.Name
			s.Add(f)
		}
	}
	return nil
}

var benchmarkLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:.*?\s([\d.]+) B/op\s+([\d.]+) allocs/op)?`)

// parseBenchmarks reads what `go test -bench` prints: one figure per benchmark,
// the median of its runs.
func parseBenchmarks(out []byte) []figure {
	type seen struct {
		ns            []float64
		bytes, allocs string
	}
	var names []string
	runs := map[string]*seen{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		m := benchmarkLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		r, ok := runs[m[1]]
		if !ok {
			r = &seen{}
			runs[m[1]] = r
			names = append(names, m[1])
		}
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			continue
		}
		r.ns, r.bytes, r.allocs = append(r.ns, ns), m[3], m[4]
	}
	out2 := make([]figure, 0, len(names))
	for _, n := range names {
		f := figure{Name: n, Value: stats.Median(runs[n].ns), Unit: "ns/op"}
		if runs[n].allocs != "" {
			f.Note = runs[n].allocs + " allocations, " + runs[n].bytes + " B"
		}
		out2 = append(out2, f)
	}
	return out2
}
