package llamacpp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/outcrop/outcrop/internal/engine/reply"
	"github.com/outcrop/outcrop/internal/llm"
)

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

// stream reads the server's events.
type stream struct {
	in   *reply.Stream
	data []byte // of the last event; valid until the next
}

func newStream(r io.Reader) *stream { return &stream{in: reply.NewStream(r)} }

// next returns the next event. io.EOF means that the stream ended.
func (s *stream) next(c *chunk) error {
	data, err := s.in.Next()
	if err != nil {
		return err
	}
	s.data = data
	return c.parse(data)
}

// detail reads the last event once more, with all its members.
func (s *stream) detail(c *chunk) error {
	if json.Unmarshal(s.data, c) != nil {
		return fmt.Errorf("event of the engine's stream: %w", errBadJSON)
	}
	return nil
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
		if text, n, ok := reply.Unquote(rest); ok && bytes.HasPrefix(rest[n:], chatClose) {
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
