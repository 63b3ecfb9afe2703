// Package familytest is the conformance suite of the model families.
//
// A family's test calls Run, which works through testdata/*.txtar. Each file is
// one body: the comment says what it shows, "model.json" and "body.json" are
// the input, "reply.json" may change the reply that the model gives, and the
// rest is golden: "request.json" (what the body means), "response.json" (the
// native reply), "stream.jsonl" (the native chunks), or "error.txt" when the
// body is refused. `go test ./internal/family/... -update` writes the golden
// parts anew; a new file needs the input parts only.
package familytest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
)

// Subject is a family under test.
type Subject struct {
	// New makes the codec. What it draws at random must be the same each time.
	New func() family.Family
	// Text takes the text out of a whole native reply or one native chunk.
	Text func(native []byte) (string, error)
	// Update makes Run write the golden parts instead of checking them.
	Update bool
}

// model is the content of "model.json".
type model struct {
	ID           string `json:"id"`
	MaxOutput    int    `json:"max_output"`
	StrictParity bool   `json:"strict_parity"`
	Embedding    bool   `json:"embedding"` // the body asks for vectors
	Dimensions   int    `json:"dimensions"`
}

func (m model) family() family.Model {
	return family.Model{ID: m.ID, MaxOutput: m.MaxOutput, StrictParity: m.StrictParity, Dimensions: m.Dimensions}
}

// reply is the content of "reply.json": what the model answers.
type reply struct {
	Parts  []string       `json:"parts"` // the pieces of text as they are made
	Reason llm.StopReason `json:"reason"`
	Stop   string         `json:"stop"`
	Input  int            `json:"input"`  // tokens
	Output int            `json:"output"` // tokens
}

// defaultReply has what an encoder can get wrong: quotes, HTML, newlines,
// characters outside the basic plane, an empty piece.
func defaultReply() reply {
	return reply{
		Parts: []string{" Hello", ", \"wor", "", "ld\" <b>&</b>\n", "π 🪨", "\t\u2028."}, Reason: llm.EndTurn, Input: 11, Output: 7,
	}
}

