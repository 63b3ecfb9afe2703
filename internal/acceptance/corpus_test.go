package acceptance

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"strings"
	"testing"
)

//go:embed testdata/prompts.jsonl
var promptFile []byte

// turn is one message as an engine takes it.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// conversation is what a request means, whatever its body looked like.
type conversation []turn

// piece is one block of text, Times times.
type piece struct {
	Text  string `json:"text"`
	Times int    `json:"times"` // 0 means once
}

func (p piece) String() string { return strings.Repeat(p.Text, max(p.Times, 1)) }

// prompt is one entry of the corpus. The user speaks first, then the roles
// alternate; a last turn of the assistant is a prefill.
type prompt struct {
	Name   string    `json:"name"`
	System []piece   `json:"system"`
	Turns  [][]piece `json:"turns"`
}

func loadPrompts(t testing.TB) []prompt {
	t.Helper()
	var out []prompt
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(promptFile))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p prompt
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("prompt %d: %v", len(out)+1, err)
		}
		if seen[p.Name] || len(p.Turns) == 0 {
			t.Fatalf("prompt %d: the name %q is taken, or it has no turns", len(out)+1, p.Name)
		}
		seen[p.Name] = true
		out = append(out, p)
	}
	if len(out) < 200 {
		t.Fatalf("%d prompts, at least 200 are wanted", len(out))
	}
	return out
}

// say is a prompt of one user turn.
func say(text string) prompt { return prompt{Name: text, Turns: [][]piece{{{Text: text}}}} }

func role(i int) string { return [...]string{"user", "assistant"}[i%2] }

// prefilled reports whether the last turn is the assistant's.
func (p prompt) prefilled() bool { return len(p.Turns)%2 == 0 }

// join puts blocks one below the other, as Outcrop does.
func join(blocks []piece) string {
	texts := make([]string, len(blocks))
	for i, b := range blocks {
		texts[i] = b.String()
	}
	return strings.Join(texts, "\n")
}

// conversation is what the prompt means in a body that has turns and blocks.
func (p prompt) conversation() conversation {
	var c conversation
	if len(p.System) > 0 {
		c = append(c, turn{"system", join(p.System)})
	}
	for i, blocks := range p.Turns {
		c = append(c, turn{role(i), join(blocks)})
	}
	return c
}

// claudeText is the prompt of a Text Completions body.
func (p prompt) claudeText() string {
	text := join(p.System)
	for i, blocks := range p.Turns {
		text += [...]string{"\n\nHuman: ", "\n\nAssistant: "}[i%2] + join(blocks)
	}
	if !p.prefilled() {
		text += "\n\nAssistant:"
	}
	return text
}

// claudeTextMeans is what such a prompt means: text before the first turn loses
// the white space around it.
func (p prompt) claudeTextMeans() conversation {
	c := p.conversation()
	if c[0].Role == "system" {
		c[0].Content = strings.TrimSpace(c[0].Content)
	}
	return c
}

// bareTitan reports whether the prompt can be a Titan prompt without turns.
func (p prompt) bareTitan() bool { return len(p.System) == 0 && len(p.Turns) == 1 }

// titanText is the inputText of a Titan Text body.
func (p prompt) titanText() string {
	if p.bareTitan() {
		return join(p.Turns[0])
	}
	text := join(p.System)
	if text != "" {
		text += "\n\n"
	}
	for i, blocks := range p.Turns {
		text += [...]string{"User: ", "Bot: "}[i%2] + join(blocks)
		if i < len(p.Turns)-1 {
			text += "\n"
		}
	}
	if !p.prefilled() {
		text += "\nBot:"
	}
	return text
}

// titanTextMeans is what such a prompt means: turns lose the white space at
// their end, and text before the first that around it.
func (p prompt) titanTextMeans() conversation {
	c := p.conversation()
	if p.bareTitan() {
		return c
	}
	for i := range c {
		switch {
		case c[i].Role == "system":
			c[i].Content = strings.TrimSpace(c[i].Content)
		case i < len(c)-1 || !p.prefilled():
			c[i].Content = strings.TrimRight(c[i].Content, " \t\r\n")
		}
	}
	return c
}
