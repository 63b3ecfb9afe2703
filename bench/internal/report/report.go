// Package report makes tables out of figures, and puts them into documents.
package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
)

// Figure is one number that was measured.
type Figure struct {
	Name     string      `json:"name"`
	Value    float64     `json:"value"`
	Unit     string      `json:"unit,omitempty"`
	Interval *[2]float64 `json:"interval_95,omitempty"` // of Value, 95 %
	// Bound is the target that Value is held against; 0 means there is none.
	// Least tells that Value must be at least Bound, else at most.
	Bound float64 `json:"target,omitempty"`
	Least bool    `json:"target_is_least,omitempty"`
	Note  string  `json:"note,omitempty"`
}

// Met tells whether the target is met.
func (f Figure) Met() bool {
	if f.Least {
		return f.Value >= f.Bound
	}
	return f.Value <= f.Bound
}

// Section is what one kind of measurement found.
type Section struct {
	ID      string    `json:"id"` // "engine", "gateway", "startup", "micro"
	Command string    `json:"command"`
	Time    time.Time `json:"time"`
	Machine string    `json:"machine"`
	Load    string    `json:"load_before"` // load average of the last minute
	Note    string    `json:"note,omitempty"`
	Figures []Figure  `json:"figures"`
}

// Add appends a figure.
func (s *Section) Add(f Figure) { s.Figures = append(s.Figures, f) }

// Missed counts the figures that miss their target.
func (s *Section) Missed() int {
	n := 0
	for _, f := range s.Figures {
		if f.Bound != 0 && !f.Met() {
			n++
		}
	}
	return n
}

// Markdown writes the Section as the table that docs/performance.md shows.
func (s *Section) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, %s, load average before the run %s.", s.Command, s.Time.Format(time.DateOnly), s.Machine, s.Load)
	if s.Note != "" {
		b.WriteString(" " + s.Note)
	}
	b.WriteString("\n\n")
	b.WriteString("| figure | value | 95 % interval | target | met | remark |\n|---|---:|---|---|---|---|\n")
	for _, f := range s.Figures {
		between, target, met := "", "", ""
		if f.Interval != nil {
			between = number(f.Interval[0]) + " to " + number(f.Interval[1])
		}
		if f.Bound != 0 {
			target, met = "≤ "+unit(f.Bound, f.Unit), "yes"
			if f.Least {
				target = "≥ " + unit(f.Bound, f.Unit)
			}
			if !f.Met() {
				met = "**no**"
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.Name, unit(f.Value, f.Unit), between, target, met, f.Note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func unit(v float64, u string) string {
	if u == "" {
		return number(v)
	}
	return number(v) + " " + u
}

// number writes v with the digits that a person wants to see.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "none"
	case a >= 10_000:
		s := fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// Rewrite puts the sections into a document, each between its two marks
// "<!-- bench:ID -->" and "<!-- /bench:ID -->". Errors: a mark is missing.
func Rewrite(doc []byte, sections []Section) ([]byte, error) {
	for i := range sections {
		s := &sections[i]
		begin, end := []byte("<!-- bench:"+s.ID+" -->\n"), []byte("<!-- /bench:"+s.ID+" -->")
		at := bytes.Index(doc, begin)
		to := bytes.Index(doc, end)
		if at < 0 || to < at {
			return nil, fmt.Errorf("the document has no place for the figures of %s: %s", s.ID, bytes.TrimSpace(begin))
		}
		var b bytes.Buffer
		b.Write(doc[:at+len(begin)])
		if err := s.Markdown(&b); err != nil {
			return nil, err
		}
		b.Write(doc[to:])
		doc = b.Bytes()
	}
	return doc, nil
}

// RewriteFile is Rewrite on a file.
func RewriteFile(path string, sections []Section) error {
	doc, err := os.ReadFile(path) //nolint:gosec // the repository's own document
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if doc, err = Rewrite(doc, sections); err != nil {
		return fmt.Errorf("write the figures to %s: %w", path, err)
	}
	if err := os.WriteFile(path, doc, 0o644); err != nil { //nolint:gosec // a document for everybody
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}
