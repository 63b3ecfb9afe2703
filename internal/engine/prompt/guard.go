package prompt

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// breakMark is put into the texts of special tokens: ZERO WIDTH SPACE, which no
// tokenizer drops and no special token holds.
const breakMark = "\u200b"

// Guard keeps untrusted text from becoming control tokens. The server parses
// special tokens in all text it is given, so their strings are broken before it
// sees them: a zero width space goes in after the first character.
type Guard struct {
	texts   map[string]struct{} // the special tokens
	lengths []int               // their lengths in bytes, ascending
	first   [256]bool           // their first bytes
	longest int
}

// Edge is what a template puts directly before and after an untrusted text, as
// far as it could form a special token together with the text.
type Edge struct{ Before, After string }

// NewGuard makes a guard against the given token texts. White space alone is no
// marker and is left out.
func NewGuard(tokens []string) *Guard {
	g := &Guard{texts: make(map[string]struct{}, len(tokens))}
	for _, t := range tokens {
		if strings.TrimSpace(t) == "" {
			continue
		}
		g.texts[t] = struct{}{}
		g.first[t[0]] = true
		if !slices.Contains(g.lengths, len(t)) {
			g.lengths = append(g.lengths, len(t))
		}
		g.longest = max(g.longest, len(t))
	}
	slices.Sort(g.lengths)
	return g
}

// at returns the length of the longest special token that begins at s[i:], 0
// when none does.
func (g *Guard) at(s string, i int) int {
	if !g.first[s[i]] {
		return 0
	}
	for j := len(g.lengths) - 1; j >= 0; j-- {
		if n := g.lengths[j]; n <= len(s)-i {
			if _, ok := g.texts[s[i:i+n]]; ok {
				return n
			}
		}
	}
	return 0
}

// hit reports whether s holds a special token.
func (g *Guard) hit(s string) bool {
	for i := range len(s) {
		if g.at(s, i) > 0 {
			return true
		}
	}
	return false
}

// Clean returns text without special tokens, also where text meets its edges.
// A text without any, the normal case, is returned as it is.
func (g *Guard) Clean(text string, edges []Edge) string {
	// Breaking one token cannot complete another unless tokens hold the mark
	// themselves; the bound is for those.
	for range 8 {
		if !g.hit(text) {
			break
		}
		text = g.breakUp(text)
	}
	for _, e := range edges {
		text = g.cleanEdge(text, e)
	}
	return text
}

// breakUp puts the mark into every special token of s, overlapping ones too. A
// token of one character is replaced by U+FFFD.
func (g *Guard) breakUp(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 64)
	for i := 0; i < len(s); {
		n := g.at(s, i)
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case n == 0:
			b.WriteString(s[i : i+size])
		case n <= size:
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteString(s[i : i+size])
			b.WriteString(breakMark)
		}
		i += size
	}
	return b.String()
}

// cleanEdge parts text from an edge with which it forms a special token.
func (g *Guard) cleanEdge(text string, e Edge) string {
	if text == "" {
		return text
	}
	near := text // as much of the text as a token that begins before it can hold
	if len(near) <= g.longest {
		near += e.After
	}
	for i := range len(e.Before) {
		if g.at(e.Before[i:]+near, 0) > len(e.Before)-i {
			text = breakMark + text
			break
		}
	}
	end := text[max(0, len(text)-g.longest):]
	for i := range len(end) {
		if g.at(end+e.After, i) > len(end)-i {
			return text + breakMark
		}
	}
	return text
}

// EdgeOf cuts the literals around an untrusted text down to what could form a
// special token with it; ok is false when nothing could.
func (g *Guard) EdgeOf(before, after string) (Edge, bool) {
	var e Edge
	for n := min(len(before), g.longest-1); n > 0 && e.Before == ""; n-- {
		end := before[len(before)-n:]
		for t := range g.texts {
			if len(t) > n && strings.HasPrefix(t, end) {
				e.Before = end
				break
			}
		}
	}
	for n := min(len(after), g.longest-1); n > 0 && e.After == ""; n-- {
		head := after[:n]
		for t := range g.texts {
			if len(t) > n && strings.HasSuffix(t, head) {
				e.After = head
				break
			}
		}
	}
	return e, e != Edge{}
}

// CleanJSON cleans the texts in a JSON text, keys among them, and leaves
// everything else as it is.
func (g *Guard) CleanJSON(raw []byte) []byte {
	var out []byte // nil as long as nothing has changed
	from := 0
	for i := 0; i < len(raw); i++ {
		if raw[i] != '"' {
			continue
		}
		end := i + 1
		for end < len(raw) && raw[end] != '"' {
			if raw[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(raw) {
			break // not JSON
		}
		var text string
		if json.Unmarshal(raw[i:end+1], &text) == nil {
			if safe := g.Clean(text, nil); safe != text {
				out = appendQuoted(append(out, raw[from:i]...), safe)
				from = end + 1
			}
		}
		i = end
	}
	if out == nil {
		return raw
	}
	return append(out, raw[from:]...)
}

// appendQuoted adds a text as JSON, "<" and the like as they are: what is within
// a call's arguments may reach the model as it stands here.
func appendQuoted(to []byte, text string) []byte {
	w := bytes.NewBuffer(to)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string into memory cannot fail
	return bytes.TrimSuffix(w.Bytes(), []byte("\n"))
}
