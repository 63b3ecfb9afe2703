// Package chat holds what the native bodies of several providers share: the
// messages, tools and replies of OpenAI's Chat Completions, which Mistral and
// AI21 speak with differences of their own, and prompts with [INST] markers.
//
// Source: Bedrock user guide, "OpenAI models", "Mistral AI chat completion" and
// "AI21 Labs Jamba models".
package chat

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Head is what must be known of a body before it is read whole, where the
// body itself names its model.
type Head struct {
	Model  string
	Stream bool // the reply is to be streamed
	// Tier is service_tier; "" when it is not there, or no text. OpenAI's "auto" is
	// "" too: it asks for none.
	Tier string
}

// ReadHead reads the head of a Chat Completions body.
//
// Errors: ValidationException; it names "model" or "stream" when one of them is
// missing or wrong.
func ReadHead(data []byte) (Head, error) {
	root, err := body.Parse(data)
	if err != nil {
		return Head{}, err
	}
	root.Require("model")
	h := Head{Model: root.Get("model").Text(body.Length{Min: 1})}
	if s := root.Get("stream"); s.Kind() != body.Null {
		b := s.Bool()
		h.Stream = b != nil && *b
	}
	if s := root.Get("service_tier"); s.Kind() == body.String {
		if t := s.Text(body.Length{}); t != "auto" {
			h.Tier = t
		}
	}
	return h, root.Err()
}

// Add appends content to a conversation; turns of one role in a row become one.
// Without content it does nothing.
func Add(req *llm.Request, role llm.Role, content ...llm.Block) {
	if len(content) == 0 {
		return
	}
	if n := len(req.Messages); n > 0 && req.Messages[n-1].Role == role {
		req.Messages[n-1].Content = append(req.Messages[n-1].Content, content...)
		return
	}
	req.Messages = append(req.Messages, llm.Message{Role: role, Content: content})
}

// Text is a block of text.
func Text(s string) llm.Block { return llm.Block{Kind: llm.Text, Text: s} }

// Or returns *v, or def when v is nil.
func Or[T any](v *T, def T) *T {
	if v == nil {
		return &def
	}
	return v
}

// Reader reads the messages of a body.
type Reader struct {
	Roles  []string // the roles that a message may have
	Images bool     // users may show images
	// Loose skips unknown keys of messages: clients send back what a reply had.
	Loose bool

	calls map[string]bool // the calls made so far
	err   error
}

// fail keeps the first thing that has a message of its own.
func (rd *Reader) fail(format string, args ...any) {
	if rd.err == nil {
		rd.err = apierr.Validation(format, args...)
	}
}

// Err is what is wrong with the conversation as a whole, after the schema.
func (rd *Reader) Err() error { return rd.err }

// Messages reads a list of messages into req. System and developer texts go to
// Request.System wherever they stand; turns of one role in a row become one.
func (rd *Reader) Messages(req *llm.Request, v *body.Value) {
	rd.calls = map[string]bool{}
	items := v.Items(body.Length{Min: 1})
	for _, item := range items {
		if item.Object() == nil {
			continue
		}
		rd.message(req, item)
		if rd.Loose {
			item.SkipAll()
		}
		item.Close()
	}
	switch n := len(req.Messages); {
	case n == 0:
		if len(items) > 0 {
			rd.fail("messages: at least one message must have the role user")
		}
	case req.Messages[0].Role != llm.User:
		rd.fail("messages: the first message behind those of the system must have the role user")
	default:
		last := req.Messages[n-1]
		if last.Role == llm.Assistant && last.Content[len(last.Content)-1].Kind != llm.Text {
			rd.fail("messages: the last message must not be an assistant's without text")
		}
	}
}

func (rd *Reader) message(req *llm.Request, v *body.Value) {
	v.Require("role")
	role := v.Get("role").Enum(rd.Roles...)
	content := v.Get("content")
	v.Get("name").Text(body.Length{})
	switch role {
	case "system", "developer":
		v.Require("content")
		if s := rd.text(content); strings.TrimSpace(s) != "" {
			req.System = append(req.System, s)
		}
	case "user":
		v.Require("content")
		Add(req, llm.User, rd.content(content)...)
	case "assistant":
		Add(req, llm.Assistant, rd.assistant(v, content)...)
	case "tool":
		v.Require("content", "tool_call_id")
		id := v.Get("tool_call_id")
		r := &llm.Result{CallID: id.Text(body.Length{Min: 1})}
		if r.CallID != "" && !rd.calls[r.CallID] {
			id.Violate("no message before it has this id in its tool_calls")
		}
		if s := rd.text(content); s != "" {
			r.Content = []llm.Block{Text(s)}
		}
		if r.CallID != "" {
			Add(req, llm.User, llm.Block{Kind: llm.ToolResult, Result: r})
		}
	}
}

// assistant reads thoughts, text and tool calls of an assistant's message.
func (rd *Reader) assistant(v, content *body.Value) []llm.Block {
	var out []llm.Block
	if rd.Loose {
		if s := v.Get("reasoning_content"); s.Kind() != body.Null {
			if s := s.Text(body.Length{}); s != "" {
				out = append(out, llm.Block{Kind: llm.Reasoning, Text: s})
			}
		}
	}
	if content.Kind() != body.Null {
		if s := rd.text(content); s != "" {
			out = append(out, Text(s))
		}
	}
	calls := v.Get("tool_calls")
	if calls.Kind() == body.Null {
		calls = nil
	}
	for _, item := range calls.Items(body.Length{}) {
		if c := rd.call(item); c != nil {
			out = append(out, llm.Block{Kind: llm.ToolCall, Call: c})
		}
	}
	if content.Kind() == 0 && calls == nil {
		v.Require("content")
	}
	return out
}

