package convert

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// vocabulary is a WordPiece vocabulary.
type vocabulary struct {
	tokens []string
	types  []int32
	ids    map[string]uint32
}

// tokenizerFile is the part of tokenizer.json that matters.
type tokenizerFile struct {
	AddedTokens []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer struct {
		Type      string `json:"type"`
		Lowercase *bool  `json:"lowercase"`
	} `json:"normalizer"`
	Model struct {
		Type   string         `json:"type"`
		Prefix string         `json:"continuing_subword_prefix"`
		Vocab  map[string]int `json:"vocab"`
	} `json:"model"`
}

// readVocabulary reads tokenizer.json, whose ids must be 0 to size-1.
func readVocabulary(src fs.FS, size int) (*vocabulary, error) {
	var t tokenizerFile
	if err := readJSON(src, "tokenizer.json", maxTokenizer, &t); err != nil {
		return nil, err
	}
	if t.Model.Type != "WordPiece" && t.Model.Type != "" || t.Model.Prefix != "" && t.Model.Prefix != "##" {
		return nil, fmt.Errorf("%w: its vocabulary is not WordPiece", ErrUnsupported)
	}
	if t.Normalizer.Type != "BertNormalizer" || (t.Normalizer.Lowercase != nil && !*t.Normalizer.Lowercase) {
		return nil, fmt.Errorf("%w: its vocabulary is not lower-cased, the engine's tokenizer for it always is", ErrUnsupported)
	}
	v := &vocabulary{
		tokens: make([]string, size),
		types:  make([]int32, size),
		ids:    make(map[string]uint32, len(t.Model.Vocab)),
	}
	put := func(text string, id int, typ gguf.TokenType) error {
		if id < 0 || id >= size {
			return fmt.Errorf("%w: token %d lies outside the vocabulary of %d", ErrUnsupported, id, size)
		}
		if old := v.tokens[id]; old != "" && old != text {
			return fmt.Errorf("%w: token %d appears twice", ErrUnsupported, id)
		}
		v.tokens[id], v.types[id] = text, int32(typ)
		v.ids[text] = uint32(id) // #nosec G115 -- checked above
		return nil
	}
	for text, id := range t.Model.Vocab {
		if err := put(text, id, gguf.TokenNormal); err != nil {
			return nil, err
		}
	}
	for _, a := range t.AddedTokens {
		typ := gguf.TokenUserDefined
		if a.Special {
			typ = gguf.TokenControl
		}
		if err := put(a.Content, a.ID, typ); err != nil {
			return nil, err
		}
	}
	for id, text := range v.tokens {
		if text == "" {
			// Vocabularies may be padded to a round size.
			v.tokens[id], v.types[id] = fmt.Sprintf("[PAD%d]", id), int32(gguf.TokenUnused)
		}
	}
	for _, name := range []string{"[CLS]", "[SEP]", "[UNK]", "[PAD]"} {
		if _, ok := v.ids[name]; !ok {
			return nil, fmt.Errorf("%w: its vocabulary lacks %s", ErrUnsupported, name)
		}
	}
	return v, nil
}

// pairs is the vocabulary's metadata. The engine marks beginnings of words
// where WordPiece marks continuations.
func (v *vocabulary) pairs(typeVocab uint32) []gguf.Pair {
	texts := make([]string, len(v.tokens))
	for i, text := range v.tokens {
		switch {
		case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
			texts[i] = text
		case strings.HasPrefix(text, "##") && len(text) > 2:
			texts[i] = text[2:]
		default:
			texts[i] = "▁" + text
		}
	}
	out := []gguf.Pair{
		{Key: "tokenizer.ggml.model", Value: "bert"},
		{Key: "tokenizer.ggml.token_type_count", Value: typeVocab},
		{Key: "tokenizer.ggml.tokens", Value: texts},
		{Key: "tokenizer.ggml.token_type", Value: v.types},
	}
	for _, s := range []struct{ key, text string }{
		{"bos", "[CLS]"}, {"cls", "[CLS]"},
		{"seperator", "[SEP]"}, // the engine's spelling
		{"unknown", "[UNK]"}, {"padding", "[PAD]"}, {"mask", "[MASK]"},
	} {
		if id, ok := v.ids[s.text]; ok {
			out = append(out, gguf.Pair{Key: "tokenizer.ggml." + s.key + "_token_id", Value: id})
		}
	}
	return out
}
