package familytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func itoa(n int) string { return strconv.Itoa(n) }

// maxMessage is the longest error text that a caller's body may cause.
const maxMessage = 4096

// checkError checks that a refusal is a ValidationException fit for a client.
func checkError(t testing.TB, err error) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		t.Fatalf("error is %T, want *apierr.Error: %v", err, err)
	}
	if e.Code != apierr.CodeValidation || e.HTTPStatus() != http.StatusBadRequest {
		t.Errorf("error is %s with status %d, want ValidationException with 400", e.Code, e.HTTPStatus())
	}
	if e.Message == "" || len(e.Message) > maxMessage || !utf8.ValidString(e.Message) || strings.ContainsAny(e.Message, "\r\n") {
		t.Errorf("message is not one short line of text: %q", e.Message)
	}
}

// rewritten decodes, encodes and decodes again: order of keys, white space and
// escapes must not matter.
func (s Subject) rewritten(t *testing.T, f *file) {
	want := s.meaning(t, f, f.body)
	root := tree(t, f.body)
	for name, data := range map[string][]byte{
		"keys sorted, HTML escaped": encode(t, root, ""),
		"indented":                  encode(t, root, "\t"),
		"all text escaped":          escaped(root),
	} {
		if d := cmp.Diff(want, s.meaning(t, f, data)); d != "" {
			t.Errorf("%s: the meaning changed:\n%s", name, d)
		}
	}
}

func (s Subject) meaning(t *testing.T, f *file, data []byte) string {
	t.Helper()
	p, err := s.parse(f.model, data)
	if err != nil {
		t.Fatalf("refused: %v\n%s", err, data)
	}
	req, err := p.request()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.response(f.reply)
	if err != nil {
		resp = []byte(err.Error())
	}
	return string(req) + string(resp)
}

// unknownKeys adds a key to every object: it is refused by name, or it changes
// nothing.
func (s Subject) unknownKeys(t *testing.T, f *file) {
	const key = "noSuchKey"
	want := s.meaning(t, f, f.body)
	root := tree(t, f.body)
	objects := []map[string]any{root}
	for _, p := range s.places(root) {
		if o, ok := p.old.(map[string]any); ok && !p.free {
			objects = append(objects, o)
		}
	}
	for _, o := range objects {
		o[key] = 1
		data := encode(t, root, "")
		delete(o, key)
		if _, err := s.parse(f.model, data); err != nil {
			checkError(t, err)
			if !strings.Contains(err.Error(), key) {
				t.Errorf("the refusal does not name the key: %v\n%s", err, data)
			}
		} else if d := cmp.Diff(want, s.meaning(t, f, data)); d != "" {
			t.Errorf("an unknown key changed the meaning:\n%s", d)
		}
	}
	root[body.GuardrailConfig] = map[string]any{"tagSuffix": "xyz"}
	if d := cmp.Diff(want, s.meaning(t, f, encode(t, root, ""))); d != "" {
		t.Errorf("%s changed the meaning:\n%s", body.GuardrailConfig, d)
	}
}

// wrongTypes gives every value every other JSON type: a refusal names the key.
func (s Subject) wrongTypes(t *testing.T, f *file) {
	root := tree(t, f.body)
	for _, p := range s.places(root) {
		refused := 0
		for _, other := range []any{nil, true, json.Number("123456789"), json.Number("-1.5"), "wrong", map[string]any{"wrong": 1}, []any{[]any{}}} {
			p.set(other)
			data := encode(t, root, "")
			p.set(p.old)
			got, err := s.parse(f.model, data)
			if err != nil {
				refused++
				checkError(t, err)
				if !strings.Contains(err.Error(), p.key) && !p.speaksOf(err.Error(), other) {
					t.Errorf("%s = %v: the refusal does not name %q: %v", p.path, other, p.key, err)
				}
				continue
			}
			checkRequest(t, got)
		}
		if refused == 0 && !p.free && strings.Count(p.path, "/") == 1 {
			t.Errorf("%s takes any type", p.path)
		}
	}
}

// missingKeys leaves each key of the root out: a refusal names it, or another
// shape of the body is meant.
func (s Subject) missingKeys(t *testing.T, f *file) {
	root := tree(t, f.body)
	for _, key := range slices.Sorted(maps.Keys(root)) {
		old := root[key]
		delete(root, key)
		_, err := s.parse(f.model, encode(t, root, ""))
		root[key] = old
		if err == nil {
			continue
		}
		checkError(t, err)
		if !strings.Contains(err.Error(), "required key [") && !strings.Contains(err.Error(), key) {
			t.Errorf("without %s: the refusal does not name it: %v", key, err)
		}
	}
}

