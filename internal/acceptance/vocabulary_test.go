package acceptance

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// vocabulary is what the header of a model file says of its tokens.
type vocabulary struct {
	gguf.Tokenizer
	specials []string     // texts that could become control tokens, the longest first
	control  map[int]bool // their ids
	bytes    map[rune]byte
}

func readVocabulary(t testing.TB, path string) *vocabulary {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // read only
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	h, err := gguf.Read(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	v := &vocabulary{Tokenizer: h.Tokenizer, specials: h.Tokenizer.SpecialTokens(), control: map[int]bool{}, bytes: byteLetters()}
	if len(v.specials) == 0 {
		t.Fatalf("%s names no special token", path)
	}
	slices.SortStableFunc(v.specials, func(a, b string) int { return len(b) - len(a) })
	for id, text := range v.Tokens {
		if slices.Contains(v.specials, text) {
			v.control[id] = true
		}
	}
	return v
}

// ends reports whether a token ends a reply.
func (v *vocabulary) ends(id int) bool { return id == v.EOS || id == v.EOT || id == v.EOM }

// controls counts the control tokens among ids.
func (v *vocabulary) controls(ids []int) int {
	n := 0
	for _, id := range ids {
		if v.control[id] {
			n++
		}
	}
	return n
}

// breakUp is the product's rule for text that is not the template's: a zero
// width space stands after the first character of every special token.
func (v *vocabulary) breakUp(text string) string {
	for _, s := range v.specials {
		_, n := utf8.DecodeRuneInString(s)
		text = strings.ReplaceAll(text, s, s[:n]+"\u200b"+s[n:])
	}
	return text
}

// safe is a conversation as the engine may see it.
func (v *vocabulary) safe(c conversation) conversation {
	out := make(conversation, len(c))
	for i, t := range c {
		out[i] = turn{t.Role, v.breakUp(t.Content)}
	}
	return out
}

// text is what the ids say, up to the last token that ends a character: some
// end within one, and the engine shows their text when a later one completes it.
// It is for vocabularies of byte pairs, whose tokens spell bytes in letters.
func (v *vocabulary) text(ids []int) string {
	var b []byte
	whole := 0
	for _, id := range ids {
		if v.control[id] {
			continue
		}
		for _, r := range v.Tokens[id] {
			b = append(b, v.bytes[r])
		}
		if r, n := utf8.DecodeLastRune(b); r != utf8.RuneError || n != 1 {
			whole = len(b)
		}
	}
	return string(b[:whole])
}

// byteLetters maps the letters of byte pair vocabularies to bytes: printable
// ones of Latin-1 stand for themselves, the others for 256 and up in order.
func byteLetters() map[rune]byte {
	m := make(map[rune]byte, 256)
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if !(r >= '!' && r <= '~' || r >= 0xa1 && r <= 0xac || r >= 0xae && r <= 0xff) {
			r = next
			next++
		}
		m[r] = byte(b)
	}
	return m
}
