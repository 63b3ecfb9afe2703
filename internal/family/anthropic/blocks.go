package anthropic

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// The types of content blocks that are understood, and those of Anthropic's own
// services, which are refused by name.
const (
	typeText       = "text"
	typeImage      = "image"
	typeDocument   = "document"
	typeSearch     = "search_result"
	typeToolUse    = "tool_use"
	typeToolResult = "tool_result"
	typeThinking   = "thinking"
	typeRedacted   = "redacted_thinking"
)

var (
	userTypes      = []string{typeText, typeImage, typeDocument, typeSearch, typeToolResult}
	assistantTypes = []string{typeText, typeToolUse, typeThinking, typeRedacted}
	resultTypes    = []string{typeText, typeImage, typeDocument, typeSearch}
)

// block reads one content block into the last message.
func (rd *reader) block(v *body.Value) {
	if v.Object() == nil {
		return
	}
	m, turn := rd.last()
	kinds := userTypes
	if m.Role == llm.Assistant {
		kinds = assistantTypes
	}
	kind, ok := rd.kind(v, kinds)
	if !ok {
		return
	}
	switch kind {
	case typeToolUse:
		if b := rd.toolUse(v); b != nil {
			turn.calls = append(turn.calls, place{id: b.Call.ID, at: v.Dotted()})
			m.Content = append(m.Content, *b)
		}
	case typeToolResult:
		if b := rd.toolResult(v); b != nil {
			turn.late = turn.late || len(turn.results) < len(m.Content)
			turn.results = append(turn.results, place{id: b.Result.CallID, at: v.Dotted()})
			m.Content = append(m.Content, *b)
		}
	case typeThinking:
		v.Require("thinking", "signature")
		m.Content = append(m.Content, llm.Block{
			Kind: llm.Reasoning, Text: v.Get("thinking").Text(body.Length{}), Signature: v.Get("signature").Text(body.Length{}),
		})
	case typeRedacted:
		v.Require("data")
		m.Content = append(m.Content, llm.Block{Kind: llm.Reasoning, Redacted: []byte(v.Get("data").Text(body.Length{Min: 1}))})
	default:
		m.Content = append(m.Content, rd.shown(v, kind)...)
	}
	if kind != typeThinking && kind != typeRedacted {
		rd.cacheMark(v, llm.Mark{Message: len(rd.req.Messages) - 1, Block: len(m.Content)})
	}
	v.Close()
}

// kind reads the type of a block, which must be one of the given. Types that
// exist, but not here, are refused in Anthropic's words.
func (rd *reader) kind(v *body.Value, kinds []string) (string, bool) {
	v.Require("type")
	kind := v.Get("type").Text(body.Length{Min: 1})
	for _, k := range kinds {
		if kind == k {
			return k, true
		}
	}
	v.SkipAll()
	if kind != "" {
		rd.fail("%s: Input tag '%s' found using 'type' does not match any of the expected tags: '%s'",
			v.Dotted(), body.Show(kind), strings.Join(kinds, "', '"))
	}
	return "", false
}

// shown reads a block that both a user's turn and a tool's result may have.
func (rd *reader) shown(v *body.Value, kind string) []llm.Block {
	switch kind {
	case typeImage:
		if m := rd.image(v); m != nil {
			return []llm.Block{{Kind: llm.Image, Media: m}}
		}
	case typeDocument:
		return rd.document(v)
	case typeSearch:
		return rd.searchResult(v)
	case typeText:
		if b := rd.text(v); b != nil {
			return []llm.Block{*b}
		}
	}
	return nil
}

// text reads a text block.
func (rd *reader) text(v *body.Value) *llm.Block {
	v.Require("text")
	text := v.Get("text")
	s := text.Text(body.Length{})
	citations(v)
	if text.Kind() != body.String {
		return nil
	}
	if strings.TrimSpace(s) == "" {
		rd.fail("%s: text content blocks must contain non-whitespace text", v.Dotted())
	}
	return &llm.Block{Kind: llm.Text, Text: s}
}

// citations reads past citations, which have no effect: a list in a block of an
// earlier reply, a setting in a document.
func citations(v *body.Value) {
	c := present(v.Get("citations"))
	if c.Kind() == body.Array {
		return
	}
	if c = c.Object(); c != nil {
		c.Get("enabled").Bool()
		c.Close()
	}
}

// cacheMark reads the cache mark of a block that ends at m.
func (rd *reader) cacheMark(v *body.Value, m llm.Mark) {
	c := present(v.Get("cache_control")).Object()
	if c == nil {
		return
	}
	c.Require("type")
	c.Get("type").Enum("ephemeral")
	ttl := present(c.Get("ttl")).Enum("5m", "1h")
	c.Close()
	rd.marks++
	if ttl == "1h" && rd.marks > 1 && rd.ttl != "1h" {
		rd.fail("%s.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "+
			"Note that blocks are processed in the following order: `tools`, `system`, `messages`.", c.Dotted())
	}
	rd.req.Cache, rd.ttl = &m, ttl
}

