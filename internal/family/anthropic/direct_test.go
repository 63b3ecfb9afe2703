package anthropic

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
)

func TestDirect(t *testing.T) {
	t.Parallel()
	f := Family{Rand: strings.NewReader(strings.Repeat("outcrop", 100))}
	d, err := f.Direct([]byte(`{"model":"claude-sonnet-4-5","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if d.Model != "claude-sonnet-4-5" || !d.Stream {
		t.Errorf("model %q, stream %v", d.Model, d.Stream)
	}
	text, err := d.Text(family.Model{ID: "anthropic.claude-sonnet-4-5-20250929-v1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if got := text.Request().Messages[0].Content[0].Text; got != "a" {
		t.Errorf("the turn says %q", got)
	}
	whole, err := text.Response(&llm.Response{Content: []llm.Block{{Kind: llm.Text, Text: "b"}}, Reason: llm.EndTurn})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(whole, []byte(`"model":"claude-sonnet-4-5"`)) {
		t.Errorf("the reply names another model: %s", whole)
	}
	st, err := text.Stream()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, ev := range []llm.Event{
		{Kind: llm.Start},
		{Kind: llm.BlockStart},
		{Kind: llm.Delta, Text: `{"type":"x"}`},
		{Kind: llm.BlockStop},
		{Kind: llm.Stop, Reason: llm.EndTurn},
		{Kind: llm.Done, Latency: time.Second},
	} {
		if err := st.Chunks(ev, func(c []byte) error {
			names = append(names, EventName(c))
			if bytes.Contains(c, []byte("invocationMetrics")) {
				t.Errorf("a chunk has Bedrock's metrics: %s", c)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	want := "message_start content_block_start content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

func TestDirectRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"no model":     {`{"max_tokens":9,"messages":[]}`, "#: required key [model] not found"},
		"model type":   {`{"model":1}`, "#/model: expected type: String, found: Integer"},
		"stream type":  {`{"model":"m","stream":"yes"}`, "#/stream: expected type: Boolean, found: String"},
		"no messages":  {`{"model":"m","max_tokens":9}`, "#: required key [messages] not found"},
		"unknown key":  {`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}],"n":2}`, "#: extraneous key [n] is not permitted"},
		"no turns":     {`{"model":"m","max_tokens":9,"messages":[]}`, "messages: at least one message is required"},
		"broken":       {`{"model":`, "Malformed input request, please reformat your input and try again."},
		"other limits": {`{"model":"m","max_tokens":4097,"messages":[{"role":"user","content":"a"}]}`, "#/max_tokens: 4097 is not less or equal to 4096"},
	} {
		_, err := Family{}.Parse(family.Model{ID: "anthropic.claude-3-haiku-20240307-v1:0", Direct: true}, []byte(c.body))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestGeneration(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"claude-2.1":                 20,
		"claude-instant-1.2":         20,
		"claude-3-haiku-20240307":    30,
		"claude-3-5-sonnet-20241022": 35,
		"claude-3-7-sonnet-20250219": 37,
		"claude-opus-4-20250514":     40,
		"claude-haiku-4-5-20251001":  45,
		"claude-sonnet-4-6":          46,
		"claude-local":               99,
	} {
		if got := generation(name); got != want {
			t.Errorf("%s is of generation %d, want %d", name, got, want)
		}
	}
}
