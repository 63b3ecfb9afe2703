package report

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
	s := Section{
		ID: "startup", Command: "go run ./bench -startup", Machine: "2 vCPUs", Load: "0.10",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Figures: []Figure{
			{Name: "start", Value: 120, Unit: "ms", Bound: 100, Interval: &[2]float64{110, 130}},
			{Name: "ratio", Value: 0.98, Bound: 0.97, Least: true, Note: "median"},
		},
	}
	doc := "# Title\n\n<!-- bench:startup -->\nold\n<!-- /bench:startup -->\nend\n"
	got, err := Rewrite([]byte(doc), []Section{s})
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
	if again, err := Rewrite(got, []Section{s}); err != nil || !bytes.Equal(again, got) {
		t.Errorf("a second write changed the document: %v", err)
	}
	if s.Missed() != 1 {
		t.Errorf("%d targets missed, want 1", s.Missed())
	}
	if _, err := Rewrite([]byte("# Title\n"), []Section{s}); err == nil {
		t.Error("a document without a place for the figures was taken")
	}
}
