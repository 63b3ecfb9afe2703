package familytest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
)

// parsed is a body that was understood.
type parsed struct {
	task family.Task
}

func (s Subject) parse(m model, body []byte) (parsed, error) {
	task, err := s.New().Parse(m.family(), body)
	if err != nil {
		return parsed{}, err
	}
	switch task.(type) {
	case family.Text, family.Embedding, family.Ranking, family.Picture:
		return parsed{task}, nil
	}
	panic(fmt.Sprintf("a body became %T, which is no task", task))
}

// text is the task when it asks for text, else nil.
func (p parsed) text() family.Text {
	t, _ := p.task.(family.Text)
	return t
}

// request is what the body asks for, as JSON. The caller's own JSON in it (the
// schemas and inputs of tools) stands as such, with its keys sorted.
func (p parsed) request() ([]byte, error) {
	var v any
	switch t := p.task.(type) {
	case family.Embedding:
		v = struct {
			*llm.EmbedRequest
			Dimensions int
		}{t.Request(), t.Dimensions()}
	case family.Ranking:
		v = t.Request()
	case family.Picture:
		v = t.Request()
	case family.Several:
		v = t.Request()
		if n := t.Replies(); n > 1 {
			v = struct {
				*llm.Request
				Replies int
			}{t.Request(), n}
		}
	case family.Text:
		v = t.Request()
	}
	var b bytes.Buffer
	err := json.Indent(&b, ownJSON.ReplaceAllFunc(compact(v), readable), "", "  ")
	b.WriteByte('\n')
	return b.Bytes(), err
}

// ownJSON finds the fields of a request that hold JSON of the caller's own.
// Text with the same letters has its quotes escaped.
var ownJSON = regexp.MustCompile(`"(Schema|Input)":"[A-Za-z0-9+/=]*"`)

// readable turns such a field from base64 into JSON with sorted keys.
func readable(field []byte) []byte {
	name, value, _ := bytes.Cut(field, []byte(":"))
	data, err := base64.StdEncoding.DecodeString(string(bytes.Trim(value, `"`)))
	if err != nil {
		return field
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return field
	}
	return slices.Concat(name, []byte(":"), compact(v))
}

func compact(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // requests and trees of JSON can be encoded
	}
	return bytes.TrimSpace(b.Bytes())
}

// response is the native body of a whole reply.
func (p parsed) response(r reply) ([]byte, error) {
	switch t := p.task.(type) {
	case family.Embedding:
		return embed(t, r)
	case family.Ranking:
		scores := make([]float64, len(t.Request().Documents))
		for i := range scores {
			scores[i] = float64((i*37+11)%100) / 100
		}
		return t.Response(&llm.RankResponse{Scores: scores, Tokens: r.Input})
	case family.Picture:
		out := &llm.PictureResponse{}
		for i := range t.Request().Count {
			out.Images = append(out.Images, fmt.Appendf(nil, "picture %d", i+1))
			out.Seeds = append(out.Seeds, int64(1000+i))
		}
		return t.Response(out)
	case family.Several:
		if n := t.Replies(); n > 1 {
			all := make([]*llm.Response, n)
			for i := range all {
				all[i] = r.another(i).whole(t.Request().Logprobs)
			}
			return t.Responses(all)
		}
	}
	return p.text().Response(r.whole(p.text().Request().Logprobs))
}

func embed(t family.Embedding, r reply) ([]byte, error) {
	req := t.Request()
	n := max(len(req.Texts), len(req.Images))
	out := &llm.EmbedResponse{}
	for i := range n {
		out.Vectors = append(out.Vectors, vector(t.Dimensions(), i))
		if i < len(req.Texts) && req.Texts[i] != "" {
			out.Tokens = append(out.Tokens, r.Input+i)
		} else {
			out.Tokens = append(out.Tokens, 0)
		}
	}
	if req.Check != nil { // as an engine does
		if err := req.Check(out.Tokens); err != nil {
			return nil, err
		}
	}
	return t.Response(out)
}

// vector makes a vector with values of all sizes and both signs.
func vector(n, which int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i-n/2+which) / float32(n*(i+1))
	}
	return v
}

// chunks are the native chunks of a streamed reply.
func (p parsed) chunks(r reply) ([][]byte, error) {
	st, err := p.text().Stream()
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for ev := range r.events(p.text().Request().Logprobs) {
		if err := st.Chunks(ev, func(c []byte) error {
			out = append(out, bytes.Clone(c))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
