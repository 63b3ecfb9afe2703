package anthropic

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Turn markers of Text Completions.
const (
	human     = "\n\nHuman:"
	assistant = "\n\nAssistant:"
)

// Limits and defaults of a Text Completions body.
const (
	maxCompletion  = 4096 // tokens
	maxTopK        = 500
	completionTopK = 250
)

// completion is one Text Completions request.
type completion struct {
	req *llm.Request
}

func parseCompletion(m family.Model, root *body.Value) (family.Text, error) {
	limit := maxCompletion
	if m.MaxOutput > 0 {
		limit = m.MaxOutput
	}
	root.Require("prompt", "max_tokens_to_sample")
	prompt := root.Get("prompt").Text(body.Length{Min: 1})
	p := llm.Params{
		MaxTokens:   root.Get("max_tokens_to_sample").Int(body.Range{Min: 1, Max: float64(limit)}),
		Temperature: orDefault(root.Get("temperature").Num(body.Range{Max: 1}), 1),
		TopP:        orDefault(root.Get("top_p").Num(body.Range{Max: 1}), 1),
		TopK:        orDefault(root.Get("top_k").Int(body.Range{Max: maxTopK}), completionTopK),
		Stop:        root.Get("stop_sequences").Texts(body.Length{Max: maxStops}),
	}
	version(root.Get("anthropic_version"))
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	req, err := parsePrompt(prompt, m.StrictParity)
	if err != nil {
		return nil, err
	}
	req.Params = p
	req.BuiltinStop = []string{human}
	return &completion{req: req}, nil
}

func orDefault[T any](v *T, def T) *T {
	if v == nil {
		return &def
	}
	return v
}

// turn is a piece of a prompt under one marker.
type turn struct {
	role llm.Role
	text string
}

// parsePrompt turns "\n\nHuman: ...\n\nAssistant:" text into a conversation.
//
// Text before the first Human turn is the system text; text after the last
// Assistant marker is the start of the reply, which the model continues. One
// space after a marker belongs to the marker; the rest of a turn is passed on
// as it is. A prompt without markers is one user turn. Under strict the marker
// rules of Bedrock hold.
func parsePrompt(prompt string, strict bool) (*llm.Request, error) {
	head, turns := splitTurns(prompt)
	if strict {
		if err := checkTurns(prompt, turns); err != nil {
			return nil, err
		}
	}
	req := &llm.Request{}
	if head != "" {
		if len(turns) > 0 && turns[0].role == llm.User {
			req.System = []string{head}
		} else {
			add(req, llm.User, head)
		}
	}
	for i, t := range turns {
		last := i == len(turns)-1
		if t.role == llm.Assistant && strings.TrimSpace(t.text) == "" {
			if last {
				break
			}
			continue
		}
		add(req, t.role, t.text)
	}
	if len(req.Messages) == 0 || req.Messages[0].Role != llm.User {
		return nil, apierr.Validation("Invalid prompt: prompt must start with %q turn", human)
	}
	return req, nil
}

// add appends a turn; turns of one role in a row become one.
func add(req *llm.Request, role llm.Role, text string) {
	if n := len(req.Messages); n > 0 && req.Messages[n-1].Role == role {
		last := &req.Messages[n-1].Content[0]
		last.Text += "\n\n" + text
		return
	}
	req.Messages = append(req.Messages, llm.Message{Role: role, Content: []llm.Block{{Kind: llm.Text, Text: text}}})
}

// splitTurns cuts a prompt at its markers. A marker at the very start needs no
// newlines before it. head is what stands before the first marker, trimmed.
func splitTurns(prompt string) (head string, turns []turn) {
	rest := prompt
	trimmed := strings.TrimLeft(prompt, " \t\r\n")
	if strings.HasPrefix(trimmed, human[2:]) || strings.HasPrefix(trimmed, assistant[2:]) {
		rest = "\n\n" + trimmed
	}
	role, at := nextMarker(rest)
	if at < 0 {
		return rest, nil
	}
	head = strings.TrimSpace(rest[:at])
	for at >= 0 {
		rest = rest[at+len(marker(role)):]
		var next llm.Role
		next, at = nextMarker(rest)
		text := rest
		if at >= 0 {
			text = rest[:at]
		}
		turns = append(turns, turn{role: role, text: strings.TrimPrefix(text, " ")})
		role = next
	}
	return head, turns
}

