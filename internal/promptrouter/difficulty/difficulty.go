// Package difficulty estimates how hard a request is for a small model, from its text
// alone: no model is asked, the same request always has the same estimate, and it
// costs some microseconds.
//
// The estimate is a weighted sum of signs (how long the question is, marks of code,
// of mathematics and of reasoning, how much is asked for at once, tools, documents,
// other scripts than Latin, and words of simple tasks, which count against it), put
// into 0..1. testdata/fresh.txt, which the weights were not set with, says how often it
// is right.
package difficulty

import (
	"math"
	"strings"
	"unicode"

	"github.com/outcrop/outcrop/internal/llm"
)

// maxText is how many bytes of a text are read: its beginning and its end, half each.
const maxText = 16 << 10

// The weights of signs. A request without any sign has the difficulty 0.23.
const (
	bias        = -1.2
	perDoubling = 0.70 // of the words of the question, over 10
	perContext  = 0.15 // of the words of everything before it, over 400
	perReason   = 1.25 // of words that ask for reasoning
	perCode     = 1.05 // of marks of code
	perMath     = 1.15 // of marks of mathematics
	perDemand   = 0.45 // of further questions, numbered points and conditions
	perSimple   = -1.6 // of words of simple tasks
	perTurn     = 0.12 // of earlier turns
	perTool     = 0.12 // of tools
	perAttached = 0.60 // of documents and pictures
	otherScript = 0.80 // of a question that is mostly not in Latin letters
	formatted   = 0.30 // of a reply that has to follow a schema
	thinking    = 1.50 // of reasoning that was asked for
	mostSigns   = 3    // signs of one kind that count
)

// Estimate tells how hard a request is, from 0 (any model answers it) to 1 (only a
// strong one does). Above 0.5 a small model is expected to answer worse than a large
// one.
func Estimate(r *llm.Request) float64 {
	var question, context strings.Builder
	turns, attached := 0, 0
	last := lastQuestion(r)
	for i := range r.Messages {
		m := &r.Messages[i]
		if i < last && m.Role == llm.User {
			turns++
		}
		for j := range m.Content {
			switch b := &m.Content[j]; b.Kind {
			case llm.Image, llm.Document:
				attached++
			case llm.Text:
				if i == last {
					add(&question, b.Text)
				} else {
					add(&context, b.Text)
				}
			}
		}
	}
	if last < 0 {
		add(&question, r.Raw)
	}
	for _, s := range r.System {
		add(&context, s)
	}
	q := read(question.String())
	z := bias + q.sum()
	// What came before counts for its length alone: it is the question that is hard.
	z += perContext * doublings(words(context.String()), 400)
	z += perTurn * float64(min(turns, 8))
	z += perTool * float64(min(len(r.Tools), 8))
	z += perAttached * float64(min(attached, mostSigns))
	if r.Format != nil {
		z += formatted
	}
	if t := r.Thinking; t != nil && !t.Off {
		z += thinking
	}
	return 1 / (1 + math.Exp(-z))
}

// lastQuestion is the index of the last turn of the user that has text; -1 if none.
func lastQuestion(r *llm.Request) int {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role != llm.User {
			continue
		}
		for j := range r.Messages[i].Content {
			if b := &r.Messages[i].Content[j]; b.Kind == llm.Text && b.Text != "" {
				return i
			}
		}
	}
	return -1
}

// add appends a text, its middle left out when it is long.
func add(b *strings.Builder, s string) {
	if b.Len() > maxText {
		return
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	if len(s) > maxText {
		b.WriteString(s[:maxText/2])
		s = s[len(s)-maxText/2:]
	}
	b.WriteString(s)
}

// signs are what was found in a question.
type signs struct {
	words                                int
	reason, code, maths, demands, simple int
	foreign                              bool
}

func (s *signs) sum() float64 {
	most := func(n int) float64 { return float64(min(n, mostSigns)) }
	z := perDoubling*doublings(s.words, 10) + perReason*most(s.reason) + perCode*most(s.code) +
		perMath*most(s.maths) + perDemand*most(s.demands)
	if s.reason+s.maths == 0 { // "translate this proof" is no simple task
		z += perSimple * float64(min(s.simple, 2))
	}
	if s.foreign {
		z += otherScript
	}
	return z
}

// read looks for signs.
func read(text string) signs {
	s := signs{words: words(text)}
	low := " " + strings.Join(strings.FieldsFunc(strings.ToLower(text), func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '\'' && c != '-'
	}), " ") + " "
	s.reason = found(low, reasonWords()) + found(text, reasonMarks())
	s.maths = found(low, mathWords()) + found(text, mathMarks())
	s.code = found(low, codeWords()) + found(text, codeMarks())
	s.demands = found(low, demandWords()) + max(0, strings.Count(text, "?")-1) + points(text)
	s.simple = found(low, simpleWords())
	letters, latin := 0, 0
	for _, c := range text {
		if unicode.IsLetter(c) {
			letters++
			if unicode.Is(unicode.Latin, c) {
				latin++
			}
		}
	}
	s.foreign = letters > 8 && latin*2 < letters
	if s.foreign {
		s.words = max(s.words, letters/3) // scripts without spaces
	}
	return s
}

// found counts which of the parts stand in text.
func found(text string, parts []string) int {
	n := 0
	for _, p := range parts {
		if strings.Contains(text, p) {
			n++
		}
	}
	return n
}

// points counts lines that begin as the items of a list do.
func points(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		digits := strings.TrimLeft(line, "0123456789")
		switch {
		case strings.HasPrefix(line, "- "), strings.HasPrefix(line, "* "),
			len(digits) < len(line) && (strings.HasPrefix(digits, ". ") || strings.HasPrefix(digits, ") ")):
			n++
		}
	}
	return n
}

func words(text string) int { return len(strings.Fields(text)) }

// doublings is how often n is twice as large as base; 0 below it.
func doublings(n, base int) float64 {
	if n <= base {
		return 0
	}
	return math.Log2(float64(n) / float64(base))
}
