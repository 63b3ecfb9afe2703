package ai21

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Defaults and limits of a Jurassic-2 body.
const (
	jurassicTokens      = 200
	jurassicLimit       = 8191
	jurassicTemperature = 0.5
	jurassicTopP        = 0.5
	maxResults          = 16
	maxPresence         = 5
	maxCount            = 1
	maxFrequency        = 500
	// most is the largest penalty that engines know.
	most = 2
)

// jurassic is one Jurassic-2 request.
type jurassic struct {
	req     *llm.Request
	prompt  string
	results int
	id      uint32
}

func (f Family) parseJurassic(m family.Model, root *body.Value) (family.Task, error) {
	n := limit(m, jurassicLimit)
	root.Require("prompt")
	j := &jurassic{prompt: root.Get("prompt").Text(body.Length{Min: 1})}
	p := llm.Params{
		MaxTokens:   chat.Or(root.Get("maxTokens").Int(body.Range{Min: 1, Max: float64(n)}), min(jurassicTokens, n)),
		Temperature: chat.Or(root.Get("temperature").Num(body.Range{Max: 1}), jurassicTemperature),
		TopP:        chat.Or(root.Get("topP").Num(body.Range{Max: 1}), jurassicTopP),
		Stop:        root.Get("stopSequences").Texts(body.Length{Max: maxStops}),
	}
	j.results = *chat.Or(root.Get("numResults").Int(body.Range{Min: 1, Max: maxResults}), 1)
	presence := penalty(root.Get("presencePenalty"), maxPresence)
	count := penalty(root.Get("countPenalty"), maxCount)
	frequency := penalty(root.Get("frequencyPenalty"), maxFrequency)
	if presence != nil {
		p.PresencePenalty = new(min(most, *presence))
	}
	if count != nil || frequency != nil {
		p.FrequencyPenalty = new(min(most, value(count)+value(frequency)*most/maxFrequency))
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	var id [4]byte
	if err := f.random(id[:]); err != nil {
		return nil, err
	}
	j.id = binary.BigEndian.Uint32(id[:]) >> 1
	j.req = &llm.Request{Params: p, Logprobs: true}
	chat.Add(j.req, llm.User, chat.Text(j.prompt))
	return j, nil
}

// penalty reads {"scale": number, "applyToNumbers": bool, ...}. Which kinds of
// tokens it applies to is not what engines can tell apart: it applies to all.
func penalty(v *body.Value, limit float64) *float64 {
	if v.Kind() == body.Null {
		return nil
	}
	o := v.Object()
	o.Require("scale")
	scale := o.Get("scale").Num(body.Range{Max: limit})
	for _, kind := range []string{"Whitespaces", "Punctuations", "Numbers", "Stopwords", "Emojis"} {
		o.Get("applyTo" + kind).Bool()
	}
	o.Close()
	return scale
}

func value(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// Request is the prompt as one user turn.
func (j *jurassic) Request() *llm.Request { return j.req }

// Replies is numResults.
func (j *jurassic) Replies() int { return j.results }

// Response is {"id", "prompt", "completions": [{...}]}.
func (j *jurassic) Response(r *llm.Response) ([]byte, error) {
	return j.Responses([]*llm.Response{r})
}

// Responses has one completion for each reply. The tokens of a completion are
// those of the weights that made it; those of the prompt are not told.
func (j *jurassic) Responses(rs []*llm.Response) ([]byte, error) {
	b := append(make([]byte, 0, 1024), `{"id":`...)
	b = body.AppendInt(b, int(j.id))
	b = append(b, `,"prompt":{"text":`...)
	b = body.AppendString(b, j.prompt)
	b = append(b, `,"tokens":[]},"completions":[`...)
	for i, r := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		text := r.Text()
		b = append(b, `{"data":{"text":`...)
		b = body.AppendString(b, text)
		b = append(b, `,"tokens":[`...)
		b = appendTokens(b, r.Pieces, utf8.RuneCountInString(text))
		b = append(b, `]},"finishReason":{"reason":`...)
		b = append(appendReason(b, r), `}}`...)
	}
	return append(b, `]}`...), nil
}

// appendTokens appends tokens with the range of the text that each is: from the
// first of its characters to the one behind its last.
func appendTokens(b []byte, pieces []llm.Piece, length int) []byte {
	at := 0
	for i, p := range pieces {
		if i > 0 {
			b = append(b, ',')
		}
		end := min(length, at+utf8.RuneCountInString(p.Text))
		b = append(b, `{"generatedToken":{"token":`...)
		b = body.AppendString(b, strings.ReplaceAll(p.Text, " ", "▁"))
		b = append(b, `,"logprob":`...)
		b = chat.AppendNumber(b, p.Logprob)
		b = append(b, `,"raw_logprob":`...)
		b = chat.AppendNumber(b, p.Logprob)
		b = append(b, `},"topTokens":null,"textRange":{"start":`...)
		b = body.AppendInt(b, at)
		b = append(b, `,"end":`...)
		b = append(body.AppendInt(b, end), `}}`...)
		at = end
	}
	return b
}

// appendReason appends why a completion ended.
func appendReason(b []byte, r *llm.Response) []byte {
	switch r.Reason {
	case llm.MaxTokens, llm.ContextWindowExceeded:
		return body.AppendInt(append(b, `"length","length":`...), r.Usage.OutputTokens)
	case llm.StopSequence:
		return body.AppendString(append(b, `"stop","sequence":`...), r.StopSequence)
	}
	return append(b, `"endoftext"`...)
}

// Stream fails: Jurassic-2 has no streams.
func (j *jurassic) Stream() (family.Stream, error) {
	return nil, apierr.Validation("The model is unsupported for streaming.")
}