func marker(r llm.Role) string {
	if r == llm.User {
		return human
	}
	return assistant
}

// nextMarker finds the first marker in s; at is -1 when there is none.
func nextMarker(s string) (role llm.Role, at int) {
	h, a := strings.Index(s, human), strings.Index(s, assistant)
	switch {
	case h < 0 && a < 0:
		return "", -1
	case a < 0 || h >= 0 && h < a:
		return llm.User, h
	}
	return llm.Assistant, a
}

// checkTurns applies Bedrock's own rules.
func checkTurns(prompt string, turns []turn) error {
	var wrong []string
	if !strings.HasPrefix(prompt, human) {
		wrong = append(wrong, `prompt must start with "\n\nHuman:" turn`)
	}
	if len(turns) == 0 || turns[len(turns)-1].role != llm.Assistant {
		wrong = append(wrong, `prompt must end with "\n\nAssistant:" turn`)
	}
	if wrong == nil {
		return nil
	}
	return apierr.Validation("Invalid prompt: %s", strings.Join(wrong, ", "))
}

// Request is the conversation of the prompt.
func (c *completion) Request() *llm.Request { return c.req }

// Response is {"completion", "stop_reason", "stop"}.
func (c *completion) Response(r *llm.Response) ([]byte, error) {
	text := r.Text()
	b := make([]byte, 0, len(text)+len(text)/8+128)
	b = appendCompletion(b, text)
	b = appendCompletionStop(b, r.Reason, r.StopSequence)
	return append(b, '}'), nil
}

// Stream makes one chunk per piece of text and a last one with the stop reason.
func (c *completion) Stream() (family.Stream, error) {
	return &completionStream{buf: make([]byte, 0, 256)}, nil
}

func appendCompletion(b []byte, text string) []byte {
	b = append(b, `{"type":"completion","completion":`...)
	return body.AppendString(b, text)
}

// appendCompletionStop appends why the text ended. The model's own end counts
// as a hit of the built-in stop, as on Bedrock.
func appendCompletionStop(b []byte, reason llm.StopReason, stop string) []byte {
	b = append(b, `,"stop_reason":`...)
	switch reason {
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return append(b, `"max_tokens","stop":null`...)
	case llm.StopSequence:
		b = append(b, `"stop_sequence","stop":`...)
		return body.AppendStringOrNull(b, stop)
	default:
		b = append(b, `"stop_sequence","stop":`...)
		return body.AppendString(b, human)
	}
}

type completionStream struct {
	buf    []byte
	reason llm.StopReason
	stop   string
}

// Chunks makes a chunk for Delta and for Done; each has the key "completion".
func (s *completionStream) Chunks(ev llm.Event, emit func([]byte) error) error {
	switch ev.Kind {
	case llm.Delta:
		if ev.Text == "" || ev.Block > llm.Text {
			return nil // thoughts and tools are no part of this body
		}
		s.buf = appendCompletion(s.buf[:0], ev.Text)
		s.buf = append(s.buf, `,"stop_reason":null,"stop":null}`...)
		return emit(s.buf)
	case llm.Stop:
		s.reason, s.stop = ev.Reason, ev.StopSequence
	case llm.Done:
		s.buf = appendCompletion(s.buf[:0], "")
		s.buf = appendCompletionStop(s.buf, s.reason, s.stop)
		s.buf = append(s.buf, ',')
		s.buf = body.AppendMetrics(s.buf, ev.Usage, ev.Latency, ev.FirstToken)
		s.buf = append(s.buf, '}')
		return emit(s.buf)
	}
	return nil
}

// maxStops is the number of stop sequences that Claude takes.
const maxStops = 8191