// syntax breaks the body in ways that no family may accept.
func (s Subject) syntax(t *testing.T, f *file) {
	compact := bytes.TrimSpace(encode(t, tree(t, f.body), ""))
	member := compact[1 : len(compact)-1]
	first, _, _ := bytes.Cut(member, []byte(":"))
	for name, data := range map[string][]byte{
		"empty":             {},
		"cut off":           compact[:len(compact)-1],
		"trailing comma":    slices.Concat([]byte("{"), member, []byte(",}")),
		"two values":        slices.Concat(compact, compact),
		"duplicate key":     slices.Concat([]byte("{"), member, []byte(","), first, []byte(":1}")),
		"not UTF-8":         bytes.Replace(compact, []byte(`":"`), []byte("\":\"\xff"), 1),
		"byte order mark":   slices.Concat([]byte("\ufeff"), compact),
		"array":             slices.Concat([]byte("["), compact, []byte("]")),
		"null":              []byte("null"),
		"NaN":               slices.Concat([]byte(`{"x":NaN,`), member, []byte("}")),
		"leading zero":      slices.Concat([]byte(`{"x":01,`), member, []byte("}")),
		"comment":           slices.Concat([]byte("{/**/"), member, []byte("}")),
		"raw newline":       slices.Concat([]byte("{\"a\nb\":1,"), member, []byte("}")),
		"deep":              slices.Concat([]byte(`{"x":`), bytes.Repeat([]byte("["), 100_000)),
		"very many values":  slices.Concat([]byte(`{"x":[`), bytes.Repeat([]byte("0,"), body.MaxValues), []byte("0]}")),
		"very long number":  slices.Concat([]byte(`{"x":`), bytes.Repeat([]byte("9"), 100_000), []byte("}")),
		"very long key":     slices.Concat([]byte(`{"`), bytes.Repeat([]byte("k"), 100_000), []byte(`":1}`)),
		"many unknown keys": manyKeys(1000),
	} {
		_, err := s.parse(f.model, data)
		if err == nil {
			if name == "not UTF-8" && utf8.Valid(data) {
				continue // no text to break
			}
			t.Errorf("%s: accepted", name)
			continue
		}
		checkError(t, err)
	}
}

func manyKeys(n int) []byte {
	b := []byte("{")
	for i := range n {
		b = append(b, `"key`+strconv.Itoa(i)+`":1,`...)
	}
	return append(b[:len(b)-1], '}')
}

// stream checks that the chunks say the same as the whole reply.
func (s Subject) stream(t *testing.T, f *file, r reply) {
	p, err := s.parse(f.model, f.body)
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := p.chunks(r)
	if err != nil {
		checkError(t, err) // the family cannot stream
		return
	}
	whole, err := p.text().Response(r.whole(p.text().Request().Logprobs))
	if err != nil {
		t.Fatal(err)
	}
	checkJSON(t, whole)
	want := s.said(t, whole)
	s.checkSaid(t, want, r, p.text().Request())
	var got said
	deltas := 0
	for i, c := range chunks {
		checkJSON(t, c)
		part := s.said(t, c)
		if part.text != "" {
			deltas++
		}
		got.add(t, part)
		s.checkMetrics(t, r, c, i == len(chunks)-1)
	}
	if d := cmp.Diff(want.view(), got.view()); d != "" {
		t.Errorf("the chunks say something else (-whole +chunks):\n%s", d)
	}
	if n := r.pieces(); s.Said == nil && deltas != n {
		t.Errorf("%d chunks with text for %d pieces", deltas, n)
	}
}

// said is what a native reply or chunk says.
type said struct {
	text      string
	reasoning string
	calls     []llm.Call
}

func (s Subject) said(t *testing.T, native []byte) said {
	t.Helper()
	var out said
	var err error
	if out.text, err = s.Text(native); err != nil {
		t.Fatalf("%v\n%s", err, native)
	}
	if s.Calls != nil {
		if out.calls, err = s.Calls(native); err != nil {
			t.Fatalf("%v\n%s", err, native)
		}
	}
	if s.Reasoning != nil {
		if out.reasoning, err = s.Reasoning(native); err != nil {
			t.Fatalf("%v\n%s", err, native)
		}
	}
	return out
}

// add joins what a chunk says.
func (d *said) add(t *testing.T, part said) {
	t.Helper()
	d.text += part.text
	d.reasoning += part.reasoning
	for _, c := range part.calls {
		if n := len(d.calls); c.Name != "" {
			d.calls = append(d.calls, c)
		} else if n == 0 {
			t.Fatalf("a piece of a call before its beginning: %s", c.Input)
		} else {
			d.calls[n-1].Input = append(d.calls[n-1].Input, c.Input...)
		}
	}
}

// view is what was said in a form that can be compared: inputs as values. An
// input that is no JSON, because it was cut off, counts as {}.
func (d *said) view() map[string]any {
	var calls []any
	for _, c := range d.calls {
		var input any = map[string]any{}
		dec := json.NewDecoder(bytes.NewReader(c.Input))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err == nil && !dec.More() {
			input = v
		}
		calls = append(calls, map[string]any{"id": c.ID, "name": c.Name, "input": input})
	}
	return map[string]any{"text": d.text, "reasoning": d.reasoning, "calls": calls}
}

