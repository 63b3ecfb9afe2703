package engine_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
)

func stopper(user, builtin []string) *engine.Stopper {
	return engine.NewStopper(&llm.Request{Params: llm.Params{Stop: user}, BuiltinStop: builtin})
}

func TestStopper(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stops  []string
		deltas []string
		text   string
		hit    string
	}{
		"across deltas":         {[]string{"END"}, []string{"abE", "N", "Dxyz"}, "ab", "END"},
		"beginning that breaks": {[]string{"aab"}, []string{"a", "a", "a", "b"}, "a", "aab"},
		"never":                 {[]string{"xyz"}, []string{"wx", "y"}, "wxy", ""},
		"first complete counts": {[]string{"xab", "a"}, []string{"xab"}, "x", "a"},
		"longer at one end":     {[]string{"b", "ab"}, []string{"xab"}, "x", "ab"},
		"at the beginning":      {[]string{"\n\nHuman:"}, []string{"\n", "\nHuman:"}, "", "\n\nHuman:"},
		"whole delta":           {[]string{"x"}, []string{"x"}, "", "x"},
		"letters of many bytes": {[]string{"京。"}, []string{"東京", "。終"}, "東", "京。"},
	} {
		s := stopper(c.stops, nil)
		var text, hit string
		for _, d := range c.deltas {
			var out string
			out, hit = s.Push(d)
			text += out
			if hit != "" {
				break
			}
		}
		if hit == "" {
			text += s.Rest()
		}
		if text != c.text || hit != c.hit {
			t.Errorf("%s: %q by %q, want %q by %q", name, text, hit, c.text, c.hit)
		}
	}
	if stopper([]string{""}, nil) != nil {
		t.Error("an empty stop text counts")
	}
}

func TestStopperReason(t *testing.T) {
	t.Parallel()
	s := stopper([]string{"a", "c"}, []string{"b", "c"})
	for hit, want := range map[string]llm.StopReason{"a": llm.StopSequence, "b": llm.EndTurn, "c": llm.StopSequence} {
		if got := s.Reason(hit); got != want {
			t.Errorf("%q: %s, want %s", hit, got, want)
		}
	}
}

// However a text is cut into deltas, the reply is the text up to the stop text
// that is complete first.
func TestStopperCuts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab東")), 0, 30, -1).Draw(t, "text")
		stops := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab東")), 1, 4, -1), 1, 3).Draw(t, "stops")
		want, wantHit := text, ""
		for end := range len(text) + 1 {
			for _, s := range stops {
				if strings.HasSuffix(text[:end], s) && len(s) > len(wantHit) {
					want, wantHit = text[:end-len(s)], s
				}
			}
			if wantHit != "" {
				break
			}
		}
		s := stopper(stops, nil)
		var got, hit string
		for rest := text; rest != "" && hit == ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			var out string
			out, hit = s.Push(rest[:n])
			got, rest = got+out, rest[n:]
		}
		if hit == "" {
			got += s.Rest()
		}
		if got != want || hit != wantHit {
			t.Fatalf("%q by %q, want %q by %q", got, hit, want, wantHit)
		}
	})
}
