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

// tree reads a body into maps, slices and json.Number.
func tree(t testing.TB, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("body is not an object: %v", err)
	}
	return v
}

func encode(t testing.TB, v any, indent string) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
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

// escaped writes JSON with every character of every text and key as \uXXXX.
func escaped(v any) []byte {
	var b bytes.Buffer
	var walk func(v any)
	str := func(s string) {
		b.WriteByte('"')
		for _, r := range s {
			if r > 0xffff {
				b.WriteRune(r)
				continue
			}
			hex := "000" + strconv.FormatInt(int64(r), 16)
			b.WriteString(`\u` + hex[len(hex)-4:])
		}
		b.WriteByte('"')
	}
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			b.WriteByte('{')
			for i, k := range slices.Sorted(maps.Keys(v)) {
				if i > 0 {
					b.WriteByte(',')
				}
				str(k)
				b.WriteByte(':')
				walk(v[k])
			}
			b.WriteByte('}')
		case []any:
			b.WriteByte('[')
			for i, x := range v {
				if i > 0 {
					b.WriteByte(',')
				}
				walk(x)
			}
			b.WriteByte(']')
		case string:
			str(v)
		case nil:
			b.WriteString("null")
		case bool:
			b.WriteString(strconv.FormatBool(v))
		case json.Number:
			b.WriteString(v.String())
		}
	}
	walk(v)
	return b.Bytes()
}

// place is one value of a body and how to change it.
type place struct {
	path string // e.g. "messages/0/role"
	key  string // nearest key
	old  any
	set  func(any)
}

// places lists every value below the root. set works on the given tree.
func places(v any, path, key string, set func(any), out []place) []place {
	if path != "" {
		out = append(out, place{path: path, key: key, old: v, set: set})
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = places(v[k], path+"/"+k, k, func(x any) { v[k] = x }, out)
		}
	case []any:
		for i := range v {
			out = places(v[i], path+"/"+strconv.Itoa(i), key, func(x any) { v[i] = x }, out)
		}
	}
	return out
}

// unknownKeys adds a key to every object: it is refused by name, or it changes
// nothing.
func (s Subject) unknownKeys(t *testing.T, f *file) {
	const key = "noSuchKey"
	want := s.meaning(t, f, f.body)
	root := tree(t, f.body)
	objects := []map[string]any{root}
	for _, p := range places(root, "", "", nil, nil) {
		if o, ok := p.old.(map[string]any); ok {
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
	for _, p := range places(root, "", "", nil, nil) {
		refused := 0
		for _, other := range []any{nil, true, json.Number("123456789"), json.Number("-1.5"), "wrong", map[string]any{"wrong": 1}, []any{[]any{}}} {
			p.set(other)
			data := encode(t, root, "")
			p.set(p.old)
			got, err := s.parse(f.model, data)
			if err != nil {
				refused++
				checkError(t, err)
				if !strings.Contains(err.Error(), p.key) {
					t.Errorf("%s = %v: the refusal does not name %q: %v", p.path, other, p.key, err)
				}
				continue
			}
			checkRequest(t, got)
		}
		if refused == 0 && strings.Count(p.path, "/") == 1 {
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
func (s Subject) stream(t *testing.T, f *file) {
	p, err := s.parse(f.model, f.body)
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := p.chunks(f.reply)
	if err != nil {
		checkError(t, err) // the family cannot stream
		return
	}
	whole, err := p.response(f.reply)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Text(whole)
	if err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(f.reply.Parts, ""); want != said {
		t.Errorf("the reply has text %q, want %q", want, said)
	}
	var got strings.Builder
	deltas := 0
	for i, c := range chunks {
		checkJSON(t, c)
		text, err := s.Text(c)
		if err != nil {
			t.Fatalf("chunk %d: %v\n%s", i, err, c)
		}
		if text != "" {
			deltas++
		}
		got.WriteString(text)
		s.checkMetrics(t, f, c, i == len(chunks)-1)
	}
	if got.String() != want {
		t.Errorf("the chunks have text %q, the whole reply %q", got.String(), want)
	}
	parts := slices.DeleteFunc(slices.Clone(f.reply.Parts), func(p string) bool { return p == "" })
	if deltas != len(parts) {
		t.Errorf("%d chunks with text for %d pieces", deltas, len(parts))
	}
}

func (s Subject) checkMetrics(t *testing.T, f *file, chunk []byte, last bool) {
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
	case last && (m.Metrics.In != f.reply.Input || m.Metrics.Out != f.reply.Output || m.Metrics.Millis != 1234 || m.Metrics.First != 56):
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

// checkRequest checks what holds for every request that a family makes.
func checkRequest(t testing.TB, p parsed) {
	t.Helper()
	if p.embedding != nil {
		if r := p.embedding.Request(); len(r.Texts) == 0 || p.embedding.Dimensions() < 1 {
			t.Errorf("%d texts, %d dimensions", len(r.Texts), p.embedding.Dimensions())
		}
		return
	}
	r := p.text.Request()
	if len(r.Messages) == 0 || r.Messages[0].Role != llm.User {
		t.Fatalf("the conversation does not start with a user turn: %+v", r.Messages)
	}
	for i, m := range r.Messages {
		if i > 0 && r.Messages[i-1].Role == m.Role {
			t.Errorf("turns %d and %d have the same role", i-1, i)
		}
		if len(m.Content) == 0 {
			t.Errorf("turn %d is empty", i)
		}
		for _, b := range m.Content {
			if b.Kind != llm.Text {
				t.Errorf("turn %d has a block of kind %d", i, b.Kind)
			}
		}
	}
	if n := r.Params.MaxTokens; n != nil && *n < 1 {
		t.Errorf("output limit %d", *n)
	}
	if slices.Contains(r.Params.Stop, "") {
		t.Error("an empty stop sequence")
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
		native, err := p.response(r)
		if err != nil {
			checkError(t, err)
		} else if !json.Valid(native) {
			t.Fatalf("the reply is not JSON: %q", native)
		}
		if m.Embedding {
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
	})
}
