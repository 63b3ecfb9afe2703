package llamacpp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/llm"
)

// maxLine bounds one line of the server's stream.
const maxLine = 1 << 20

// chunk is what one line of a stream says. It covers the answers of
// /v1/chat/completions and of /completion.
type chunk struct {
	text    string   // text that the model made
	thought string   // reasoning that it made
	logprob *float64 // of the token, when asked for
	done    bool     // "[DONE]"

	Choices []struct {
		FinishReason *string `json:"finish_reason"`
		Delta        struct {
			Content   *string     `json:"content"`
			Reasoning *string     `json:"reasoning_content"`
			Calls     []callDelta `json:"tool_calls"`
		} `json:"delta"`
		Logprobs *struct {
			Content []tokenProb `json:"content"`
		} `json:"logprobs"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Details    struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Progress *struct {
		Total     int `json:"total"`
		Cached    int `json:"cache"`
		Processed int `json:"processed"`
	} `json:"prompt_progress"`
	Error *serverError `json:"error"`

	Timings *struct {
		Cached    int `json:"cache_n"`
		Prompt    int `json:"prompt_n"` // read, less the cached ones
		Predicted int `json:"predicted_n"`
	} `json:"timings"`

	// /completion only
	Content  *string     `json:"content"`
	Stop     bool        `json:"stop"`
	StopType string      `json:"stop_type"` // "eos", "word", "limit", "none"
	Probs    []tokenProb `json:"completion_probabilities"`
}

// callDelta is a piece of a call. The first of each call has its name.
type callDelta struct {
	Index    int `json:"index"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type tokenProb struct {
	Logprob float64 `json:"logprob"`
}

// calls are the pieces of calls in the chunk.
func (c *chunk) calls() []callDelta {
	if len(c.Choices) == 0 {
		return nil
	}
	return c.Choices[0].Delta.Calls
}

// counted is the usage by the timings of a chunk.
func (c *chunk) counted() llm.Usage {
	if c.Timings == nil {
		return llm.Usage{}
	}
	return llm.Usage{
		InputTokens: c.Timings.Cached + c.Timings.Prompt, OutputTokens: c.Timings.Predicted, ReusedTokens: c.Timings.Cached,
	}
}

// serverError is the error object of the server. Its message may quote input,
// so it is never shown or logged.
type serverError struct {
	Code    int    `json:"code"`
	Type    string `json:"type"`
	Prompt  int    `json:"n_prompt_tokens"`
	Context int    `json:"n_ctx"`
}

func (e *serverError) Error() string {
	return fmt.Sprintf("llama.cpp answered %d (%s)", e.Code, e.Type)
}

// stream reads server-sent events.
type stream struct {
	r    *bufio.Reader
	line []byte // holds lines that are longer than r's buffer
	data []byte // of the last event; valid until the next
}

func newStream(r io.Reader) *stream { return &stream{r: bufio.NewReaderSize(r, 8<<10)} }

var errLongLine = errors.New("a line of the engine's stream is too long")

// next returns the next event. io.EOF means that the stream ended.
func (s *stream) next(c *chunk) error {
	for {
		line, err := s.readLine()
		if err != nil {
			return err
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok { // empty lines, comments ":", "error:" of old builds
			if data, ok = bytes.CutPrefix(line, []byte("error: ")); !ok {
				continue
			}
		}
		s.data = data
		return c.parse(data)
	}
}

// rest reads what follows the last event: the end of the body, at once.
func (s *stream) rest() { _, _ = io.CopyN(io.Discard, s.r, 4<<10) }

// detail reads the last event once more, with all its members.
func (s *stream) detail(c *chunk) error {
	if json.Unmarshal(s.data, c) != nil {
		return fmt.Errorf("event of the engine's stream: %w", errBadJSON)
	}
	return nil
}

// readLine returns one line without its end, valid until the next call.
func (s *stream) readLine() ([]byte, error) {
	s.line = s.line[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		if err == nil && len(s.line) == 0 {
			return bytes.TrimRight(part, "\r\n"), nil
		}
		s.line = append(s.line, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(s.line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if errors.Is(err, io.EOF) && len(s.line) > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		case len(s.line) > maxLine:
			return nil, errLongLine
		}
	}
}

var (
	chatDelta = []byte(`{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"`)
	chatClose = []byte(`"}}]`)
	doneMark  = []byte("[DONE]")
)

// parse reads the data of one event. The form in which nearly every token comes
// is read directly; anything else goes through encoding/json.
func (c *chunk) parse(data []byte) error {
	*c = chunk{}
	if rest, ok := bytes.CutPrefix(data, chatDelta); ok {
		if text, n, ok := unquote(rest); ok && bytes.HasPrefix(rest[n:], chatClose) {
			c.text = text
			return nil
		}
	}
	if bytes.Equal(data, doneMark) {
		c.done = true
		return nil
	}
	if err := json.Unmarshal(data, c); err != nil {
		return fmt.Errorf("event of the engine's stream: %w", errBadJSON)
	}
	for i := range c.Choices {
		d := &c.Choices[i].Delta
		if d.Content != nil {
			c.text += *d.Content
		}
		if d.Reasoning != nil {
			c.thought += *d.Reasoning
		}
		if p := c.Choices[i].Logprobs; p != nil {
			c.Probs = append(c.Probs, p.Content...)
		}
	}
	if c.Content != nil {
		c.text += *c.Content
	}
	for _, p := range c.Probs {
		if c.logprob == nil {
			c.logprob = new(float64)
		}
		*c.logprob += p.Logprob
	}
	return nil
}

// errBadJSON stands for the decoder's error, which may quote the text.
var errBadJSON = errors.New("not the expected JSON")

// unquote reads a JSON string up to its closing quote, at which n points. ok is
// false when there is none or the string is malformed.
func unquote(b []byte) (text string, n int, ok bool) {
	i := 0
	for i < len(b) && b[i] != '"' && b[i] != '\\' {
		i++
	}
	if i == len(b) {
		return "", 0, false
	}
	if b[i] == '"' {
		return string(b[:i]), i, utf8.Valid(b[:i])
	}
	out := append(make([]byte, 0, len(b[:i])+32), b[:i]...)
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			return string(out), i, utf8.Valid(out)
		case '\\':
			if i+1 == len(b) {
				return "", 0, false
			}
			var r rune
			switch b[i+1] {
			case '"', '\\', '/':
				r = rune(b[i+1])
			case 'b':
				r = '\b'
			case 'f':
				r = '\f'
			case 'n':
				r = '\n'
			case 'r':
				r = '\r'
			case 't':
				r = '\t'
			case 'u':
				if r, ok = hex4(b[i+2:]); !ok {
					return "", 0, false
				}
				i += 4
				if utf16.IsSurrogate(r) {
					if len(b) < i+4 || b[i+2] != '\\' || b[i+3] != 'u' {
						return "", 0, false
					}
					low, ok := hex4(b[i+4:])
					if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
						return "", 0, false
					}
					i += 6
				}
			default:
				return "", 0, false
			}
			out = utf8.AppendRune(out, r)
			i += 2
		default:
			out = append(out, c)
			i++
		}
	}
	return "", 0, false
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