// call reads one tool call.
func (rd *Reader) call(v *body.Value) *llm.Call {
	if v.Object() == nil {
		return nil
	}
	v.Require("id", "function")
	v.Get("type").Enum("function")
	v.Get("index").Int(body.AtLeast(0))
	id := v.Get("id")
	c := &llm.Call{ID: id.Text(body.Length{Min: 1, Max: maxCallID})}
	f := v.Get("function").Object()
	f.Require("name", "arguments")
	c.Name = f.Get("name").Text(body.Length{Min: 1, Max: maxToolName})
	args := f.Get("arguments")
	c.Input = []byte(args.Text(body.Length{}))
	if len(bytes.TrimSpace(c.Input)) == 0 {
		c.Input = []byte("{}")
	}
	if !isObject(c.Input) {
		args.Violate("string is not a JSON object")
	}
	f.Close()
	if rd.Loose {
		v.SkipAll()
	}
	v.Close()
	if rd.calls[c.ID] {
		id.Violate("another tool call has this id")
	}
	rd.calls[c.ID] = true
	if c.ID == "" || c.Name == "" || !isObject(c.Input) {
		return nil
	}
	return c
}

// maxCallID and maxToolName bound the words of a call, in characters.
// Source: Converse's toolUseId and tool name.
const (
	maxCallID   = 64
	maxToolName = 64
)

func isObject(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) && json.Valid(data)
}

// text reads a text, or joins the texts of a list of parts.
func (rd *Reader) text(v *body.Value) string {
	if v.Kind() != body.Array {
		return v.Text(body.Length{})
	}
	var b strings.Builder
	for _, item := range v.Items(body.Length{}) {
		if item.Object() == nil {
			continue
		}
		item.Require("type", "text")
		item.Get("type").Enum("text")
		b.WriteString(item.Get("text").Text(body.Length{}))
		item.Close()
	}
	return b.String()
}

// content reads what a user says: a text, or a list of texts and images.
func (rd *Reader) content(v *body.Value) []llm.Block {
	if v == nil {
		return nil
	}
	if v.Kind() != body.Array {
		return []llm.Block{Text(v.Text(body.Length{}))}
	}
	var out []llm.Block
	for _, item := range v.Items(body.Length{Min: 1}) {
		if item.Object() == nil {
			continue
		}
		kinds := []string{"text"}
		if rd.Images {
			kinds = append(kinds, "image_url")
		}
		item.Require("type")
		switch item.Get("type").Enum(kinds...) {
		case "text":
			item.Require("text")
			out = append(out, Text(item.Get("text").Text(body.Length{})))
		case "image_url":
			item.Require("image_url")
			if m := imageURL(item.Get("image_url")); m != nil {
				m.Place = item.Dotted()
				out = append(out, llm.Block{Kind: llm.Image, Media: m})
			}
		default:
			item.SkipAll()
		}
		item.Close()
	}
	return out
}

// imageURL reads the address of an image, or an object with it.
func imageURL(v *body.Value) *llm.Media {
	if v.Kind() == body.String {
		return DataURI(v)
	}
	if v.Object() == nil {
		return nil
	}
	v.Require("url")
	v.Get("detail").Enum("auto", "low", "high")
	m := DataURI(v.Get("url"))
	v.Close()
	return m
}

// DataURI reads an image of the form "data:image/png;base64,...": png, jpeg,
// gif or webp. An address of another form is refused: a server that fetches what
// callers name would be a way into its network.
func DataURI(v *body.Value) *llm.Media {
	s := v.Text(body.Length{Min: 1})
	if s == "" {
		return nil
	}
	head, data, ok := strings.Cut(s, ";base64,")
	kind, isImage := strings.CutPrefix(strings.ToLower(head), "data:image/")
	if !ok || !isImage {
		v.Violate("string is not a data URI of an image in base64")
		return nil
	}
	switch kind {
	case "jpg":
		kind = "jpeg"
	case "png", "jpeg", "gif", "webp":
	default:
		v.Violate("image/png, image/jpeg, image/gif and image/webp are the types of an image")
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(b) == 0 {
		v.Violate("string is not a data URI of an image in base64")
		return nil
	}
	return &llm.Media{Format: kind, Data: b, Place: v.Dotted()}
}

// Stop reads stop sequences: one text or a list of at most most.
func Stop(v *body.Value, most int) []string {
	switch v.Kind() {
	case body.Null:
		return nil
	case body.String:
		if s := v.Text(body.Length{Min: 1}); s != "" {
			return []string{s}
		}
		return nil
	}
	return v.Texts(body.Length{Max: most})
}

// Streams checks that a body may be streamed: its "stream" is not false, and it
// asks for one reply.
func Streams(flag *bool, replies int) error {
	switch {
	case flag != nil && !*flag:
		return apierr.Validation("stream: must be true or absent when the reply is streamed")
	case replies > 1:
		return apierr.Validation("A streamed request can ask for one reply only, not for %d.", replies)
	}
	return nil
}
