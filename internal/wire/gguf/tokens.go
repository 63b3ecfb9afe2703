package gguf

import (
	"strings"
	"unicode/utf8"
)

// TokenType is the class of a token in the vocabulary.
type TokenType uint8

// The classes of tokens.
const (
	TokenUnset       TokenType = 0
	TokenNormal      TokenType = 1
	TokenUnknown     TokenType = 2
	TokenControl     TokenType = 3 // parsed from text only when special tokens are asked for
	TokenUserDefined TokenType = 4 // parsed from text always
	TokenUnused      TokenType = 5
	TokenByte        TokenType = 6
)

// None stands for a token id that the file does not name.
const None = -1

// Tokenizer is the vocabulary of a model.
type Tokenizer struct {
	Model  string      // "gpt2" (byte pairs), "llama" (sentence pieces), "bert", ...
	Pre    string      // name of the splitting rule before byte pairs
	Tokens []string    // text of each token id
	Types  []TokenType // class of each token id; nil when the file has none

	BOS, EOS, EOT, EOM, Unknown, Padding int // token ids, None when not named

	AddBOS *bool // whether input begins with BOS; nil leaves it to the engine
	AddEOS *bool
}

// SpecialTokens lists the texts which an engine may turn into something other
// than plain text when they appear in a prompt, each once, in the order of
// their ids. Text from users must not hold any of them.
//
// These are the tokens of class control and unknown, the user-defined tokens
// that look like markers, the tokens named as begin, end or end of turn, and
// tokens of any class that llama.cpp takes for control tokens because of their
// text. A user-defined token looks like a marker when it begins with "<" and
// ends with ">", or begins with "[" and ends with "]", or holds "<|" or "|>"
// (or their full-width forms), and is not a plain HTML tag: Gemma keeps about
// a hundred of those, and "<td>" forges nothing. Runs of spaces and newlines,
// which Gemma keeps as user-defined tokens too, are plain text as well.
func (t *Tokenizer) SpecialTokens() []string {
	var out []string
	seen := make(map[string]struct{})
	for id, text := range t.Tokens {
		if text == "" || !t.special(id, text) {
			continue
		}
		if _, dup := seen[text]; !dup {
			seen[text] = struct{}{}
			out = append(out, text)
		}
	}
	return out
}

// Longest tells how many bytes of text one token stands for at most, and how
// many of those that are not white space (space, tab, line ends). Both are 0
// where that has no bound: tokenizers other than byte pairs ("gpt2") and
// sentence pieces ("llama") turn text of any length into one unknown token.
func (t *Tokenizer) Longest() (all, ink int) {
	if t.Model != "gpt2" && t.Model != "llama" {
		return 0, 0
	}
	for id, text := range t.Tokens {
		plain := t.Types == nil || t.Types[id] == TokenNormal
		n, marks := len(text), 0
		for _, r := range text {
			switch {
			case r == ' ', r == '\t', r == '\n', r == '\r':
				n--
			// How the two kinds write white space. Where a vocabulary means the
			// character itself, the bound is only larger.
			case plain && t.Model == "gpt2" && (r == 'Ġ' || r == 'Ċ' || r == 'ĉ' || r == 'č'):
				n -= 2
			case plain && t.Model == "llama" && r == '▁':
				n -= 3
				marks++
			}
		}
		size := len(text) - 2*marks
		if plain && t.Model == "gpt2" { // one character for each byte
			size = utf8.RuneCountInString(text)
		}
		all, ink = max(all, size), max(ink, n)
	}
	return all, ink
}

func (t *Tokenizer) special(id int, text string) bool {
	switch id {
	case t.BOS, t.EOS, t.EOT, t.EOM:
		if len(text) > 1 { // a newline may serve as end of turn
			return true
		}
	}
	typ := TokenNormal
	if t.Types != nil {
		typ = t.Types[id]
	}
	switch typ {
	case TokenControl, TokenUnknown:
		return true
	case TokenUserDefined:
		return marker(text)
	case TokenByte, TokenUnused:
		return false
	}
	return promoted(text)
}

// marker reports whether a user-defined token looks like a mark of structure.
func marker(text string) bool {
	s := strings.TrimSpace(text)
	if strings.Contains(s, "<|") || strings.Contains(s, "|>") ||
		strings.Contains(s, "<｜") || strings.Contains(s, "｜>") {
		return true
	}
	if len(s) < 3 {
		return false
	}
	if s[0] == '[' && s[len(s)-1] == ']' {
		return true
	}
	return s[0] == '<' && s[len(s)-1] == '>' && !html(s)
}

// html reports whether a text is a plain HTML tag without attributes. "<s>" is
// not taken for one: it begins sequences in many vocabularies.
func html(s string) bool {
	name := strings.TrimPrefix(s[1:len(s)-1], "/")
	switch name {
	case "a", "abbr", "article", "aside", "b", "blockquote", "body", "br", "button",
		"caption", "center", "code", "dd", "del", "div", "dl", "dt", "em", "footer",
		"form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html",
		"i", "iframe", "img", "input", "ins", "kbd", "label", "li", "link", "main",
		"meta", "nav", "ol", "option", "p", "pre", "q", "section", "select", "small",
		"span", "strike", "strong", "style", "sub", "sup", "svg", "table", "tbody",
		"td", "textarea", "tfoot", "th", "thead", "title", "tr", "tt", "u", "ul", "video":
		return true
	}
	return false
}

// promoted reports whether llama.cpp treats a token as control because of its
// text, whatever class the file gives.
func promoted(text string) bool {
	if (strings.HasPrefix(text, "<|") && strings.HasSuffix(text, "|>")) ||
		(strings.HasPrefix(text, "<｜") && strings.HasSuffix(text, "｜>")) {
		return len(text) > len("<||>")
	}
	switch strings.TrimLeft(text, "▁_") {
	case "<EOT>", "< EOT >", "<PRE>", "<SUF>", "<MID>", "<PAD>", "<REPO>",
		"<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<fim-pad>", "<fim-repo>",
		"<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<fim_repo>", "<reponame>",
		"<start_of_turn>", "<end_of_turn>", "<end_of_utterance>", "<turn|>", "<eos>", "<|end_of_turn|>",
		"<s>", "</s>", "<bos>", "<im_start>", "<im_end>":
		return true
	}
	return false
}