// checkSaid compares what a whole reply says with what the model said. A body
// that asked for no tools or no thoughts may leave them out of its reply.
func (s Subject) checkSaid(t *testing.T, got said, r reply, req *llm.Request) {
	t.Helper()
	whole := r.whole(req.Logprobs)
	want := said{text: whole.Text(), reasoning: got.reasoning, calls: got.calls}
	if s.Said != nil {
		want.text = s.Said(whole)
	}
	if s.Reasoning != nil && (got.reasoning != "" || req.Thinking != nil && !req.Thinking.Off) {
		want.reasoning = r.reasoning()
	}
	if s.Calls != nil && (got.calls != nil || req.Tools != nil) {
		want.calls = r.calls()
		if r.Told > 0 {
			want.calls = want.calls[:r.Told]
		}
		for i := range want.calls {
			if i < len(got.calls) && got.calls[i].ID == "" {
				want.calls[i].ID = ""
			}
		}
	}
	if d := cmp.Diff(want.view(), got.view()); d != "" {
		t.Errorf("the reply says something else than the model (-model +reply):\n%s", d)
	}
}

// several checks that one of several replies looks like one alone.
func (s Subject) several(t *testing.T, f *file) {
	p, err := s.parse(f.model, f.body)
	if err != nil {
		t.Fatal(err)
	}
	task, ok := p.task.(family.Several)
	if !ok {
		return
	}
	if n := task.Replies(); n < 1 {
		t.Fatalf("%d replies", n)
	}
	r := f.reply.whole(task.Request().Logprobs)
	one, err := task.Response(r)
	if err != nil {
		t.Fatal(err)
	}
	many, err := task.Responses([]*llm.Response{r})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, many) {
		t.Errorf("one of several is %s, alone it is %s", many, one)
	}
}

func (s Subject) checkMetrics(t *testing.T, r reply, chunk []byte, last bool) {
	t.Helper()
	var m struct {
		Metrics *struct {
			In     int `json:"inputTokenCount"`
			Out    int `json:"outputTokenCount"`
			Millis int `json:"invocationLatency"`
			First  int `json:"firstByteLatency"`
		} `json:"amazon-bedrock-invocationMetrics"`
	}
	if err := json.Unmarshal(chunk, &m); err != nil {
		t.Fatal(err)
	}
	switch {
	case !last && m.Metrics != nil:
		t.Errorf("metrics before the last chunk: %s", chunk)
	case last && m.Metrics == nil:
		t.Errorf("no metrics in the last chunk: %s", chunk)
	case last && (m.Metrics.In != r.Input-r.CacheRead-r.CacheWrite || m.Metrics.Out != r.Output || m.Metrics.Millis != 1234 || m.Metrics.First != 56):
		t.Errorf("wrong metrics: %s", chunk)
	}
}

// checkJSON checks that a native body is JSON in valid UTF-8 and not escaped
// for HTML.
func checkJSON(t testing.TB, native []byte) {
	t.Helper()
	if !json.Valid(native) || !utf8.Valid(native) {
		t.Fatalf("not JSON: %q", native)
	}
	if bytes.Contains(native, []byte(`\u003c`)) || bytes.Contains(native, []byte(`\u0026`)) {
		t.Errorf("escaped for HTML: %s", native)
	}
}

// Fuzz fuzzes the parser of a family, from the bodies of its golden files: it
// never panics, refuses with a ValidationException, and what it accepts has a
// way back.
func Fuzz(f *testing.F, s Subject) {
	files := load(f)
	for i, file := range files {
		f.Add(file.body, uint8(i)) // #nosec G115 -- any index does
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		m := files[int(which)%len(files)].model
		p, err := s.parse(m, data)
		if err != nil {
			checkError(t, err)
			return
		}
		checkRequest(t, p)
		r := defaultReply()
		r.Parts = append(r.Parts, "\xff\x00\x7f", string(data))
		rich := richReply()
		rich.Blocks[0].Parts = append(rich.Blocks[0].Parts, string(data))
		rich.Blocks[2].Parts = []string{string(data)} // whatever the model says
		for _, r := range []reply{r, rich} {
			native, err := p.response(r)
			if err != nil {
				checkError(t, err)
			} else if !json.Valid(native) {
				t.Fatalf("the reply is not JSON: %q", native)
			}
			if p.text() == nil {
				return
			}
			chunks, err := p.chunks(r)
			if err != nil {
				checkError(t, err)
			}
			for _, c := range chunks {
				if !json.Valid(c) {
					t.Fatalf("a chunk is not JSON: %q", c)
				}
			}
		}
	})
}