func (r reply) events() llm.Events {
	return func(yield func(llm.Event, error) bool) {
		evs := []llm.Event{{Kind: llm.Start, Usage: llm.Usage{InputTokens: r.Input}}, {Kind: llm.BlockStart}}
		for _, p := range r.Parts {
			evs = append(evs, llm.Event{Kind: llm.Delta, Text: p})
		}
		evs = append(evs, llm.Event{Kind: llm.BlockStop},
			llm.Event{Kind: llm.Stop, Reason: r.Reason, StopSequence: r.Stop},
			llm.Event{
				Kind: llm.Done, Usage: llm.Usage{InputTokens: r.Input, OutputTokens: r.Output},
				Latency: 1234 * time.Millisecond, FirstToken: 56 * time.Millisecond,
			})
		for _, ev := range evs {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// file is one golden file.
type file struct {
	path  string
	ar    *txtar.Archive
	model model
	body  []byte
	reply reply
}

// Run runs the whole suite.
func Run(t *testing.T, s Subject) {
	t.Helper()
	files := load(t)
	if len(files) == 0 {
		t.Fatal("testdata has no *.txtar")
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f.path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s.golden(t, f)
			if _, err := s.parse(f.model, f.body); err != nil {
				return
			}
			t.Run("same meaning however it is written", func(t *testing.T) { s.rewritten(t, f) })
			t.Run("unknown keys", func(t *testing.T) { s.unknownKeys(t, f) })
			t.Run("wrong types", func(t *testing.T) { s.wrongTypes(t, f) })
			t.Run("missing keys", func(t *testing.T) { s.missingKeys(t, f) })
			t.Run("syntax", func(t *testing.T) { s.syntax(t, f) })
			if !f.model.Embedding {
				t.Run("stream", func(t *testing.T) { s.stream(t, f) })
			}
		})
	}
}

func load(t testing.TB) []*file {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*file
	for _, p := range paths {
		ar, err := txtar.ParseFile(p)
		if err != nil {
			t.Fatal(err)
		}
		f := &file{path: p, ar: ar, reply: defaultReply()}
		for _, part := range ar.Files {
			switch part.Name {
			case "model.json":
				strict(t, p, part.Data, &f.model)
			case "body.json":
				f.body = part.Data
			case "reply.json":
				strict(t, p, part.Data, &f.reply)
			}
		}
		if f.model.ID == "" || f.body == nil {
			t.Fatalf("%s: needs model.json and body.json", p)
		}
		out = append(out, f)
	}
	return out
}

func strict(t testing.TB, path string, data []byte, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// parsed is a body that was understood, text or vectors.
type parsed struct {
	text      family.Text
	embedding family.Embedding
}

func (s Subject) parse(m model, body []byte) (parsed, error) {
	var p parsed
	task, err := s.New().Parse(m.family(), body)
	switch task := task.(type) {
	case family.Text:
		p.text = task
	case family.Embedding:
		p.embedding = task
	}
	return p, err
}

// request is what the body asks for, as JSON.
func (p parsed) request() ([]byte, error) {
	var v any
	if p.embedding != nil {
		v = struct {
			*llm.EmbedRequest
			Dimensions int
		}{p.embedding.Request(), p.embedding.Dimensions()}
	} else {
		v = p.text.Request()
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

func (p parsed) response(r reply) ([]byte, error) {
	if p.embedding != nil {
		if check := p.embedding.Request().Check; check != nil { // as an engine does
			if err := check([]int{r.Input}); err != nil {
				return nil, err
			}
		}
		return p.embedding.Response(&llm.EmbedResponse{Vectors: [][]float32{vector(p.embedding.Dimensions())}, Tokens: []int{r.Input}})
	}
	whole, err := llm.Collect(r.events())
	if err != nil {
		return nil, err
	}
	return p.text.Response(whole)
}

// vector makes a vector with values of all sizes and both signs.
func vector(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i-n/2) / float32(n*(i+1))
	}
	return v
}

func (p parsed) chunks(r reply) ([][]byte, error) {
	st, err := p.text.Stream()
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for ev := range r.events() {
		if err := st.Chunks(ev, func(c []byte) error {
			out = append(out, bytes.Clone(c))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// golden checks or writes the golden parts of a file.
func (s Subject) golden(t *testing.T, f *file) {
	t.Helper()
	got := s.results(t, f)
	if s.Update {
		f.write(t, got)
		return
	}
	var want []txtar.File
	for _, part := range f.ar.Files {
		if isGolden(part.Name) {
			want = append(want, part)
		}
	}
	if d := cmp.Diff(lines(want), lines(got)); d != "" {
		t.Errorf("golden parts differ (-file +now); go test -update rewrites:\n%s", d)
	}
}

func isGolden(name string) bool {
	switch name {
	case "request.json", "response.json", "stream.jsonl", "error.txt":
		return true
	}
	return false
}

func lines(parts []txtar.File) []string {
	var out []string
	for _, p := range parts {
		out = append(out, "-- "+p.Name+" --")
		out = append(out, strings.Split(string(p.Data), "\n")...)
	}
	return out
}

func (f *file) write(t *testing.T, got []txtar.File) {
	t.Helper()
	ar := &txtar.Archive{Comment: f.ar.Comment}
	for _, part := range f.ar.Files {
		if !isGolden(part.Name) {
			ar.Files = append(ar.Files, part)
		}
	}
	ar.Files = append(ar.Files, got...)
	if err := os.WriteFile(f.path, txtar.Format(ar), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s Subject) results(t *testing.T, f *file) []txtar.File {
	t.Helper()
	p, err := s.parse(f.model, f.body)
	if err != nil {
		checkError(t, err)
		return []txtar.File{{Name: "error.txt", Data: []byte(err.Error() + "\n")}}
	}
	req, err := p.request()
	if err != nil {
		t.Fatal(err)
	}
	out := []txtar.File{{Name: "request.json", Data: req}}
	resp, err := p.response(f.reply)
	if err != nil {
		checkError(t, err)
		return append(out, txtar.File{Name: "error.txt", Data: []byte(err.Error() + "\n")})
	}
	out = append(out, txtar.File{Name: "response.json", Data: append(shorten(t, resp), '\n')})
	if f.model.Embedding {
		return out
	}
	chunks, err := p.chunks(f.reply)
	if err != nil {
		checkError(t, err)
		return append(out, txtar.File{Name: "error.txt", Data: []byte(err.Error() + "\n")})
	}
	return append(out, txtar.File{Name: "stream.jsonl", Data: append(bytes.Join(chunks, []byte("\n")), '\n')})
}

// shorten cuts long arrays of numbers in a native body, so that a vector does
// not fill a golden file.
func shorten(t *testing.T, native []byte) []byte {
	t.Helper()
	const keep = 3
	var out []byte
	for len(native) > 0 {
		i := bytes.IndexByte(native, '[')
		if i < 0 {
			break
		}
		out = append(out, native[:i+1]...)
		native = native[i+1:]
		end := bytes.IndexByte(native, ']')
		if end < 0 {
			t.Fatal("an array has no end")
		}
		items := bytes.Split(native[:end], []byte(","))
		if len(items) > 100 && !bytes.ContainsAny(native[:end], `"{[`) {
			out = append(out, bytes.Join(items[:keep], []byte(","))...)
			out = append(out, ",..."+itoa(len(items))...)
			native = native[end:]
		}
	}
	return append(out, native...)
}
