package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                      nil,
		"short":                 {"short"},
		"one two three":         {"one two", "three"},
		"exactly10!":            {"exactly10!"},
		"ten chars! more":       {"ten chars!", "more"},
		"a\n\nb\n":              {"a", "", "b"},
		"averyveryverylongword": {"averyveryv", "erylongwor", "d"},
		"東京東京東京":                {"東京東京東", "京"},
		"a 東京東京東京":              {"a", "東京東京東", "京"},
		"x\ty":                  {"x  y"},
	} {
		if got := wrap(in, 10); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		for _, line := range wrap(in, 10) {
			if cells(line) > 10 {
				t.Errorf("%q: the line %q is too wide", in, line)
			}
		}
	}
}

// screen is a terminal that knows what columns writes.
type screen struct {
	lines []string
	at    int
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	if up, rest, ok := strings.Cut(text, "A\r\x1b[J"); ok {
		n := 0
		for _, d := range strings.TrimPrefix(up, "\x1b[") {
			n = 10*n + int(d-'0')
		}
		s.at -= n
		text = rest
	} else {
		text = strings.TrimPrefix(text, "\r\x1b[J")
	}
	s.lines = s.lines[:s.at]
	for line := range strings.Lines(text) {
		s.lines = append(s.lines, strings.TrimRight(line, " \n"))
	}
	s.at = len(s.lines)
	return len(p), nil
}

func TestColumns(t *testing.T) {
	t.Parallel()
	s := &screen{}
	v := &columns{out: s, all: []*contender{{Model: "acme.a-v1:0"}, {Model: "acme.a-very-long-model-name-v1:0"}}, width: 52, height: 7}
	v.show([]string{"one", ""}, 0)
	v.show([]string{"one two three four five six seven", "東京 x"}, 1)
	v.show([]string{"one two three four five six seven\x1b[2J", "a\nb\nc\nd\ne"}, 1)
	want := []string{ // the heads, then as many last lines as there is room for
		"acme.a-v1:0             │ acme.a-very-long-model…",
		"one two three four five │ c",
		"six seven[2J            │ d",
		"                        │ e",
	}
	if got := s.lines; !slices.Equal(got, want) {
		t.Errorf("while they come:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	v.show([]string{"one two", "a\nb\nc\nd\ne"}, 2)
	if got := s.lines; len(got) != 6 || got[5] != strings.Repeat(" ", 23)+" │ e" {
		t.Errorf("in the end:\n%s", strings.Join(got, "\n"))
	}
	for _, line := range s.lines {
		if cells(line) > 52 {
			t.Errorf("too wide: %q", line)
		}
	}
}
