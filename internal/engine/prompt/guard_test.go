package prompt

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	g := NewGuard([]string{"<|im_end|>", "<|im_start|>", "<s>", "\n", "§", ">>", "東京"})
	for in, want := range map[string]string{
		"":                     "",
		"plain < text |":       "plain < text |",
		"a<s>b":                "a<\u200bs>b",
		"<|im_<|im_end|>end|>": "<|im_<\u200b|im_end|>end|>",
		">>>":                  ">\u200b>\u200b>",
		"x§y":                  "x\uFFFDy",
		"in 東京!":               "in 東\u200b京!",
		"line\nline":           "line\nline", // white space is no marker
	} {
		got := g.Clean(in, nil)
		if got != want || g.hit(got) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// The mark itself may complete a token; the text still ends without any.
func TestGuardMarkInTokens(t *testing.T) {
	t.Parallel()
	g := NewGuard([]string{"ab", "a\u200bb"})
	if got := g.Clean("xabx", nil); g.hit(got) {
		t.Errorf("%q still holds a token", got)
	}
}

func TestGuardEdges(t *testing.T) {
	t.Parallel()
	g := NewGuard([]string{"<|end|>", "[INST]"})
	e, ok := g.EdgeOf("text <|", "|> text")
	if !ok || e.Before != "<|" || e.After != "|>" {
		t.Fatalf("edge %q %v", e, ok)
	}
	if _, ok := g.EdgeOf("user\n", "\n"); ok {
		t.Error("harmless literals make an edge")
	}
	for text, want := range map[string]string{
		"end|>":                           "\u200bend|>",   // together with the literal before it
		"<|end":                           "<|end\u200b",   // with the one after it
		"end":                             "\u200bend",     // with both
		"fine":                            "fine",          //
		"":                                "",              //
		"<|end|>":                         "<\u200b|end|>", // by itself
		"friend|":                         "friend|",       //
		strings.Repeat("x", 99) + "<|end": strings.Repeat("x", 99) + "<|end\u200b",
	} {
		got := g.Clean(text, []Edge{e})
		if got != want || g.hit(e.Before+got+e.After) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestGuardAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.RuneFrom([]rune("<|>ab東\u200b")), 1, 5, -1)
		g := NewGuard(rapid.SliceOfN(word, 1, 5).Draw(t, "tokens"))
		e := Edge{Before: word.Draw(t, "before"), After: word.Draw(t, "after")}
		text := rapid.StringOfN(rapid.RuneFrom([]rune("<|>ab東")), 0, 20, -1).Draw(t, "text")
		got := g.Clean(text, nil)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		marked := false // tokens that hold the mark may stay: no tokenizer has any
		for tok := range g.texts {
			marked = marked || strings.Contains(tok, breakMark)
		}
		if !marked && g.hit(got) {
			t.Fatalf("%q holds a token", got)
		}
		g.Clean(text, []Edge{e})
	})
}

func BenchmarkGuard(b *testing.B) {
	g := NewGuard([]string{"<|im_end|>", "<|im_start|>", "<s>"})
	text := strings.Repeat("All work and no play makes Jack a dull boy. ", 100)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		g.Clean(text, nil)
	}
}
