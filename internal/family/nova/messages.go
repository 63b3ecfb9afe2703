package nova

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// turns reads the conversation: a user's turn first, then in turn.
func (rd *reader) turns(v *body.Value) {
	items := v.Items(body.Length{Min: 1})
	var open []string // ids of calls that wait for their results
	for i, item := range items {
		if item.Object() == nil {
			continue
		}
		item.Require("role", "content")
		role := llm.Role(item.Get("role").Enum(string(llm.User), string(llm.Assistant)))
		switch n := len(rd.req.Messages); {
		case role == "":
		case n == 0 && role == llm.Assistant:
			rd.fail("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
		case n > 0 && rd.req.Messages[n-1].Role == role:
			rd.fail("A conversation must alternate between user and assistant roles. " +
				"Make sure the conversation alternates between user and assistant roles and try again.")
		}
		rd.req.Messages = append(rd.req.Messages, llm.Message{Role: role})
		rd.content(item.Get("content"))
		item.Close()
		open = rd.answers(i, open)
	}
	rd.missing(len(items), open, nil)
}

// content reads the blocks of the last message.
func (rd *reader) content(v *body.Value) {
	at := len(rd.req.Messages) - 1
	m := &rd.req.Messages[at]
	for _, item := range v.Items(body.Length{Min: 1}) {
		var b *llm.Block
		value, kind := rd.union(item, "text", "image", "document", "video", "audio", "toolUse", "toolResult", "reasoningContent", "cachePoint")
		switch kind {
		case "":
		case "cachePoint":
			rd.cache(value, llm.Mark{Message: at, Block: len(m.Content)})
		case "toolUse":
			b = rd.toolUse(value)
		case "toolResult":
			b = rd.toolResult(value)
		case "reasoningContent":
			b = reasoning(rd, value)
		default:
			b = rd.shown(item, value, kind)
		}
		if b == nil {
			continue
		}
		if of := b.Kind; m.Role == llm.User && (of == llm.ToolCall || of == llm.Reasoning) ||
			m.Role == llm.Assistant && (of == llm.Image || of == llm.Document || of == llm.ToolResult) {
			rd.fail("%s: the %s content block is not allowed in a message of role %s.", item.Dotted(), kind, m.Role)
		}
		m.Content = append(m.Content, *b)
	}
	if v.Kind() == body.Array && len(m.Content) == 0 {
		rd.fail("The content field at %s is empty. Add a ContentBlock object to the content field and try again.", v.Dotted())
	}
}

// shown reads what both a turn and a tool's result may have. at is the block.
func (rd *reader) shown(at, v *body.Value, kind string) *llm.Block {
	switch kind {
	case "text":
		s := v.Text(body.Length{})
		if v.Kind() == body.String && strings.TrimSpace(s) == "" {
			rd.fail("The text field in the ContentBlock object at %s is blank. Add text to the text field, and try again.", at.Dotted())
		}
		return &llm.Block{Kind: llm.Text, Text: s}
	case "image":
		if v.Object() == nil {
			return nil
		}
		v.Require("format", "source")
		m := &llm.Media{Format: v.Get("format").Enum("png", "jpeg", "gif", "webp"), Place: at.Dotted()}
		ok := rd.source(v.Get("source"), m, "bytes", "s3Location")
		v.Close()
		if ok {
			return &llm.Block{Kind: llm.Image, Media: m}
		}
	case "document":
		if v.Object() == nil {
			return nil
		}
		v.Require("format", "name", "source")
		m := &llm.Media{
			Format: v.Get("format").Enum("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"),
			Name:   v.Get("name").Text(body.Length{Min: 1, Max: 200}), Place: at.Dotted(),
		}
		ok := rd.source(v.Get("source"), m, "bytes", "s3Location", "text")
		v.Close()
		if ok {
			return &llm.Block{Kind: llm.Document, Media: m}
		}
	case "video", "audio":
		rd.fail("%s: This model doesn't support the %s content block. Remove the block and try again.", at.Dotted(), kind)
		v.Object().SkipAll()
	}
	return nil
}

// source reads where the bytes of a picture or a document are.
func (rd *reader) source(v *body.Value, m *llm.Media, keys ...string) bool {
	member, kind := rd.union(v, keys...)
	switch kind {
	case "bytes":
		m.Data = member.Base64()
	case "text":
		m.Text = member.Text(body.Length{Min: 1})
	case "s3Location":
		if member.Object() == nil {
			return false
		}
		member.Require("uri")
		uri := member.Get("uri")
		m.URI = uri.Text(body.Length{Min: 1, Max: 1024})
		if m.URI != "" && !strings.HasPrefix(m.URI, "s3://") {
			uri.Violate("string [" + body.Show(m.URI) + "] does not match pattern ^s3://")
		}
		owner := member.Get("bucketOwner")
		if s := owner.Text(body.Length{}); owner != nil && (len(s) != 12 || strings.Trim(s, "0123456789") != "") {
			owner.Violate("string [" + body.Show(s) + "] does not match pattern ^[0-9]{12}$")
		}
		member.Close()
	}
	return m.Data != nil || m.Text != "" || m.URI != ""
}

// reasoning reads thoughts of an earlier turn.
func reasoning(rd *reader, v *body.Value) *llm.Block {
	member, kind := rd.union(v, "reasoningText", "redactedContent")
	switch kind {
	case "reasoningText":
		if member.Object() == nil {
			return nil
		}
		member.Require("text")
		b := &llm.Block{Kind: llm.Reasoning, Text: member.Get("text").Text(body.Length{}), Signature: member.Get("signature").Text(body.Length{})}
		member.Close()
		return b
	case "redactedContent":
		return &llm.Block{Kind: llm.Reasoning, Redacted: member.Base64()}
	}
	return nil
}

// answers checks the results in message number i, the last one read, against
// the calls of the message before, and returns the calls that now wait.
func (rd *reader) answers(i int, open []string) []string {
	var calls []string
	called, answered := map[string]bool{}, map[string]bool{}
	results := 0
	for _, b := range rd.req.Messages[len(rd.req.Messages)-1].Content {
		switch b.Kind {
		case llm.ToolCall:
			if called[b.Call.ID] {
				rd.fail("The toolUse blocks at messages.%d.content contain duplicate Ids: %s", i, body.Show(b.Call.ID))
			}
			called[b.Call.ID] = true
			calls = append(calls, b.Call.ID)
		case llm.ToolResult:
			if answered[b.Result.CallID] {
				rd.fail("The toolResult blocks at messages.%d.content contain duplicate Ids: %s", i, body.Show(b.Result.CallID))
			}
			answered[b.Result.CallID] = true
			results++
		}
	}
	if results > len(open) {
		rd.fail("The number of toolResult blocks at messages.%d.content exceeds the number of toolUse blocks of previous turn.", i)
	}
	rd.missing(i, open, answered)
	return calls
}

// missing refuses calls without a result in message number i.
func (rd *reader) missing(i int, open []string, answered map[string]bool) {
	const most = 5 // ids that the message names
	var ids []string
	for _, id := range open {
		if !answered[id] && len(ids) < most {
			ids = append(ids, body.Show(id))
		}
	}
	if ids != nil {
		rd.fail("Expected toolResult blocks at messages.%d.content for the following Ids: %s", i, strings.Join(ids, ", "))
	}
}