// maxMarks is the number of cache marks in one body.
const maxMarks = 4

// wholeCache reads the mark of the body itself, which stands for one behind the
// last block.
func (rd *reader) wholeCache(root *body.Value) {
	n := len(rd.req.Messages)
	if n == 0 {
		return
	}
	rd.cacheMark(root, llm.Mark{Message: n - 1, Block: len(rd.req.Messages[n-1].Content)})
	if rd.marks > maxMarks {
		rd.fail("A maximum of %d blocks with cache_control may be provided. Found %d.", maxMarks, rd.marks)
	}
}

// source reads the source of an image or a document: an object whose type is
// one of the given.
func (rd *reader) source(v *body.Value, types ...string) (*body.Value, string) {
	v.Require("source")
	src := v.Get("source").Object()
	if src == nil {
		return nil, ""
	}
	kind, ok := rd.kind(src, types)
	if !ok {
		return nil, ""
	}
	return src, kind
}

// image reads an image block. Bedrock fetches nothing: the source must be
// base64.
func (rd *reader) image(v *body.Value) *llm.Media {
	src, _ := rd.source(v, "base64")
	if src == nil {
		return nil
	}
	src.Require("media_type", "data")
	format := src.Get("media_type").Enum("image/jpeg", "image/png", "image/gif", "image/webp")
	data := src.Get("data").Base64()
	src.Close()
	if data == nil {
		return nil
	}
	return &llm.Media{Format: strings.TrimPrefix(format, "image/"), Data: data, Place: v.Dotted()}
}

// document reads a document block. A source of content blocks becomes one
// document of its texts and the images behind it.
func (rd *reader) document(v *body.Value) []llm.Block {
	m := &llm.Media{
		Format: "txt", Place: v.Dotted(),
		Name: present(v.Get("title")).Text(body.Length{}), Context: present(v.Get("context")).Text(body.Length{}),
	}
	citations(v)
	src, kind := rd.source(v, "base64", "text", "content")
	if src == nil {
		return nil
	}
	var images []llm.Block
	switch kind {
	case "base64":
		src.Require("media_type", "data")
		src.Get("media_type").Enum("application/pdf")
		m.Format, m.Data = "pdf", src.Get("data").Base64()
	case "text":
		src.Require("media_type", "data")
		src.Get("media_type").Enum("text/plain")
		m.Text = src.Get("data").Text(body.Length{Min: 1})
	default:
		src.Require("content")
		m.Text, images = rd.parts(src.Get("content"))
	}
	src.Close()
	if m.Data == nil && m.Text == "" {
		return images
	}
	return append([]llm.Block{{Kind: llm.Document, Media: m}}, images...)
}

// parts reads the content of a document: a text, or blocks of text and images.
func (rd *reader) parts(v *body.Value) (string, []llm.Block) {
	if v.Kind() != body.Array {
		return v.Text(body.Length{Min: 1}), nil
	}
	var texts []string
	var images []llm.Block
	for _, item := range v.Items(body.Length{Min: 1}) {
		if item.Object() == nil {
			continue
		}
		kind, ok := rd.kind(item, []string{typeText, typeImage})
		if !ok {
			continue
		}
		for _, b := range rd.shown(item, kind) {
			if b.Kind == llm.Text {
				texts = append(texts, b.Text)
			} else {
				images = append(images, b)
			}
		}
		rd.innerMark(item)
		item.Close()
	}
	return strings.Join(texts, "\n"), images
}

// innerMark reads the cache mark of a block inside another one: it counts as a
// mark behind the whole message so far.
func (rd *reader) innerMark(v *body.Value) {
	m, _ := rd.last()
	rd.cacheMark(v, llm.Mark{Message: len(rd.req.Messages) - 1, Block: len(m.Content)})
}

// searchResult reads what a search found: a text with a title and a source.
func (rd *reader) searchResult(v *body.Value) []llm.Block {
	v.Require("source", "title", "content")
	m := &llm.Media{Format: "txt", Place: v.Dotted(), Name: v.Get("title").Text(body.Length{}), Context: v.Get("source").Text(body.Length{})}
	citations(v)
	var texts []string
	for _, item := range v.Get("content").Items(body.Length{Min: 1}) {
		if item.Object() == nil {
			continue
		}
		if _, ok := rd.kind(item, []string{typeText}); !ok {
			continue
		}
		if b := rd.text(item); b != nil {
			texts = append(texts, b.Text)
		}
		rd.innerMark(item)
		item.Close()
	}
	if m.Text = strings.Join(texts, "\n"); m.Text == "" {
		return nil
	}
	return []llm.Block{{Kind: llm.Document, Media: m}}
}
