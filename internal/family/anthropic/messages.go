package anthropic

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// messages is one Messages request.
type messages struct {
	req      *llm.Request
	model    string // the reply's name of the model
	id       string
	thoughts bool   // reasoning is part of the reply
	single   bool   // one tool call at most
	ttl      string // of the last cache mark
	direct   bool   // no invocation metrics
}

// parseMessages reads a Messages body. The direct form, which has no
// anthropic_version, also has "model" and "stream", which were read already.
func (f Family) parseMessages(m family.Model, root *body.Value, direct bool) (*messages, error) {
	name := modelName(m.ID)
	limit := body.AtLeast(1)
	if n := m.MaxOutput; n > 0 {
		limit.Max = float64(n)
	} else if n := maxOutput(name); n > 0 {
		limit.Max = float64(n)
	}
	root.Require("max_tokens", "messages")
	if !direct {
		root.Require("anthropic_version")
	}
	version(root.Get("anthropic_version"))
	req := &llm.Request{Params: llm.Params{
		MaxTokens:   root.Get("max_tokens").Int(limit),
		Temperature: orDefault(root.Get("temperature").Num(body.Range{Max: 1}), 1),
		TopP:        orDefault(root.Get("top_p").Num(body.Range{Max: 1}), 0.999),
		TopK:        root.Get("top_k").Int(body.Range{Max: maxTopK}),
		Stop:        root.Get("stop_sequences").Texts(body.Length{Max: maxStops}),
	}}
	rd := reader{req: req, strict: m.StrictParity}
	rd.tools(root)
	req.System = rd.system(root.Get("system"))
	rd.turns(root.Get("messages"))
	rd.answers()
	rd.wholeCache(root)
	rd.thinking(name, root)
	rd.output(root)
	rd.sampling(name, root)
	rd.accepted(root)
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	if rd.err != nil {
		return nil, rd.err
	}
	id, err := f.newID()
	if err != nil {
		return nil, err
	}
	return &messages{
		req: req, model: name, id: id, direct: direct, single: rd.single, ttl: rd.ttl,
		thoughts: req.Thinking != nil && !req.Thinking.Off,
	}, nil
}

// reader reads the nested parts of a Messages body. Violations of the schema
// gather in the body; err is the first thing that has a message of its own.
type reader struct {
	req    *llm.Request
	strict bool
	err    error

	marks  int      // cache marks so far
	ttl    string   // of the last one
	single bool     // disable_parallel_tool_use
	origin []speech // of each message of req
}

// speech is what the rules on tools need to know of a message.
type speech struct {
	index   int // in the body
	calls   []place
	results []place
	late    bool // a result stands behind other blocks
}

// place is a tool call's id and where it stands in the body.
type place struct{ id, at string }

func (rd *reader) fail(format string, args ...any) {
	if rd.err == nil {
		rd.err = apierr.Validation(format, args...)
	}
}

// present is v, or nil when it is null: many keys of Messages may be null.
func present(v *body.Value) *body.Value {
	if v.Kind() == body.Null {
		return nil
	}
	return v
}

// system reads a text or a list of text blocks.
func (rd *reader) system(v *body.Value) []string {
	if v.Kind() != body.Array {
		if s := v.Text(body.Length{}); strings.TrimSpace(s) != "" {
			return []string{s}
		}
		return nil
	}
	var out []string
	for _, item := range v.Items(body.Length{}) {
		if item.Object() == nil {
			continue
		}
		item.Require("type")
		item.Get("type").Enum("text")
		if b := rd.text(item); b != nil {
			out = append(out, b.Text)
		}
		rd.cacheMark(item, llm.Mark{})
		item.Close()
	}
	return out
}

// turns reads the conversation. Turns of one role in a row become one.
func (rd *reader) turns(v *body.Value) {
	items := v.Items(body.Length{})
	if v.Kind() == body.Array && len(items) == 0 {
		rd.fail("messages: at least one message is required")
	}
	for i, item := range items {
		if item.Object() == nil {
			continue
		}
		item.Require("role", "content")
		role := llm.Role(item.Get("role").Enum(string(llm.User), string(llm.Assistant)))
		if i == 0 && role == llm.Assistant {
			rd.fail(`messages: first message must use the "user" role`)
		}
		if n := len(rd.req.Messages); n == 0 || rd.req.Messages[n-1].Role != role {
			rd.req.Messages = append(rd.req.Messages, llm.Message{Role: role})
			rd.origin = append(rd.origin, speech{index: i})
		}
		rd.content(item.Get("content"), i == len(items)-1)
		item.Close()
	}
}

// last is the message that is being read.
func (rd *reader) last() (*llm.Message, *speech) {
	return &rd.req.Messages[len(rd.req.Messages)-1], &rd.origin[len(rd.origin)-1]
}

// content reads a text or a list of blocks into the last message.
func (rd *reader) content(v *body.Value, final bool) {
	m, _ := rd.last()
	switch v.Kind() {
	case 0:
	case body.String:
		s := v.Text(body.Length{})
		if strings.TrimSpace(s) == "" {
			rd.fail("%s: text content must contain non-whitespace text", v.Dotted())
		}
		m.Content = append(m.Content, llm.Block{Kind: llm.Text, Text: s})
	default:
		items := v.Items(body.Length{})
		if v.Kind() == body.Array && len(items) == 0 {
			rd.fail("%s: at least one content block is required", v.Dotted())
		}
		for _, item := range items {
			rd.block(item)
		}
	}
	if n := len(m.Content); n > 0 && final && m.Role == llm.Assistant {
		if b := m.Content[n-1]; b.Kind == llm.Text && strings.TrimRight(b.Text, " \t\r\n") != b.Text {
			rd.fail("messages: final assistant content cannot end with trailing whitespace")
		}
	}
}

// sampling applies a rule of newer models: temperature or top_p, not both. It
// is applied with strict parity only; here both have an effect.
func (rd *reader) sampling(name string, root *body.Value) {
	if rd.strict && generation(name) >= 45 && root.Has("temperature") && root.Has("top_p") {
		rd.fail("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
	}
}

// accepted reads the keys that have no effect here, and refuses by name those
// that would need a service of Anthropic's.
func (rd *reader) accepted(root *body.Value) {
	root.Get("anthropic_beta").Texts(body.Length{})
	if m := present(root.Get("metadata")).Object(); m != nil {
		present(m.Get("user_id")).Text(body.Length{Max: maxUserID})
		m.SkipAll()
	}
	present(root.Get("service_tier")).Enum("auto", "standard_only")
	present(root.Get("speed")).Enum("standard", "fast")
	present(root.Get("inference_geo")).Text(body.Length{})
	present(root.Get("user_profile_id")).Text(body.Length{})
	if c := present(root.Get("context_management")).Object(); c != nil {
		c.SkipAll()
	}
	for _, key := range [...]string{"container", "mcp_servers"} {
		v := present(root.Get(key))
		if v.Kind() == body.Array && len(v.Items(body.Length{})) == 0 {
			continue
		}
		if v != nil {
			v.SkipAll()
			rd.fail("%s: Extra inputs are not permitted", key)
		}
	}
}

// maxUserID is the length of metadata.user_id in characters.
const maxUserID = 256

// Request is the conversation.
func (m *messages) Request() *llm.Request { return m.req }
