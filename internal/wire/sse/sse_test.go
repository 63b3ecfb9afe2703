package sse

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, data, want string }{
		{"", "[DONE]", "data: [DONE]\n\n"},
		{"ping", `{"a":1}`, "event: ping\ndata: {\"a\":1}\n\n"},
		{"", "a\nb\r\nc", "data: a\ndata: b\ndata: c\n\n"},
		{"", "", "data: \n\n"},
	} {
		if got := string(Append([]byte("x"), c.name, []byte(c.data))); got != "x"+c.want {
			t.Errorf("%q: %q", c.data, got)
		}
	}
}

// FuzzAppend reads every event back: data must come out as it went in, and can
// not begin another event or field.
func FuzzAppend(f *testing.F) {
	f.Add("data: x\n\nevent: y")
	f.Fuzz(func(t *testing.T, data string) {
		if strings.Contains(data, "\r") {
			return // a lone carriage return ends a line for readers too
		}
		s := bufio.NewScanner(bytes.NewReader(Append(nil, "e", []byte(data))))
		s.Buffer(nil, 1<<20)
		var got []string
		for i := 0; s.Scan(); i++ {
			if line := s.Text(); strings.HasPrefix(line, "data: ") {
				got = append(got, strings.TrimPrefix(line, "data: "))
			} else if (i > 0 || line != "event: e") && line != "" {
				t.Fatalf("line %q", line)
			}
		}
		if strings.Join(got, "\n") != data {
			t.Fatalf("%q became %q", data, got)
		}
	})
}
