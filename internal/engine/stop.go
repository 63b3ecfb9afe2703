package engine

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
)

// Stopper ends a streamed reply at the first stop text that it completes. It
// holds text back only while that may be the beginning of a stop text, so no
// part of one is ever passed on, and nothing is lost when none completes.
//
// The stop text that is complete first counts, and of two that complete at the
// same character the longer one; how the reply is cut into deltas does not
// matter. Engines match themselves because llama.cpp's server, for one, drops
// what it holds back when a reply ends by its token limit.
type Stopper struct {
	user  []string
	texts []string // all stop texts
	held  string
	max   int // bytes of the longest text
}

// NewStopper returns a Stopper for the stop texts of a request, nil when it has
// none.
func NewStopper(r *llm.Request) *Stopper {
	s := &Stopper{user: r.Params.Stop}
	for _, list := range [][]string{r.Params.Stop, r.BuiltinStop} {
		for _, t := range list {
			if t != "" && !slices.Contains(s.texts, t) {
				s.texts = append(s.texts, t)
				s.max = max(s.max, len(t))
			}
		}
	}
	if len(s.texts) == 0 {
		return nil
	}
	return s
}

// Push takes the next delta and returns what may be passed on. A hit is the
// stop text that the delta completed: the reply ends there, and out is the last
// of it.
func (s *Stopper) Push(delta string) (out, hit string) {
	text := s.held + delta
	end := len(text) + 1
	for _, t := range s.texts {
		i := strings.Index(text, t)
		if i < 0 {
			continue
		}
		if e := i + len(t); e < end || e == end && len(t) > len(hit) {
			end, hit = e, t
		}
	}
	if hit != "" {
		s.held = ""
		return text[:end-len(hit)], hit
	}
	keep := s.begun(text)
	out, s.held = text[:len(text)-keep], text[len(text)-keep:]
	return out, ""
}

// Rest returns what is held back when the reply ends without a hit.
func (s *Stopper) Rest() string {
	out := s.held
	s.held = ""
	return out
}

// Reason is why a reply ended by hit: a stop text of the caller, also when the
// family has the same, is a stop sequence; one of the family ends the turn.
func (s *Stopper) Reason(hit string) llm.StopReason {
	if slices.Contains(s.user, hit) {
		return llm.StopSequence
	}
	return llm.EndTurn
}

// begun returns how many bytes at the end of text begin a stop text.
func (s *Stopper) begun(text string) int {
	for n := min(len(text), s.max-1); n > 0; n-- {
		tail := text[len(text)-n:]
		for _, t := range s.texts {
			if len(t) > n && t[:n] == tail {
				return n
			}
		}
	}
	return 0
}
