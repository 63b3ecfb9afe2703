// Package sonic speaks the events of Amazon Nova Sonic, the protocol of
// InvokeModelWithBidirectionalStream, for turns of text: a session begins, a
// prompt begins, pieces of content come with their role, and the model answers
// each interactive turn of the user. Speech is refused by name: there are no
// weights here that hear or speak.
//
// Source: Amazon Nova user guide, "Handling input events with the bidirectional
// API" and "Handling output events".
package sonic

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of a session, which lives in memory.
const (
	maxTurns = 400
	maxText  = 1 << 20 // bytes of all turns together
	maxName  = 256     // bytes of promptName and contentName
)

// Codec opens dialogs. The zero value works; it is safe for concurrent use.
type Codec struct {
	Rand io.Reader // makes the ids of replies; nil means crypto/rand
}

// Open begins a session.
func (c Codec) Open(m family.Model) family.Dialog {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &dialog{rand: c.Rand, limit: m.MaxOutput}
}

// input is one event of the caller: exactly one member.
type input struct {
	SessionStart *struct {
		InferenceConfiguration *inference `json:"inferenceConfiguration"`
	} `json:"sessionStart"`
	PromptStart *struct {
		PromptName                 string          `json:"promptName"`
		TextOutputConfiguration    *media          `json:"textOutputConfiguration"`
		AudioOutputConfiguration   json.RawMessage `json:"audioOutputConfiguration"`
		ToolUseOutputConfiguration json.RawMessage `json:"toolUseOutputConfiguration"`
		ToolConfiguration          json.RawMessage `json:"toolConfiguration"`
	} `json:"promptStart"`
	ContentStart *struct {
		PromptName  string `json:"promptName"`
		ContentName string `json:"contentName"`
		Type        string `json:"type"`
		Role        string `json:"role"`
		Interactive bool   `json:"interactive"`
	} `json:"contentStart"`
	TextInput *struct {
		PromptName  string `json:"promptName"`
		ContentName string `json:"contentName"`
		Content     string `json:"content"`
	} `json:"textInput"`
	AudioInput json.RawMessage `json:"audioInput"`
	ToolResult json.RawMessage `json:"toolResult"`
	ContentEnd *struct {
		PromptName  string `json:"promptName"`
		ContentName string `json:"contentName"`
	} `json:"contentEnd"`
	PromptEnd *struct {
		PromptName string `json:"promptName"`
	} `json:"promptEnd"`
	SessionEnd json.RawMessage `json:"sessionEnd"`
}

type inference struct {
	MaxTokens   *int     `json:"maxTokens"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"topP"`
}

type media struct {
	MediaType string `json:"mediaType"`
}

// dialog is one session.
type dialog struct {
	rand  io.Reader
	limit int // largest maxTokens; 0 means any

	session string // id; "" before sessionStart
	prompt  string // open prompt; "" between prompts
	content string // open content; "" between contents
	role    string
	talks   bool // the open content waits for a reply
	text    strings.Builder
	size    int

	params  llm.Params
	system  []string
	turns   []llm.Message
	pending bool // the user spoke last

	asked      string // prompt that the reply belongs to
	completion string // ids of the reply
	reply      string
	said       strings.Builder
	reason     string
	in, out    int // tokens of the session
	buf        []byte
}

func refuse(format string, args ...any) error { return apierr.Validation(format, args...) }

