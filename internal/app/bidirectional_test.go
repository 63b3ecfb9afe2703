package app_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
)

const sonicID = "amazon.nova-sonic-v1:0"

// dialog is a bidirectional stream of the AWS SDK.
type dialog struct {
	t  *testing.T
	st *bedrockruntime.InvokeModelWithBidirectionalStreamEventStream
}

func openDialog(t *testing.T, c *bedrockruntime.Client) *dialog {
	t.Helper()
	out, err := c.InvokeModelWithBidirectionalStream(t.Context(), &bedrockruntime.InvokeModelWithBidirectionalStreamInput{ModelId: new(sonicID)})
	if err != nil {
		t.Fatal(err)
	}
	d := &dialog{t, out.GetStream()}
	t.Cleanup(func() { _ = d.st.Close() })
	return d
}

// send sends {"event": {name: body}}.
func (d *dialog) send(name, body string) {
	d.t.Helper()
	ev := fmt.Sprintf(`{"event":{%q:%s}}`, name, body)
	err := d.st.Send(d.t.Context(), &types.InvokeModelWithBidirectionalStreamInputMemberChunk{Value: types.BidirectionalInputPayloadPart{Bytes: []byte(ev)}})
	if err != nil {
		d.t.Fatalf("send %s: %v", name, err)
	}
}

// say sends one content as its three events.
func (d *dialog) say(name, role, text string, interactive bool) {
	d.t.Helper()
	d.send("contentStart", fmt.Sprintf(`{"promptName":"p","contentName":%q,"type":"TEXT","role":%q,"interactive":%t,"textInputConfiguration":{"mediaType":"text/plain"}}`, name, role, interactive))
	d.send("textInput", fmt.Sprintf(`{"promptName":"p","contentName":%q,"content":%q}`, name, text))
	d.send("contentEnd", fmt.Sprintf(`{"promptName":"p","contentName":%q}`, name))
}

// answer reads one whole reply: its text, and the names of its events.
func (d *dialog) answer() (text string, names []string) {
	d.t.Helper()
	for ev := range d.st.Events() {
		chunk, ok := ev.(*types.InvokeModelWithBidirectionalStreamOutputMemberChunk)
		if !ok {
			d.t.Fatalf("event %T", ev)
		}
		var out struct {
			Event map[string]struct {
				SessionID, PromptName, CompletionID, ContentID, Content, StopReason string
				TotalTokens                                                         int
			}
		}
		if err := json.Unmarshal(chunk.Value.Bytes, &out); err != nil || len(out.Event) != 1 {
			d.t.Fatalf("%v: %s", err, chunk.Value.Bytes)
		}
		for name, e := range out.Event {
			if e.SessionID == "" || e.PromptName != "p" || e.CompletionID == "" {
				d.t.Errorf("ids are missing: %s", chunk.Value.Bytes)
			}
			names = append(names, name)
			text += e.Content
			if name == "completionEnd" {
				return text, names
			}
		}
	}
	d.t.Fatalf("the stream ended after %v: %v", names, d.st.Err())
	return "", nil
}

// TestBidirectional holds a conversation of three turns on one stream, by the
// AWS SDK's signed events. The SDK asks for HTTP/2.
func TestBidirectional(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two"}, scripted.Reply{Text: "three four"}, scripted.Reply{Text: "five"})))
	d := openDialog(t, s.RuntimeOver(2))
	d.send("sessionStart", `{"inferenceConfiguration":{"maxTokens":100,"topP":0.9,"temperature":0.7}}`)
	d.send("promptStart", `{"promptName":"p","textOutputConfiguration":{"mediaType":"text/plain"}}`)
	d.say("system", "SYSTEM", "Be brief.", false)
	d.say("first", "USER", "Hello.", true)
	text, names := d.answer()
	if text != "one two" || strings.Join(names, " ") != "completionStart contentStart textOutput textOutput contentEnd usageEvent completionEnd" {
		t.Errorf("%q by %v", text, names)
	}
	d.say("second", "USER", "And then?", true)
	if text, _ := d.answer(); text != "three four" {
		t.Errorf("second turn %q", text)
	}
	d.say("third", "USER", "In the end?", false) // answered when the prompt ends
	d.send("promptEnd", `{"promptName":"p"}`)
	if text, _ := d.answer(); text != "five" {
		t.Errorf("third turn %q", text)
	}
	d.send("sessionEnd", `{}`)
	for ev := range d.st.Events() {
		t.Errorf("an event after the end: %T", ev)
	}
	if err := d.st.Err(); err != nil {
		t.Error(err)
	}
}

// TestBidirectionalRefusals checks that what cannot be served ends the stream
// with the modelled exception.
func TestBidirectionalRefusals(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	for name, c := range map[string]struct {
		events [][2]string
		want   string
	}{
		"no session": {[][2]string{{"promptStart", `{"promptName":"p"}`}}, "sessionStart"},
		"speech out": {[][2]string{{"sessionStart", `{}`}, {"promptStart", `{"promptName":"p","audioOutputConfiguration":{"voiceId":"matthew"}}`}}, "speech"},
		"speech in": {[][2]string{{"sessionStart", `{}`}, {"promptStart", `{"promptName":"p"}`},
			{"contentStart", `{"promptName":"p","contentName":"c","type":"AUDIO","role":"USER"}`}}, "speech"},
		"unknown event": {[][2]string{{"sessionStart", `{}`}, {"dance", `{}`}}, "dance"},
		"wrong type":    {[][2]string{{"sessionStart", `{}`}, {"promptStart", `{"promptName":5}`}}, "promptName"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDialog(t, s.RuntimeOver(2))
			for _, ev := range c.events {
				d.send(ev[0], ev[1])
			}
			for ev := range d.st.Events() {
				t.Errorf("event %T", ev)
			}
			wantCode(t, name, d.st.Err(), "ValidationException")
			if err := d.st.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v does not name %s", err, c.want)
			}
		})
	}
}
