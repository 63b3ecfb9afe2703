// Package familytest is the conformance suite of the model families.
//
// A family's test calls Run, which works through testdata/*.txtar. Each file is
// one body: the comment says what it shows, "model.json" and "body.json" are
// the input, "reply.json" may change the reply that the model gives, and the
// rest is golden: "request.json" (what the body means), "response.json" (the
// native reply), "stream.jsonl" (the native chunks), or "error.txt" when the
// body is refused. Which of them a file has follows from the task that its body
// asks for. `go test ./internal/family/... -update` writes the golden
// parts anew; a new file needs the input parts only.
package familytest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
)

// Subject is a family under test.
type Subject struct {
	// New makes the codec. What it draws at random must be the same each time.
	New func() family.Family
	// Text takes the text out of a whole native reply or one native chunk. nil
	// when no body of the family asks for text.
	Text func(native []byte) (string, error)
	// Said is the text that the native forms of a reply hold; nil means
	// Response.Text.
	Said func(r *llm.Response) string
	// Calls takes the tool calls out of a whole native reply, or the pieces of
	// calls out of one native chunk: a piece with a name begins a call, one
	// without goes on with the last. A call without ID says that the family tells
	// none. nil when the family has no tools.
	Calls func(native []byte) ([]llm.Call, error)
	// Reasoning is like Text, of the thoughts. nil when the family tells none.
	Reasoning func(native []byte) (string, error)
	// Free names the keys whose values are JSON of the caller's own, such as
	// "input_schema": they may have any type, and any keys.
	Free []string
	// Update makes Run write the golden parts instead of checking them.
	Update bool
}

// model is the content of "model.json".
type model struct {
	ID           string `json:"id"`
	MaxOutput    int    `json:"max_output"`
	StrictParity bool   `json:"strict_parity"`
	Dimensions   int    `json:"dimensions"`
	Prompt       string `json:"prompt"`
}

func (m model) family() family.Model {
	return family.Model{ID: m.ID, MaxOutput: m.MaxOutput, StrictParity: m.StrictParity, Dimensions: m.Dimensions, Prompt: m.Prompt}
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
	broken := map[string]bool{} // models whose bodies were broken in every way
	for _, f := range files {
		first := !broken[f.model.ID]
		if _, err := s.parse(f.model, f.body); err == nil {
			broken[f.model.ID] = true
		}
		t.Run(strings.TrimSuffix(filepath.Base(f.path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s.golden(t, f)
			p, err := s.parse(f.model, f.body)
			if err != nil {
				return
			}
			t.Run("same meaning however it is written", func(t *testing.T) { s.rewritten(t, f) })
			t.Run("unknown keys", func(t *testing.T) { s.unknownKeys(t, f) })
			t.Run("wrong types", func(t *testing.T) { s.wrongTypes(t, f) })
			t.Run("missing keys", func(t *testing.T) { s.missingKeys(t, f) })
			if first { // it costs, and all bodies of a model are parsed alike
				t.Run("syntax", func(t *testing.T) { s.syntax(t, f) })
			}
			if p.text() != nil {
				t.Run("stream", func(t *testing.T) { s.stream(t, f, f.reply) })
				rich := richReply()
				rich.Told = f.reply.Told
				t.Run("stream of every kind of block", func(t *testing.T) { s.stream(t, f, rich) })
				t.Run("several", func(t *testing.T) { s.several(t, f) })
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
	if p.text() == nil {
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