// Push takes one event of the caller.
func (d *dialog) Push(event []byte) (*llm.Request, bool, error) {
	var wrap struct {
		Event map[string]json.RawMessage `json:"event"`
	}
	if err := decode(event, &wrap); err != nil || len(wrap.Event) != 1 {
		return nil, false, refuse(`The chunk must be {"event": {"<name>": {...}}} with one event.`)
	}
	for name := range wrap.Event {
		if d.session == "" && name != "sessionStart" {
			return nil, false, refuse("The first event must be sessionStart, not %q.", clip(name))
		}
	}
	var in struct {
		Event input `json:"event"`
	}
	if err := decode(event, &in); err != nil {
		return nil, false, badEvent(err)
	}
	ev := &in.Event
	switch {
	case ev.SessionStart != nil:
		return nil, false, d.begin(ev.SessionStart.InferenceConfiguration)
	case ev.PromptStart != nil:
		p := ev.PromptStart
		switch {
		case present(p.AudioOutputConfiguration):
			return nil, false, noSpeech("promptStart.audioOutputConfiguration")
		case present(p.ToolConfiguration):
			return nil, false, refuse("promptStart.toolConfiguration: this model doesn't support tools in a bidirectional stream.")
		case p.TextOutputConfiguration != nil && p.TextOutputConfiguration.MediaType != "text/plain":
			return nil, false, refuse("promptStart.textOutputConfiguration.mediaType: must be text/plain.")
		case d.prompt != "":
			return nil, false, refuse("promptStart: the prompt before it has not ended.")
		case !named(p.PromptName):
			return nil, false, refuse("promptStart.promptName: must have 1 to %d bytes.", maxName)
		}
		d.prompt, d.system, d.turns, d.size, d.pending = p.PromptName, nil, nil, 0, false
		return nil, false, nil
	case ev.ContentStart != nil:
		c := ev.ContentStart
		return nil, false, d.open(c.PromptName, c.ContentName, c.Type, c.Role, c.Interactive)
	case ev.TextInput != nil:
		return nil, false, d.write(ev.TextInput.PromptName, ev.TextInput.ContentName, ev.TextInput.Content)
	case ev.ContentEnd != nil:
		r, err := d.close(ev.ContentEnd.PromptName, ev.ContentEnd.ContentName)
		return r, false, err
	case ev.PromptEnd != nil:
		r, err := d.end(ev.PromptEnd.PromptName)
		return r, false, err
	case present(ev.AudioInput):
		return nil, false, noSpeech("audioInput")
	case present(ev.ToolResult):
		return nil, false, refuse("toolResult: no tool was called.")
	case present(ev.SessionEnd):
		return nil, true, nil
	}
	for name := range wrap.Event {
		return nil, false, refuse("The event %q is not known.", clip(name))
	}
	return nil, false, nil
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

func noSpeech(place string) error {
	return refuse("%s: this model doesn't support speech; send and ask for text.", place)
}

func named(s string) bool { return s != "" && len(s) <= maxName }

// clip bounds what an error repeats of an event.
func clip(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}

// decode reads one JSON value and nothing after it.
func decode(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func badEvent(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return refuse("%s: must not be a JSON %s.", clip(e.Field), e.Value)
	}
	return refuse("The event is not valid JSON.")
}

func (d *dialog) begin(c *inference) error {
	if d.session != "" {
		return refuse("sessionStart: the session has begun already.")
	}
	if c != nil {
		switch {
		case c.MaxTokens != nil && (*c.MaxTokens < 1 || d.limit > 0 && *c.MaxTokens > d.limit):
			return refuse("sessionStart.inferenceConfiguration.maxTokens: must be at least 1 and at most the model's limit.")
		case c.Temperature != nil && (*c.Temperature < 0 || *c.Temperature > 1):
			return refuse("sessionStart.inferenceConfiguration.temperature: must be 0 to 1.")
		case c.TopP != nil && (*c.TopP < 0 || *c.TopP > 1):
			return refuse("sessionStart.inferenceConfiguration.topP: must be 0 to 1.")
		}
		d.params = llm.Params{MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: c.TopP}
	}
	id, err := d.newID()
	d.session = id
	return err
}

func (d *dialog) newID() (string, error) {
	id, err := uuid.NewRandomFromReader(d.rand)
	if err != nil {
		return "", fmt.Errorf("sonic: make an id: %w", err)
	}
	return id.String(), nil
}

func (d *dialog) open(prompt, content, kind, role string, interactive bool) error {
	switch {
	case d.prompt == "" || prompt != d.prompt:
		return refuse("contentStart.promptName: no such prompt is open.")
	case d.content != "":
		return refuse("contentStart: the content before it has not ended.")
	case !named(content):
		return refuse("contentStart.contentName: must have 1 to %d bytes.", maxName)
	case kind == "AUDIO":
		return noSpeech("contentStart.type")
	case kind != "TEXT":
		return refuse("contentStart.type: must be TEXT.")
	case role != "SYSTEM" && role != "USER" && role != "ASSISTANT":
		return refuse("contentStart.role: must be SYSTEM, USER or ASSISTANT.")
	case role == "SYSTEM" && len(d.turns) > 0:
		return refuse("contentStart.role: SYSTEM must come before the turns.")
	case role == "ASSISTANT" && len(d.turns) == 0:
		return refuse("contentStart.role: the first turn must be of USER.")
	}
	d.content, d.role, d.talks = content, role, interactive && role == "USER"
	d.text.Reset()
	return nil
}

func (d *dialog) write(prompt, content, text string) error {
	if d.content == "" || prompt != d.prompt || content != d.content {
		return refuse("textInput.contentName: no such content is open.")
	}
	if d.size += len(text); d.size > maxText {
		return refuse("textInput.content: all texts of a prompt together may have at most %d bytes.", maxText)
	}
	d.text.WriteString(text)
	return nil
}

// close ends a content, and the user's turn when it is interactive.
func (d *dialog) close(prompt, content string) (*llm.Request, error) {
	if d.content == "" || prompt != d.prompt || content != d.content {
		return nil, refuse("contentEnd.contentName: no such content is open.")
	}
	text := d.text.String()
	d.content = ""
	if strings.TrimSpace(text) == "" {
		return nil, refuse("contentEnd: the content is blank.")
	}
	switch d.role {
	case "SYSTEM":
		d.system = append(d.system, text)
	case "USER":
		d.add(llm.User, text)
		d.pending = true
	default:
		d.add(llm.Assistant, text)
		d.pending = false
	}
	if len(d.turns) > maxTurns {
		return nil, refuse("contentEnd: a prompt may have at most %d turns.", maxTurns)
	}
	if !d.talks {
		return nil, nil
	}
	return d.turn()
}

// end ends the prompt; a question that nobody answered is answered now.
func (d *dialog) end(prompt string) (*llm.Request, error) {
	if d.prompt == "" || prompt != d.prompt {
		return nil, refuse("promptEnd.promptName: no such prompt is open.")
	}
	if d.content != "" {
		return nil, refuse("promptEnd: a content has not ended.")
	}
	if d.pending {
		r, err := d.turn()
		d.prompt = ""
		return r, err
	}
	d.prompt = ""
	return nil, nil
}

// add appends to the conversation; contents of one role in a row are one turn.
func (d *dialog) add(role llm.Role, text string) {
	b := llm.Block{Kind: llm.Text, Text: text}
	if n := len(d.turns); n > 0 && d.turns[n-1].Role == role {
		d.turns[n-1].Content = append(d.turns[n-1].Content, b)
		return
	}
	d.turns = append(d.turns, llm.Message{Role: role, Content: []llm.Block{b}})
}

// turn hands the conversation to the model.
func (d *dialog) turn() (*llm.Request, error) {
	d.pending, d.asked = false, d.prompt
	d.said.Reset()
	d.reason = "END_TURN"
	var err error
	if d.completion, err = d.newID(); err != nil {
		return nil, err
	}
	if d.reply, err = d.newID(); err != nil {
		return nil, err
	}
	turns := make([]llm.Message, len(d.turns))
	copy(turns, d.turns)
	return &llm.Request{System: d.system, Messages: turns, Params: d.params}, nil
}

// Chunks makes completionStart and contentStart, a textOutput for each piece of
// text as it comes, and contentEnd, usageEvent and completionEnd.
func (d *dialog) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.Start:
		if err := d.emit(emit, "completionStart", nil); err != nil {
			return err
		}
		return d.emit(emit, "contentStart", func(b []byte) []byte {
			return append(b, `,"type":"TEXT","role":"ASSISTANT","additionalModelFields":"{\"generationStage\":\"FINAL\"}","textOutputConfiguration":{"mediaType":"text/plain"}`...)
		})
	case llm.Delta:
		if ev.Text == "" || ev.Block == llm.Reasoning {
			return nil
		}
		d.said.WriteString(ev.Text)
		return d.emit(emit, "textOutput", func(b []byte) []byte {
			b = append(b, `,"role":"ASSISTANT","content":`...)
			return body.AppendString(b, ev.Text)
		})
	case llm.Stop:
		if ev.Reason == llm.MaxTokens || ev.Reason == llm.ContextWindowExceeded {
			d.reason = "MAX_TOKENS"
		}
	case llm.Done:
		return d.done(ev, emit)
	}
	return nil
}

