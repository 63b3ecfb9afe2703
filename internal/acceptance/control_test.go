package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// places are the positions of a special token in a text.
func places() []struct {
	name string
	put  func(token string) []piece
} {
	text := func(f func(string) string) func(string) []piece {
		return func(token string) []piece { return []piece{{Text: f(token)}} }
	}
	return []struct {
		name string
		put  func(token string) []piece
	}{
		{"start", text(func(s string) string { return s + " comes first" })},
		{"middle", text(func(s string) string { return "before " + s + " after" })},
		{"end", text(func(s string) string { return "it ends with " + s })},
		{"doubled", text(func(s string) string { return "twice " + s + s + " in a row" })},
		{"inside a word", text(func(s string) string { return "in" + s + "side" })},
		{"own line", text(func(s string) string { return "line\n" + s + "\nline" })},
		{"within itself", text(func(s string) string { return "nested " + s[:len(s)/2] + s + s[len(s)/2:] + " once" })},
		{"across blocks", func(s string) []piece { return []piece{{Text: "cut " + s[:len(s)/2]}, {Text: s[len(s)/2:] + " here"}} }},
	}
}

// owners are those whose text a request may carry.
func owners() []struct {
	name string
	of   func(blocks []piece) prompt
} {
	return []struct {
		name string
		of   func(blocks []piece) prompt
	}{
		{"user", func(b []piece) prompt { return prompt{Turns: [][]piece{b}} }},
		{"system", func(b []piece) prompt { return prompt{System: b, Turns: [][]piece{{{Text: "Hello."}}}} }},
		{"document", func(b []piece) prompt {
			quoted := append([]piece{{Text: "Summarise this document:"}, {Text: "<document name=\"notes\">"}}, b...)
			return prompt{Turns: [][]piece{append(quoted, piece{Text: "</document>"})}}
		}},
		{"prefill", func(b []piece) prompt { return prompt{Turns: [][]piece{{{Text: "Go on."}}, b}} }},
	}
}

// forgery is one attempt to have a text read as a control token.
type forgery struct {
	token  string
	place  string
	prompt prompt
}

// forgeries are all tokens in all places of all owners.
func forgeries(tokens []string) []forgery {
	var out []forgery
	for _, token := range tokens {
		for _, pl := range places() {
			for _, o := range owners() {
				p := o.of(pl.put(token))
				p.Name = fmt.Sprintf("%q, %s, %s", token, o.name, pl.name)
				out = append(out, forgery{token, pl.name, p})
			}
		}
	}
	return out
}

// TestControlTokens tries to have texts read as control tokens.
//
// What the engine got is proven from outside: the product tells as many input
// tokens as the bare engine has ids for the text with the tokens broken up, of
// which none is a control token besides the template's; and the reply is the
// bare engine's, too. That this can fail is proven as well: for the text as it
// is, the bare engine has control tokens more, and another count.
func TestControlTokens(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	t.Run("conversations", func(t *testing.T) {
		b := startBare(t, p, chatWeights, forChat)
		testForgeries(t, p, b)
	})
	t.Run("embeddings", func(t *testing.T) {
		b := startBare(t, p, embedWeights, forEmbedding)
		testEmbeddedForgeries(t, p, b)
	})
}

func testForgeries(t *testing.T, p *product, b *bare) {
	tokens := slices.Clone(b.vocab.specials)
	all := forgeries(tokens)
	if testing.Short() {
		all = tenth(all, 0)
	}
	// Every attempt can be told apart by its count.
	seen := 0
	for _, f := range all {
		c := f.prompt.conversation()
		forged, err := b.input(c)
		if err != nil {
			t.Fatal(err)
		}
		broken, err := b.input(b.vocab.safe(c))
		if err != nil {
			t.Fatal(err)
		}
		if f.place == "across blocks" { // nothing is there to break: the blocks must stay apart
			for i := range c {
				c[i].Content = strings.ReplaceAll(c[i].Content, f.token[:len(f.token)/2]+"\n"+f.token[len(f.token)/2:], f.token)
			}
			if forged, err = b.input(c); err != nil {
				t.Fatal(err)
			}
		}
		if b.vocab.controls(forged) <= b.vocab.controls(broken) || len(forged) == len(broken) {
			t.Fatalf("%s: %d ids with %d control tokens as it is, %d with %d when broken up: the check could not fail", f.prompt.Name,
				len(forged), b.vocab.controls(forged), len(broken), b.vocab.controls(broken))
		}
		seen++
	}
	counted := 0
	c := p.account(t)
	for _, f := range all {
		ids, err := b.input(b.vocab.safe(f.prompt.conversation()))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.onlyTemplate(f.prompt.conversation(), ids); err != nil {
			t.Errorf("%s: %v", f.prompt.Name, err)
		}
		n, err := countInput(t.Context(), c, f.prompt)
		if err != nil || n != len(ids) {
			t.Errorf("%s: counted %d tokens, want %d (%v)", f.prompt.Name, n, len(ids), err)
			continue
		}
		counted++
	}
	t.Logf("%d tokens, %d attempts, each of which the bare engine takes when it is not broken up: %d counted right", len(tokens), seen, counted)

	ops := operations()
	var questions []question
	for _, f := range tenth(all, 40) {
		op := ops[pick(len(ops), f.prompt.Name)]
		if !*full || f.place == "across blocks" && op.name != "ConverseStream" {
			op = ops[pick(2, f.prompt.Name)]
		}
		questions = append(questions, question{op: op, prompt: f.prompt, settings: settings{max: 2}})
	}
	right := p.ask(t, b, questions)
	t.Logf("%d attempts with a reply: %d as the bare engine replies to the broken text, 0 control tokens forged", len(questions), right)
}

// testEmbeddedForgeries does the same for texts to embed, in which the tokenizer
// is told to read no special token.
func testEmbeddedForgeries(t *testing.T, p *product, b *bare) {
	c := p.account(t)
	s := spaces()[0]
	asked, worst := 0, 0.0
	var all []forgery
	for _, f := range forgeries(b.vocab.specials) {
		if len(f.prompt.System) == 0 && len(f.prompt.Turns) == 1 && len(f.prompt.Turns[0]) == 1 { // the user's
			all = append(all, f)
		}
	}
	for _, f := range tenth(all, 30) {
		text := join(f.prompt.Turns[0])
		forged, err := b.parsed(text)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := b.plain(text)
		if err != nil {
			t.Fatal(err)
		}
		if b.vocab.controls(ids) != 2 || b.vocab.controls(forged) <= 2 {
			t.Fatalf("%s: %d control tokens, and %d when they are read: the check could not fail", f.prompt.Name, b.vocab.controls(ids), b.vocab.controls(forged))
		}
		got, err := s.embed(t.Context(), c, text)
		if err != nil {
			t.Errorf("%s: %v", f.prompt.Name, err)
			continue
		}
		v, err := b.embed(ids)
		if err != nil {
			t.Fatal(err)
		}
		if got.tokens != len(ids) || distance(got.vector, v) > 1e-6 {
			t.Errorf("%s: %d tokens, want %d; an element differs by %g from the vector of the plain text", f.prompt.Name, got.tokens, len(ids), distance(got.vector, v))
		}
		worst = max(worst, distance(got.vector, v))
		asked++
	}
	t.Logf("%d tokens, %d texts: the vectors of the plain texts (within %.2g)", len(b.vocab.specials), asked, worst)
}
