package llamacpp

import (
	"errors"
	"io"
	"time"

	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

var errCutOff = errors.New("the engine's stream ended before its end mark")

// read passes the reply on until its end. A nil error with g.out.Left() set means
// that the reader went away.
func (g *generation) read(s *stream, inst *instance, lease limit.Lease) error {
	var c chunk
	for opened := false; ; {
		waited := time.Now()
		inst.ask()
		err := s.next(&c)
		inst.answered()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errCutOff
			}
			return err
		}
		inst.gaps.add(time.Since(waited))
		if c.Error != nil {
			return c.Error
		}
		g.note(&c)
		if !g.kept && (c.Progress == nil || c.Progress.Processed > 0) {
			g.kept = true
			g.model.slots.Keep(lease)
		}
		if !opened {
			opened = true
			if !g.out.Start(g.usage) {
				return nil
			}
		}
		if c.thought != "" && !g.out.Think(c.thought) {
			return nil
		}
		if c.text != "" {
			hit := g.out.Say(c.text, c.logprob)
			if g.out.Left() {
				return nil
			}
			if hit != "" { // the server would go on: breaking off frees its slot
				if err := s.detail(&c); err != nil {
					return err
				}
				g.usage = c.counted()
				g.out.End(g.stops.Reason(hit), hit, g.usage)
				return nil
			}
		}
		for _, d := range c.calls() {
			if !g.out.Call(d.Index, d.Function.Name, d.Function.Arguments) {
				return nil
			}
		}
		if c.done || c.Stop {
			s.in.Rest() // so that the connection can be used again
			g.out.End(g.reason(), "", g.usage)
			return nil
		}
	}
}

// note takes in what a chunk says beside its content.
func (g *generation) note(c *chunk) {
	switch {
	case c.Usage != nil:
		g.usage = llm.Usage{InputTokens: c.Usage.Prompt, OutputTokens: c.Usage.Completion, ReusedTokens: c.Usage.Details.Cached}
	case c.Stop:
		g.usage, g.finish = c.counted(), c.StopType
	case c.Progress != nil:
		g.usage.InputTokens, g.usage.ReusedTokens = c.Progress.Total, c.Progress.Cached
	case c.text != "" || c.thought != "" || len(c.calls()) > 0:
		g.usage.OutputTokens++ // exact at the end only: a chunk is nearly always one token
	}
	if len(c.Choices) > 0 && c.Choices[0].FinishReason != nil {
		g.finish = *c.Choices[0].FinishReason
	}
}

// reason says why the server ended the reply.
func (g *generation) reason() llm.StopReason {
	switch {
	case g.finish != "length" && g.finish != "limit":
		if g.out.Called() {
			return llm.ToolUse
		}
		return llm.EndTurn // the end token, or a stop text of the template
	case g.req.Params.MaxTokens != nil && g.usage.OutputTokens < *g.req.Params.MaxTokens:
		return llm.ContextWindowExceeded
	}
	return llm.MaxTokens
}
