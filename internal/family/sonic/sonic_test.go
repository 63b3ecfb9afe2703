package sonic

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func event(name, body string) []byte { return []byte(`{"event":{"` + name + `":` + body + `}}`) }

// talk is a session with one open prompt.
func talk(t testing.TB) family.Dialog {
	t.Helper()
	d := Codec{}.Open(family.Model{MaxOutput: 4096})
	for _, ev := range [][]byte{event("sessionStart", `{"inferenceConfiguration":{"maxTokens":7}}`), event("promptStart", `{"promptName":"p"}`)} {
		if _, _, err := d.Push(ev); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func content(role, text string, interactive string) [][]byte {
	quoted, _ := json.Marshal(text)
	return [][]byte{
		event("contentStart", `{"promptName":"p","contentName":"c","type":"TEXT","role":"`+role+`","interactive":`+interactive+`}`),
		event("textInput", `{"promptName":"p","contentName":"c","content":`+string(quoted)+`}`),
		event("contentEnd", `{"promptName":"p","contentName":"c"}`),
	}
}

func TestConversation(t *testing.T) {
	t.Parallel()
	d := talk(t)
	var turn *llm.Request
	for _, part := range [][][]byte{
		content("SYSTEM", "Be brief.", "false"), content("USER", "One.", "false"), content("ASSISTANT", "Two.", "false"),
		content("USER", "Three", "false"), content("USER", "and four.", "true"),
	} {
		for _, ev := range part {
			if turn != nil {
				t.Fatal("the model's turn came early")
			}
			r, done, err := d.Push(ev)
			if err != nil || done {
				t.Fatal(done, err)
			}
			turn = r
		}
	}
	if turn == nil || len(turn.Messages) != 3 || len(turn.Messages[2].Content) != 2 || turn.System[0] != "Be brief." || *turn.Params.MaxTokens != 7 {
		t.Fatalf("turn %+v", turn)
	}
	var said []string
	for _, ev := range []llm.Event{
		{Kind: llm.Start}, {Kind: llm.BlockStart}, {Kind: llm.Delta, Text: "\"Five\"\n"}, {Kind: llm.Delta, Text: "six"}, {Kind: llm.BlockStop},
		{Kind: llm.Stop, Reason: llm.MaxTokens}, {Kind: llm.Done, Usage: llm.Usage{InputTokens: 10, OutputTokens: 2}},
	} {
		err := d.Chunks(ev, func(chunk []byte) error {
			if !json.Valid(chunk) {
				t.Errorf("not JSON: %s", chunk)
			}
			said = append(said, string(chunk))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{`"content":"\"Five\"\n"`, `"stopReason":"MAX_TOKENS"`, `"totalInputTokens":10,"totalOutputTokens":2,"totalTokens":12`, `"contentEnd"`} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is missing in\n%s", want, all)
		}
	}
	// The reply is part of the conversation from now on.
	for i, ev := range content("USER", "More.", "true") {
		r, _, err := d.Push(ev)
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 && (r == nil || len(r.Messages) != 5 || r.Messages[3].Content[0].Text != "\"Five\"\nsix") {
			t.Errorf("next turn %+v", r)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for want, ev := range map[string][]byte{
		"The chunk must be":          []byte(`{"event":{"textInput":`),
		`{"event": {"<name>"`:        []byte(`{"event":{}}`),
		"one event":                  []byte(`{"event":{"promptEnd":{},"sessionEnd":{}}}`),
		"begun already":              event("sessionStart", `{}`),
		"before it has not ended":    event("promptStart", `{"promptName":"q"}`),
		"contentStart.promptName":    event("contentStart", `{"promptName":"x","contentName":"c","type":"TEXT","role":"USER"}`),
		"contentStart.contentName":   event("contentStart", `{"promptName":"p","type":"TEXT","role":"USER"}`),
		"contentStart.type":          event("contentStart", `{"promptName":"p","contentName":"c","type":"TOOL","role":"USER"}`),
		"contentStart.role":          event("contentStart", `{"promptName":"p","contentName":"c","type":"TEXT","role":"DOG"}`),
		"first turn must be of USER": event("contentStart", `{"promptName":"p","contentName":"c","type":"TEXT","role":"ASSISTANT"}`),
		"textInput.contentName":      event("textInput", `{"promptName":"p","contentName":"c","content":"x"}`),
		"contentEnd.contentName":     event("contentEnd", `{"promptName":"p","contentName":"c"}`),
		"promptEnd.promptName":       event("promptEnd", `{"promptName":"x"}`),
		"audioInput":                 event("audioInput", `{"content":"AAAA"}`),
		"toolResult":                 event("toolResult", `{}`),
		`"dance" is not known`:       event("dance", `{}`),
		"must not be a JSON number":  event("textInput", `{"content":5}`),
	} {
		_, _, err := talk(t).Push(ev)
		e, ok := errors.AsType[*apierr.Error](err)
		if !ok || e.Code != apierr.CodeValidation || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v, want %q", ev, err, want)
		}
	}
	d := talk(t)
	var err error
	for _, ev := range content("USER", " \n", "true") {
		_, _, err = d.Push(ev)
	}
	if err == nil || !strings.Contains(err.Error(), "blank") {
		t.Errorf("blank: %v", err)
	}
	d = talk(t)
	_, _, _ = d.Push(content("USER", "", "true")[0])
	if _, _, err := d.Push(content("USER", strings.Repeat("x", maxText+1), "true")[1]); err == nil {
		t.Error("a text without end was taken")
	}
	for _, c := range []string{`{"maxTokens":0}`, `{"maxTokens":5000}`, `{"temperature":1.5}`, `{"topP":-1}`} {
		if _, _, err := (Codec{}.Open(family.Model{MaxOutput: 4096})).Push(event("sessionStart", `{"inferenceConfiguration":`+c+`}`)); err == nil {
			t.Errorf("%s: accepted", c)
		}
	}
}

// FuzzPush checks that no event panics, and that refusals are short and modelled.
func FuzzPush(f *testing.F) {
	for _, ev := range content("USER", "Hello", "true") {
		f.Add(ev)
	}
	f.Add(event("promptEnd", `{"promptName":"p"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := talk(t)
		for range 2 {
			turn, _, err := d.Push(data)
			if err != nil {
				if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != apierr.CodeValidation || len(e.Message) > 1024 {
					t.Fatal(err)
				}
				return
			}
			if turn != nil && len(turn.Messages) == 0 {
				t.Fatal("a turn without a message")
			}
		}
	})
}
