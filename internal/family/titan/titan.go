// Package titan speaks the native bodies of Amazon Titan: Titan Text, the text
// embeddings G1 and V2, the multimodal embeddings G1 and the image generators.
//
// Source: Bedrock user guide, "Amazon Titan Text models", "Amazon Titan
// Embeddings Text", "Amazon Titan Multimodal Embeddings G1" and "Amazon Titan
// Image Generator G1 models".
package titan

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/canvas"
	"github.com/outcrop/outcrop/internal/llm"
)

// Defaults of textGenerationConfig.
const (
	defaultTemperature = 0.7
	defaultTopP        = 0.9
	defaultTokens      = 512
)

// Family is the codec of Titan. The zero value works.
type Family struct{}

// Name is "titan".
func (Family) Name() string { return "titan" }

// maxOutput is the largest maxTokenCount of a model when the catalogue sets
// none.
func maxOutput(id string) int {
	switch {
	case strings.Contains(id, "titan-text-lite"):
		return 4096
	case strings.Contains(id, "titan-text-premier"):
		return 3072
	}
	return 8192
}

// Parse reads a body of Titan Text, Titan Embeddings or Titan Image Generator,
// as the model is.
func (f Family) Parse(m family.Model, data []byte) (family.Task, error) {
	if strings.Contains(m.ID, "titan-image") {
		p, err := canvas.Parse(pictureRules(m.ID), data)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	if strings.Contains(m.ID, "titan-embed-image") {
		return parseMultimodal(data)
	}
	if strings.Contains(m.ID, "titan-embed") || m.Dimensions > 0 {
		return f.parseEmbedding(m, data)
	}
	return f.parseText(m, data)
}

// parseText reads a Titan Text body.
func (f Family) parseText(m family.Model, data []byte) (family.Text, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	limit := m.MaxOutput
	if limit == 0 {
		limit = maxOutput(m.ID)
	}
	root.Require("inputText")
	prompt := root.Get("inputText").Text(body.Length{Min: 1})
	c := root.Get("textGenerationConfig").Object()
	p := llm.Params{
		MaxTokens:   c.Get("maxTokenCount").Int(body.Range{Min: 1, Max: float64(limit)}),
		Temperature: c.Get("temperature").Num(body.Range{Max: 1}),
		TopP:        c.Get("topP").Num(body.Range{Max: 1, Above: true}),
		Stop:        c.Get("stopSequences").Texts(body.Length{}),
	}
	c.Close()
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	if p.MaxTokens == nil {
		p.MaxTokens = new(min(defaultTokens, limit))
	}
	if p.Temperature == nil {
		p.Temperature = new(defaultTemperature)
	}
	if p.TopP == nil {
		p.TopP = new(defaultTopP)
	}
	req := parsePrompt(prompt)
	req.Params = p
	return &text{req: req}, nil
}

// Turn markers of a chat-style prompt; each starts a line.
const (
	userMark = "User:"
	botMark  = "Bot:"
)

// parsePrompt turns a prompt into a conversation.
//
// "User: ...\nBot:" text, that is a prompt whose first marked line is a User
// line and whose last one is a Bot line, becomes turns; text before the first
// is the system text, text after the last Bot marker is the start of the reply.
// Every other prompt is one user turn, as it is.
func parsePrompt(prompt string) *llm.Request {
	head, turns := splitTurns(prompt)
	if len(turns) < 2 || turns[0].Role != llm.User || turns[len(turns)-1].Role != llm.Assistant {
		return &llm.Request{Messages: []llm.Message{message(llm.User, prompt)}}
	}
	req := &llm.Request{}
	if head != "" {
		req.System = []string{head}
	}
	for i, t := range turns {
		text := t.Content[0].Text
		if i < len(turns)-1 {
			text = strings.TrimRight(text, " \t\r\n")
		}
		if t.Role == llm.Assistant && strings.TrimSpace(text) == "" {
			continue
		}
		if n := len(req.Messages); n > 0 && req.Messages[n-1].Role == t.Role {
			req.Messages[n-1].Content[0].Text += "\n" + text
			continue
		}
		req.Messages = append(req.Messages, message(t.Role, text))
	}
	return req
}

func message(role llm.Role, text string) llm.Message {
	return llm.Message{Role: role, Content: []llm.Block{{Kind: llm.Text, Text: text}}}
}

// splitTurns cuts a prompt at the lines that start with a marker. One space
// after the marker belongs to it. head is the text before the first, trimmed.
func splitTurns(prompt string) (head string, turns []llm.Message) {
	var cur strings.Builder
	flush := func() {
		if n := len(turns); n > 0 {
			turns[n-1].Content[0].Text = cur.String()
		} else {
			head = strings.TrimSpace(cur.String())
		}
		cur.Reset()
	}
	for line := range strings.Lines(prompt) {
		role := llm.User
		rest, ok := strings.CutPrefix(line, userMark)
		if !ok {
			role = llm.Assistant
			rest, ok = strings.CutPrefix(line, botMark)
		}
		if ok {
			flush()
			turns = append(turns, message(role, ""))
			line = strings.TrimPrefix(rest, " ")
		}
		cur.WriteString(line)
	}
	flush()
	return head, turns
}

// text is one Titan Text request.
type text struct {
	req *llm.Request
}

// Request is the conversation of the prompt.
func (t *text) Request() *llm.Request { return t.req }

// Response is {"inputTextTokenCount", "results": [{...}]}.
func (t *text) Response(r *llm.Response) ([]byte, error) {
	s := r.Text()
	b := make([]byte, 0, len(s)+len(s)/8+128)
	b = append(b, `{"inputTextTokenCount":`...)
	b = body.AppendInt(b, r.Usage.InputTokens)
	b = append(b, `,"results":[{"tokenCount":`...)
	b = body.AppendInt(b, r.Usage.OutputTokens)
	b = append(b, `,"outputText":`...)
	b = body.AppendString(b, s)
	b = append(b, `,"completionReason":"`...)
	b = append(b, reason(r.Reason)...)
	return append(b, `"}]}`...), nil
}

// reason is Titan's word for why a reply ended. The documents say FINISHED for
// a normal end; the service says FINISH.
func reason(r llm.StopReason) string {
	switch r {
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return "LENGTH"
	case llm.StopSequence:
		return "STOP_CRITERIA_MET"
	case llm.ContentFiltered:
		return "CONTENT_FILTERED"
	}
	return "FINISH"
}

// Stream makes one chunk per piece of text and a last one with the counts.
func (t *text) Stream() (family.Stream, error) {
	return &stream{buf: make([]byte, 0, 256)}, nil
}

type stream struct {
	buf    []byte
	reason llm.StopReason
}

// Chunks makes a chunk for Delta and for Done. The counts and the reason stand
// in the last one only.
func (s *stream) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.Delta:
		if ev.Text == "" || ev.Block > llm.Text {
			return nil // thoughts and tools are no part of this body
		}
		s.buf = append(s.buf[:0], `{"outputText":`...)
		s.buf = body.AppendString(s.buf, ev.Text)
		s.buf = append(s.buf, `,"index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null}`...)
		return emit(s.buf)
	case llm.Stop:
		s.reason = ev.Reason
	case llm.Done:
		b := append(s.buf[:0], `{"outputText":"","index":0,"totalOutputTextTokenCount":`...)
		b = body.AppendInt(b, ev.Usage.OutputTokens)
		b = append(b, `,"completionReason":"`...)
		b = append(b, reason(s.reason)...)
		b = append(b, `","inputTextTokenCount":`...)
		b = body.AppendInt(b, ev.Usage.InputTokens)
		b = append(b, ',')
		b = body.AppendMetrics(b, ev.Usage, ev.Latency, ev.FirstToken)
		s.buf = append(b, '}')
		return emit(s.buf)
	}
	return nil
}
