package tinyvision

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// words is what the tokenizer learned its pairs from.
const words = `the quick brown fox jumps over the lazy dog and the stone that lies in the river is older than the sea
what is this picture of and what do you see in the image tell me more about the red and the green of the hills
a long story of a ship that sails round the world in the winter with all her sails set and no land in sight`

const pairs = 160

// vocab is a byte pair vocabulary.
type vocab struct {
	tokens []string
	types  []int32
	merges []string
}

func (v *vocab) id(token string) uint32 { return uint32(slices.Index(v.tokens, token)) } // #nosec G115 -- some hundred

// letters are how byte pair vocabularies write a byte: printable ones as
// themselves, the others from U+0100 on.
func letters() [256]string {
	var out [256]string
	next := rune(0x100)
	for b := range rune(256) {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae && b <= 0xff {
			out[b] = string(b)
		} else {
			out[b] = string(next)
			next++
		}
	}
	return out
}

// vocabulary is every byte, the most frequent pairs of words, and the marks of
// the chat template.
func vocabulary() vocab {
	var v vocab
	add := func(token string, typ gguf.TokenType) {
		v.tokens = append(v.tokens, token)
		v.types = append(v.types, int32(typ))
	}
	byByte := letters()
	for _, s := range byByte {
		add(s, gguf.TokenNormal)
	}
	var corpus [][]string
	for _, word := range strings.Fields(words) {
		var text []string
		for _, b := range []byte(" " + word) {
			text = append(text, byByte[b])
		}
		corpus = append(corpus, text)
	}
	for range pairs {
		counts := map[[2]string]int{}
		for _, text := range corpus {
			for i := 1; i < len(text); i++ {
				counts[[2]string{text[i-1], text[i]}]++
			}
		}
		var best [2]string
		for p, n := range counts {
			if m := counts[best]; n > m || n == m && slices.Compare(p[:], best[:]) < 0 {
				best = p
			}
		}
		if counts[best] == 0 {
			break // the words are whole
		}
		v.merges = append(v.merges, best[0]+" "+best[1])
		if joined := best[0] + best[1]; !slices.Contains(v.tokens, joined) {
			add(joined, gguf.TokenNormal)
		}
		for i, text := range corpus {
			corpus[i] = merge(text, best)
		}
	}
	// The engine puts line ends between the tiles of an image, and wants each of
	// these marks to be one token.
	newline := byByte['\n']
	v.merges = append(v.merges, newline+" "+newline)
	add(newline+newline, gguf.TokenNormal)
	marks := []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<global-img>"}
	for row := range largest / tile {
		for column := range largest / tile {
			marks = append(marks, fmt.Sprintf("<row_%d_col_%d>", row+1, column+1))
		}
	}
	for _, s := range marks {
		add(s, gguf.TokenControl)
	}
	return v
}

func merge(text []string, pair [2]string) []string {
	var out []string
	for i := 0; i < len(text); i++ {
		if i+1 < len(text) && text[i] == pair[0] && text[i+1] == pair[1] {
			out = append(out, pair[0]+pair[1])
			i++
		} else {
			out = append(out, text[i])
		}
	}
	return out
}