func (d *dialog) done(ev llm.Event, emit func([]byte) error) error {
	if text := d.said.String(); text != "" {
		d.add(llm.Assistant, text)
		d.size += len(text)
	}
	stop := func(b []byte) []byte {
		b = append(b, `,"stopReason":"`...)
		b = append(b, d.reason...)
		return append(b, '"')
	}
	if err := d.emit(emit, "contentEnd", func(b []byte) []byte { return stop(append(b, `,"type":"TEXT"`...)) }); err != nil {
		return err
	}
	d.in, d.out = d.in+ev.Usage.InputTokens, d.out+ev.Usage.OutputTokens
	err := d.emit(emit, "usageEvent", func(b []byte) []byte {
		b = append(b, `,"details":{"delta":`...)
		b = appendTokens(b, ev.Usage.InputTokens, ev.Usage.OutputTokens)
		b = append(b, `,"total":`...)
		b = appendTokens(b, d.in, d.out)
		b = append(b, `},"totalInputTokens":`...)
		b = strconv.AppendInt(b, int64(d.in), 10)
		b = append(b, `,"totalOutputTokens":`...)
		b = strconv.AppendInt(b, int64(d.out), 10)
		b = append(b, `,"totalTokens":`...)
		return strconv.AppendInt(b, int64(d.in+d.out), 10)
	})
	if err != nil {
		return err
	}
	return d.emit(emit, "completionEnd", stop)
}

func appendTokens(b []byte, in, out int) []byte {
	b = append(b, `{"input":{"speechTokens":0,"textTokens":`...)
	b = strconv.AppendInt(b, int64(in), 10)
	b = append(b, `},"output":{"speechTokens":0,"textTokens":`...)
	b = strconv.AppendInt(b, int64(out), 10)
	return append(b, `}}`...)
}

// emit writes one event with the ids of the reply; more adds its own members.
func (d *dialog) emit(emit func([]byte) error, name string, more func([]byte) []byte) error {
	b := append(d.buf[:0], `{"event":{"`...)
	b = append(b, name...)
	b = append(b, `":{"sessionId":"`...)
	b = append(b, d.session...)
	b = append(b, `","promptName":`...)
	b = body.AppendString(b, d.asked)
	b = append(b, `,"completionId":"`...)
	b = append(b, d.completion...)
	b = append(b, '"')
	if name == "contentStart" || name == "textOutput" || name == "contentEnd" {
		b = append(b, `,"contentId":"`...)
		b = append(b, d.reply...)
		b = append(b, '"')
	}
	if more != nil {
		b = more(b)
	}
	b = append(b, `}}}`...)
	d.buf = b
	return emit(b)
}
