package reply

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestUnquote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`plain"`: "plain", `"`: "", `a\nb\t\"\\\/\b\f\r"`: "a\nb\t\"\\/\b\f\r", `\u00e9\u6771"`: "é東", `\ud83d\ude00x"`: "😀x", `東"`: "東",
	} {
		if got, n, ok := Unquote([]byte(in + "}}]")); !ok || got != want || in[n] != '"' {
			t.Errorf("%s: %q %d %v", in, got, n, ok)
		}
	}
	for _, in := range []string{``, `open`, `\`, `\x"`, `\u12"`, `\ud83d"`, `\ud83dxx"`, `\ud83d\u0041"`, "\xff\"", `a\n` + "\xff\""} {
		if got, _, ok := Unquote([]byte(in)); ok {
			t.Errorf("%q gave %q", in, got)
		}
	}
}

// Whatever encoding/json writes, the fast path reads.
func TestUnquoteAny(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, n, ok := Unquote(b[1:])
		if !ok || got != want || n != len(b)-2 {
			t.Fatalf("%s: %q %d %v", b, got, n, ok)
		}
	})
}
