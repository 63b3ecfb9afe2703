package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const sonic = "amazon.nova-sonic-v1:0"

// dialog is a bidirectional stream of the Go SDK with Nova Sonic's events.
type dialog struct {
	st *bedrockruntime.InvokeModelWithBidirectionalStreamEventStream
}

// openDialog opens a stream over HTTP/2, as the SDK wants it.
func openDialog(t *testing.T) dialog {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	rt := newGoClients(s.server, func(c *aws.Config) {
		c.HTTPClient = &http.Client{Transport: &http.Transport{Protocols: protocols}}
	}).rt
	out, err := rt.InvokeModelWithBidirectionalStream(t.Context(), &bedrockruntime.InvokeModelWithBidirectionalStreamInput{ModelId: aws.String(sonic)})
	if err != nil {
		t.Fatal(err)
	}
	d := dialog{out.GetStream()}
	t.Cleanup(func() { _ = d.st.Close() })
	return d
}

// send sends {"event": {name: body}}.
func (d dialog) send(t *testing.T, name string, body map[string]any) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"event": map[string]any{name: body}})
	if err != nil {
		t.Fatal(err)
	}
	part := types.BidirectionalInputPayloadPart{Bytes: b}
	if err := d.st.Send(t.Context(), &types.InvokeModelWithBidirectionalStreamInputMemberChunk{Value: part}); err != nil {
		t.Fatalf("send %s: %v", name, err)
	}
}

// say sends one text as its three events.
func (d dialog) say(t *testing.T, name, role, text string, interactive bool) {
	t.Helper()
	d.send(t, "contentStart", map[string]any{
		"promptName": "p", "contentName": name, "type": "TEXT", "role": role, "interactive": interactive,
		"textInputConfiguration": map[string]any{"mediaType": "text/plain"},
	})
	d.send(t, "textInput", map[string]any{"promptName": "p", "contentName": name, "content": text})
	d.send(t, "contentEnd", map[string]any{"promptName": "p", "contentName": name})
}

// answer reads one whole reply: its text and the names of its events, runs of
// textOutput told once.
func (d dialog) answer(t *testing.T) (text, names string) {
	t.Helper()
	for ev := range d.st.Events() {
		chunk, ok := ev.(*types.InvokeModelWithBidirectionalStreamOutputMemberChunk)
		if !ok {
			t.Fatalf("event %T", ev)
		}
		var out struct {
			Event map[string]struct{ Content string }
		}
		if err := json.Unmarshal(chunk.Value.Bytes, &out); err != nil || len(out.Event) != 1 {
			t.Fatalf("%v: %s", err, chunk.Value.Bytes)
		}
		for name, e := range out.Event {
			text += e.Content
			if !strings.HasSuffix(names, name) {
				names += " " + name
			}
			if name == "completionEnd" {
				return text, names[1:]
			}
		}
	}
	t.Fatalf("the stream ended after %s: %v", names, d.st.Err())
	return "", ""
}

// TestBidirectional speaks two turns of text on one stream with the Go SDK, whose
// every event is signed after the one before, and with the JavaScript SDK.
func TestBidirectional(t *testing.T) {
	t.Parallel()
	t.Run("go", func(t *testing.T) {
		d := openDialog(t)
		d.send(t, "sessionStart", map[string]any{"inferenceConfiguration": map[string]any{"maxTokens": 40, "topP": 0.9, "temperature": 0}})
		d.send(t, "promptStart", map[string]any{"promptName": "p", "textOutputConfiguration": map[string]any{"mediaType": "text/plain"}})
		d.say(t, "system", "SYSTEM", "You are a helpful assistant.", false)
		var said []string
		for i, question := range []string{"What is the capital of France?", "And what is the capital of Italy?"} {
			d.say(t, fmt.Sprint("turn", i), "USER", question, true)
			text, names := d.answer(t)
			if names != "completionStart contentStart textOutput contentEnd usageEvent completionEnd" || strings.TrimSpace(text) == "" {
				t.Errorf("%q by %s", text, names)
			}
			said = append(said, text)
		}
		if !strings.Contains(said[0], "Paris") {
			t.Errorf("%q", said)
		}
		t.Logf("%q", said)
		d.send(t, "promptEnd", map[string]any{"promptName": "p"})
		d.send(t, "sessionEnd", map[string]any{})
		for ev := range d.st.Events() {
			t.Errorf("an event after the end: %T", ev)
		}
		if err := d.st.Err(); err != nil {
			t.Error(err)
		}
	})
	t.Run("go_speech_is_refused", func(t *testing.T) {
		d := openDialog(t)
		d.send(t, "sessionStart", map[string]any{})
		d.send(t, "promptStart", map[string]any{"promptName": "p", "audioOutputConfiguration": map[string]any{"voiceId": "matthew"}})
		for ev := range d.st.Events() {
			t.Errorf("event %T", ev)
		}
		if e, ok := d.st.Err().(*types.ValidationException); !ok || !strings.Contains(e.ErrorMessage(), "speech") {
			t.Errorf("%v, want a ValidationException about speech", d.st.Err())
		}
		t.Log(d.st.Err())
	})
	t.Run("javascript", func(t *testing.T) { runCases(t, s.server, "bidirectional.cjs") })
}
