package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/engine/reply"
	"github.com/outcrop/outcrop/internal/llm"
)

// chunk is what one event of a stream says, of chats and of completions.
type chunk struct {
	text    string   // text that the model made
	thought string   // reasoning that it made
	finish  string   // why the reply ended, "" while it goes on
	logprob *float64 // of the tokens of text, when asked for
	calls   []callDelta
	usage   llm.Usage // of the whole request so far
	counted bool      // the usage is told
	seen    bool      // something beside the greeting: the prompt is taken in
	done    bool      // "[DONE]"
	failure *serverError

	alike alike // the events before
}

// alike is what the events of a reply have around their text: its id, the model's
// name, the time. Where the next one has the same bytes, nothing is there to be read.
type alike struct {
	before, after []byte   // empty: nothing is known
	keys          [][]byte // on the way to the text
	end           int      // of the text of this event; 0: nothing is known
}

var (
	chatKeys       = [][]byte{[]byte("choices"), []byte("delta"), []byte("content")}
	completionKeys = [][]byte{[]byte("choices"), []byte("text")}
)

// callDelta is a piece of a call. The first of each call has its name.
type callDelta struct {
	Index    int `json:"index"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// event is an event with all that the servers may say.
type event struct {
	Choices []struct {
		Text   *string `json:"text"` // of completions
		Finish *string `json:"finish_reason"`
		Delta  struct {
			Content   *string     `json:"content"`
			Thought   *string     `json:"reasoning_content"`
			Reasoning *string     `json:"reasoning"` // vLLM's later word for it
			Calls     []callDelta `json:"tool_calls"`
		} `json:"delta"`
		Logprobs *struct {
			Content []struct {
				Logprob float64 `json:"logprob"`
			} `json:"content"`
			Tokens []*float64 `json:"token_logprobs"` // of completions
		} `json:"logprobs"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Details    *struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`

	// llama.cpp
	Progress *struct {
		Total     int `json:"total"`
		Cached    int `json:"cache"`
		Processed int `json:"processed"`
	} `json:"prompt_progress"`
	Timings *struct {
		Cached    int `json:"cache_n"`
		Prompt    int `json:"prompt_n"` // read, less the cached ones
		Predicted int `json:"predicted_n"`
	} `json:"timings"`
}

// parse reads the data of one event. Nearly every event is one piece of text;
// those are read without encoding/json.
func (c *chunk) parse(data []byte) error {
	*c = chunk{alike: c.alike}
	if bytes.Equal(data, []byte("[DONE]")) {
		c.done = true
		return nil
	}
	if c.quick(data) {
		c.doubt()
		return nil
	}
	*c = chunk{alike: c.alike}
	var ev event
	if json.Unmarshal(data, &ev) != nil {
		return fmt.Errorf("event of the server's stream: %w", remote.ErrBadJSON)
	}
	if len(ev.Error) > 0 && !bytes.Equal(ev.Error, []byte("null")) {
		c.failure = serverErrorOf(0, data)
		return nil
	}
	c.take(&ev)
	c.doubt()
	return nil
}

// maxCount is more tokens than any request has.
const maxCount = 1 << 30

// doubt forgets numbers of tokens that no request can have: quotas and usage records
// are made of them.
func (c *chunk) doubt() {
	u := &c.usage
	if min(u.InputTokens, u.OutputTokens, u.ReusedTokens) < 0 || max(u.InputTokens, u.OutputTokens) > maxCount {
		c.usage, c.counted = llm.Usage{}, false
		return
	}
	u.ReusedTokens = min(u.ReusedTokens, u.InputTokens)
}

func (c *chunk) take(ev *event) {
	add := func(to *string, s *string) {
		if s != nil {
			*to += *s
		}
	}
	sum := func(p float64) {
		if c.logprob == nil {
			c.logprob = new(float64)
		}
		*c.logprob += p
	}
	for i := range ev.Choices {
		ch := &ev.Choices[i]
		c.seen = true
		add(&c.text, ch.Text)
		add(&c.text, ch.Delta.Content)
		add(&c.thought, ch.Delta.Thought)
		if ch.Delta.Thought == nil { // a server may say it under both names
			add(&c.thought, ch.Delta.Reasoning)
		}
		add(&c.finish, ch.Finish)
		c.calls = append(c.calls, ch.Delta.Calls...)
		if ch.Logprobs != nil {
			for _, p := range ch.Logprobs.Content {
				sum(p.Logprob)
			}
			for _, p := range ch.Logprobs.Tokens {
				if p != nil {
					sum(*p)
				}
			}
		}
	}
	switch {
	case ev.Usage != nil:
		c.usage = llm.Usage{InputTokens: ev.Usage.Prompt, OutputTokens: ev.Usage.Completion}
		c.counted = true
		if ev.Usage.Details != nil {
			c.usage.ReusedTokens = ev.Usage.Details.Cached
		}
	case ev.Progress != nil:
		c.usage = llm.Usage{InputTokens: ev.Progress.Total, ReusedTokens: ev.Progress.Cached}
		c.counted = true
		c.seen = ev.Progress.Processed > 0
	case ev.Timings != nil && ev.Timings.Predicted > 0:
		t := ev.Timings
		c.usage = llm.Usage{InputTokens: t.Cached + t.Prompt, OutputTokens: t.Predicted, ReusedTokens: t.Cached}
		c.counted = true
	}
}

// quick reads an event that holds text or thoughts, the reason of the end, the
// usage, and nothing else of use; false leaves it to encoding/json.
func (c *chunk) quick(data []byte) bool {
	s := scanner{b: data}
	if a := &c.alike; len(a.before) > 0 && bytes.HasPrefix(data, a.before) {
		s.i, s.keys = len(a.before), a.keys
		if text, ok := s.between(a.after); ok {
			c.text, c.seen = text, true
			return true
		}
	}
	c.alike.end = 0
	if !s.open('{') {
		return false
	}
	for first := true; s.key(first); first = false {
		ok := false
		switch string(s.name) {
		case "choices":
			ok = c.quickChoices(&s)
		case "usage":
			ok = s.null() || c.quickUsage(&s)
		case "timings":
			ok = s.null() || !c.counted && c.quickTimings(&s) // usage says more
		case "error", "prompt_progress":
			ok = s.null()
		default:
			ok = s.skip()
		}
		if !ok {
			return false
		}
	}
	if !s.next('}') || s.space() != len(data) {
		return false
	}
	if end := c.alike.end; end > 0 && c.thought == "" && c.finish == "" && !c.counted {
		c.alike.after = append(c.alike.after[:0], data[end:]...)
	}
	return true
}

// quickText reads the text of an event, and notes what stands before it when that says
// nothing.
func (c *chunk) quickText(s *scanner, keys [][]byte) (ok bool) {
	a := &c.alike
	if c.text == "" && c.thought == "" && c.finish == "" && !c.counted {
		if before := s.b[:s.i]; !bytes.Equal(before, a.before) {
			a.before, a.after, a.keys = append(a.before[:0], before...), a.after[:0], keys
		}
	}
	c.text, ok = s.text()
	a.end = s.i
	return ok
}

// quickUsage reads what the whole request has used so far.
func (c *chunk) quickUsage(s *scanner) bool {
	if !s.next('{') {
		return false
	}
	u := llm.Usage{}
	for first := true; s.key(first); first = false {
		ok := false
		switch string(s.name) {
		case "prompt_tokens":
			u.InputTokens, ok = s.count()
		case "completion_tokens":
			u.OutputTokens, ok = s.count()
		case "prompt_tokens_details":
			ok = s.null()
		default:
			ok = s.skip()
		}
		if !ok {
			return false
		}
	}
	c.usage = u
	c.counted = true
	return s.next('}')
}

// quickTimings reads what llama-server tells with every token.
func (c *chunk) quickTimings(s *scanner) bool {
	if !s.next('{') {
		return false
	}
	var cached, read, made int
	for first := true; s.key(first); first = false {
		ok := false
		switch string(s.name) {
		case "cache_n":
			cached, ok = s.count()
		case "prompt_n":
			read, ok = s.count()
		case "predicted_n":
			made, ok = s.count()
		default:
			ok = s.skip()
		}
		if !ok {
			return false
		}
	}
	if made > 0 {
		c.usage = llm.Usage{InputTokens: cached + read, OutputTokens: made, ReusedTokens: cached}
		c.counted = true
	}
	return s.next('}')
}

// quickChoices reads a list of one choice or none.
func (c *chunk) quickChoices(s *scanner) bool {
	if !s.open('[') {
		return false
	}
	if s.next(']') {
		return true
	}
	if !s.open('{') {
		return false
	}
	for first := true; s.key(first); first = false {
		ok := false
		switch string(s.name) {
		case "delta":
			ok = c.quickDelta(s)
		case "text":
			ok = c.quickText(s, completionKeys)
		case "finish_reason":
			c.finish, ok = s.text()
		case "logprobs":
			ok = s.null()
		default:
			ok = s.skip()
		}
		if !ok {
			return false
		}
	}
	c.seen = true
	return s.next('}') && s.next(']')
}

func (c *chunk) quickDelta(s *scanner) bool {
	if !s.open('{') {
		return false
	}
	for first := true; s.key(first); first = false {
		ok := false
		switch string(s.name) {
		case "content":
			ok = c.quickText(s, chatKeys)
		case "reasoning_content":
			c.thought, ok = s.text()
		case "reasoning", "tool_calls":
			ok = s.null()
		default:
			ok = s.skip()
		}
		if !ok {
			return false
		}
	}
	return s.next('}')
}

// scanner walks through JSON. It takes more than JSON allows, which does no harm.
type scanner struct {
	b    []byte
	i    int
	name []byte   // of the last key
	keys [][]byte // that lead to where the scanner stands, and were not asked for yet
}

// space skips white space and returns where the scanner stands.
func (s *scanner) space() int {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
	return s.i
}

// next takes one character.
func (s *scanner) next(c byte) bool {
	if s.space() < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// open takes the first character of an object or a list.
func (s *scanner) open(c byte) bool { return len(s.keys) > 0 || s.next(c) }

// key takes the next key of an object with its colon; false before the end.
func (s *scanner) key(first bool) bool {
	if len(s.keys) > 0 {
		s.name, s.keys = s.keys[0], s.keys[1:]
		return true
	}
	if !first && !s.next(',') || !s.next('"') {
		return false
	}
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		return false
	}
	s.name = s.b[s.i : s.i+n]
	s.i += n + 1
	return s.next(':')
}

func (s *scanner) null() bool {
	if s.space(); !bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		return false
	}
	s.i += len("null")
	return true
}

// count takes a number of tokens.
func (s *scanner) count() (n int, ok bool) {
	s.space()
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' && s.i-from < 10 {
		n = n*10 + int(s.b[s.i]-'0')
		s.i++
	}
	if s.i == len(s.b) || s.i == from {
		return 0, false
	}
	end := s.b[s.i] // of the number, which is whole
	return n, end == ',' || end == '}' || end == ' '
}

// text takes a string, or null for an empty one.
func (s *scanner) text() (string, bool) {
	if s.null() {
		return "", true
	}
	if !s.next('"') {
		return "", false
	}
	text, n, ok := reply.Unquote(s.b[s.i:])
	s.i += n + 1
	return text, ok
}

// between takes a text that is all there is before after, the last of the event; it
// takes nothing when it is not.
func (s *scanner) between(after []byte) (text string, ok bool) {
	rest := s.b[s.i:]
	if len(after) == 0 || !bytes.HasSuffix(rest, after) {
		return "", false
	}
	rest = rest[:len(rest)-len(after)]
	if len(rest) < 2 || rest[0] != '"' || bytes.IndexByte(rest[1:], '"') != len(rest)-2 || bytes.IndexByte(rest, '\\') >= 0 {
		return "", false
	}
	rest = rest[1 : len(rest)-1]
	return string(rest), utf8.Valid(rest)
}

// skip takes any value.
func (s *scanner) skip() bool {
	depth := 0
	for s.space() < len(s.b) {
		switch s.b[s.i] {
		case '"':
			if !s.skipString() {
				return false
			}
			if depth == 0 {
				return true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return false
			}
			if depth == 0 {
				s.i++
				return true
			}
		default:
			if depth > 0 {
				break
			}
			from := s.i
			for s.i < len(s.b) && bytes.IndexByte([]byte(",}] \t\r"), s.b[s.i]) < 0 {
				s.i++
			}
			return s.i > from
		}
		s.i++
	}
	return false
}

func (s *scanner) skipString() bool {
	for s.i++; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return true
		}
	}
	return false
}
