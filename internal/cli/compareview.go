package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/width"
)

// view shows answers while they come.
type view interface {
	// show gets the texts so far. The first whole of them are at their end.
	show(texts []string, whole int)
}

// silent shows nothing.
type silent struct{}

func (silent) show([]string, int) {}

// labelled writes whole answers one after the other, in the order of the models,
// with the model in front of each line.
type labelled struct {
	out  io.Writer
	all  []*contender
	next int
}

func (l *labelled) show(texts []string, whole int) {
	for ; l.next < whole; l.next++ {
		for line := range strings.Lines(texts[l.next]) {
			fmt.Fprintf(l.out, "%s | %s\n", printable(l.all[l.next].Model), printable(strings.TrimRight(line, "\n")))
		}
	}
}

// The sizes of columns, in cells of the terminal.
const (
	leastColumn = 24
	columnGap   = 3 // " │ "
)

// columns draws answers side by side, each time over what it drew before. While
// answers come, only as many of their last lines are shown as the terminal has:
// what has left the screen cannot be drawn over. In the end all of them are.
type columns struct {
	out           io.Writer
	all           []*contender
	width, height int // of the terminal
	drawn         int // lines
}

func (c *columns) show(texts []string, whole int) {
	n := len(c.all)
	wide := (c.width-columnGap*(n-1))/n - 1
	wrapped := make([][]string, n)
	longest := 0
	for i, text := range texts {
		wrapped[i] = wrap(printable(text), wide)
		longest = max(longest, len(wrapped[i]))
	}
	if room := c.height - 4; whole < n && longest > room {
		longest = max(room, 1)
		for i, lines := range wrapped {
			wrapped[i] = lines[max(0, len(lines)-longest):]
		}
	}
	var b strings.Builder
	if c.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", c.drawn) // up
	}
	b.WriteString("\r\x1b[J") // clear what is below
	heads := make([]string, n)
	for i, m := range c.all {
		heads[i] = short(printable(m.Model), wide)
	}
	rows := append([][]string{heads}, slices.Repeat([][]string{nil}, longest)...)
	for at := range longest {
		row := make([]string, n)
		for i := range wrapped {
			if at < len(wrapped[i]) {
				row[i] = wrapped[i][at]
			}
		}
		rows[at+1] = row
	}
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				b.WriteString(" │ ")
			}
			b.WriteString(cell)
			if i < n-1 {
				b.WriteString(strings.Repeat(" ", max(0, wide-cells(cell))))
			}
		}
		b.WriteString("\n")
	}
	c.drawn = len(rows)
	_, _ = io.WriteString(c.out, b.String()) // the terminal may be gone
}

// cells is how many cells of a terminal a text takes: two for a wide letter.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += cellsOf(r)
	}
	return n
}

func cellsOf(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// wrap cuts a text into lines of at most wide cells, between words where it can.
func wrap(text string, wide int) []string {
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\t", "  "), "\n") {
		out = append(out, wrapLine(line, wide)...)
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

func wrapLine(line string, wide int) []string {
	var out []string
	for cells(line) > wide {
		n, end, space := 0, 0, 0 // end: bytes that fit; space: bytes before the last space that does
		for i, r := range line {
			if n += cellsOf(r); n > wide {
				if r == ' ' {
					space = i
				}
				break
			}
			if end = i + len(string(r)); r == ' ' {
				space = i
			}
		}
		if space > 0 {
			end = space
		}
		out = append(out, line[:end])
		line = strings.TrimLeft(line[end:], " ")
	}
	return append(out, line)
}
