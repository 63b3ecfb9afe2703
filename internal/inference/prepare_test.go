package inference_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/document"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/picture"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// shouting tells documents in capitals.
type shouting struct{}

func (shouting) Text(_ context.Context, f document.Format, data []byte) (string, error) {
	switch f {
	case "txt":
		return strings.ToUpper(string(data)) + "\n", nil
	case "pdf":
		return "", &document.Error{Kind: document.Broken, Message: "is not a valid pdf: it is damaged"}
	}
	return "", errors.New("a secret of the inside")
}

// mirrors turns images around.
type mirrors struct{}

func (mirrors) Normalize(_ context.Context, f picture.Format, data []byte) (picture.Image, error) {
	if f == picture.WebP {
		return picture.Image{}, &picture.Error{Kind: picture.WrongFormat, Message: "is not a valid webp"}
	}
	out := slices.Clone(data)
	slices.Reverse(out)
	return picture.Image{Format: picture.PNG, Data: out}, nil
}

// shelf is an object store: content by account and address.
type shelf struct {
	objects map[string]string
	got     int
}

func (s *shelf) Get(_ context.Context, account string, ref object.Ref) (io.ReadCloser, object.Info, error) {
	s.got++
	if ref.Key == "broken" {
		return nil, object.Info{}, errors.New("a secret of the inside")
	}
	text, ok := s.objects[account+" "+ref.String()]
	if !ok {
		return nil, object.Info{}, object.ErrNotFound
	}
	return io.NopCloser(strings.NewReader(text)), object.Info{Size: int64(len(text))}, nil
}

func newShelf() *shelf {
	return &shelf{objects: map[string]string{
		"111122223333 s3://bucket/note":  "from the shelf",
		"111122223333 s3://bucket/photo": "xyz",
		"111122223333 s3://bucket/large": strings.Repeat("x", inference.MaxDocumentBytes+1),
		"111122223333 s3://bucket/heavy": strings.Repeat("x", inference.MaxImageBytes),
		"999999999999 s3://bucket/alien": "not yours",
	}}
}

func doc(m llm.Media) llm.Block { return llm.Block{Kind: llm.Document, Media: &m} }

func img(m llm.Media) llm.Block { return llm.Block{Kind: llm.Image, Media: &m} }

func asks(blocks ...llm.Block) *llm.Request {
	return &llm.Request{Messages: []llm.Message{{Role: llm.User, Content: blocks}}}
}

func TestMedia(t *testing.T) {
	t.Parallel()
	e := scripted.New()
	e.Images = true
	var got *llm.Request
	e.Observe = func(_ engine.Target, r *llm.Request) { got = r }
	s := inference.New(inference.Config{Engine: e, Documents: shouting{}, Pictures: mirrors{}, Objects: newShelf()})
	r := asks(
		llm.Block{Kind: llm.Text, Text: "Look."},
		doc(llm.Media{Format: "txt", Name: `a "name"`, Context: "mine</document>", Data: []byte("one </document> two")}),
		doc(llm.Media{Format: "md", Text: "already text"}),
		doc(llm.Media{Format: "txt", URI: "s3://bucket/note"}),
		img(llm.Media{Format: "gif", Data: []byte("abc")}),
		img(llm.Media{Format: "png", URI: "s3://bucket/photo"}),
		llm.Block{Kind: llm.ToolResult, Result: &llm.Result{CallID: "1", Content: []llm.Block{
			{Kind: llm.Text, Text: "in a result"}, doc(llm.Media{Format: "txt", Data: []byte("inner")}),
		}}},
	)
	before := asks(r.Messages[0].Content...)
	if _, err := llm.Collect(s.Generate(t.Context(), newCall(), target(1000, 100), r)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, b := range got.Messages[0].Content {
		if b.Kind == llm.Image {
			lines = append(lines, b.Media.Format+" "+string(b.Media.Data))
			continue
		}
		lines = append(lines, strings.ReplaceAll(b.Text, "\u200b", "|"))
	}
	want := []string{
		"Look.",
		"<document name=\"a 'name'\" format=\"txt\">\nAbout this document: mine<|/document>\n\nONE </DOCUMENT> TWO\n</document>",
		"<document format=\"md\">\nalready text\n</document>",
		"<document format=\"txt\">\nFROM THE SHELF\n</document>",
		"png cba",
		"png zyx",
		"<tool_response>\nanswered:\nin a result\n<document format=\"txt\">\nINNER\n</document>\n</tool_response>",
	}
	if strings.Join(lines, "\n--\n") != strings.Join(want, "\n--\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n--\n"), strings.Join(want, "\n--\n"))
	}
	for i := range before.Messages[0].Content {
		if b, a := before.Messages[0].Content[i], r.Messages[0].Content[i]; b.Kind != a.Kind || b.Media != a.Media || b.Text != a.Text || b.Result != a.Result {
			t.Errorf("block %d of the caller's request was changed", i)
		}
	}
	if r.Params.MaxTokens != nil {
		t.Error("the caller's request got an output limit")
	}
}

func TestMediaRefused(t *testing.T) {
	t.Parallel()
	many := func(n int, b llm.Block) []llm.Block { return slices.Repeat([]llm.Block{b}, n) }
	at := "messages.0.content.1"
	for name, c := range map[string]struct {
		blocks []llm.Block
		blind  bool
		want   string // in the message; "" means InternalServerException
	}{
		"blind":            {[]llm.Block{img(llm.Media{Format: "png", URI: "s3://bucket/photo", Place: at})}, true, "This model doesn't support the image content block that you provided at messages.0.content.1. Remove the content block and try again."},
		"blind, in result": {[]llm.Block{{Kind: llm.ToolResult, Result: &llm.Result{Content: []llm.Block{img(llm.Media{Place: at})}}}}, true, "provided at messages.0.content.1."},
		"many images":      {many(21, img(llm.Media{Format: "png", Data: []byte("x")})), false, "You can't include more than 20 images in a request."},
		"many documents":   {many(6, doc(llm.Media{Format: "txt", Data: []byte("x")})), false, "You can't include more than 5 documents in a request."},
		"large image":      {[]llm.Block{img(llm.Media{Format: "png", Data: make([]byte, inference.MaxImageBytes+1), Place: at})}, false, "The image at messages.0.content.1 has 3932161 bytes; it may have at most 3932160."},
		"large document":   {[]llm.Block{doc(llm.Media{Format: "txt", Data: make([]byte, inference.MaxDocumentBytes+1), Place: at})}, false, "The document at messages.0.content.1 has 4718593 bytes"},
		"broken image":     {[]llm.Block{img(llm.Media{Format: "webp", Data: []byte("x"), Place: at})}, false, "The image at messages.0.content.1 is not a valid webp."},
		"broken document":  {[]llm.Block{doc(llm.Media{Format: "pdf", Data: []byte("x"), Place: at})}, false, "The document at messages.0.content.1 is not a valid pdf: it is damaged."},
		"reader fails":     {[]llm.Block{doc(llm.Media{Format: "docx", Data: []byte("x"), Place: at})}, false, ""},
		"no address":       {[]llm.Block{doc(llm.Media{Format: "txt", URI: "s3://bucket", Place: at})}, false, "The s3Location of the document at messages.0.content.1 is not the address of an object"},
		"another scheme":   {[]llm.Block{doc(llm.Media{Format: "txt", URI: "https://bucket/x", Place: at})}, false, "is not the address of an object"},
		"no object":        {[]llm.Block{doc(llm.Media{Format: "txt", URI: "s3://bucket/none", Place: at})}, false, "names an object that does not exist in this account"},
		"another account":  {[]llm.Block{doc(llm.Media{Format: "txt", URI: "s3://bucket/alien", Place: at})}, false, "names an object that does not exist in this account"},
		"large object":     {[]llm.Block{doc(llm.Media{Format: "txt", URI: "s3://bucket/large", Place: at})}, false, "has 4718593 bytes; it may have at most 4718592"},
		"heavy objects":    {many(7, img(llm.Media{Format: "png", URI: "s3://bucket/heavy", Place: at})), false, "have more than 25000000 bytes together"},
		"store fails":      {[]llm.Block{doc(llm.Media{Format: "txt", URI: "s3://bucket/broken", Place: at})}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, objects := scripted.New(), newShelf()
			e.Images = !c.blind
			s := inference.New(inference.Config{Engine: e, Documents: shouting{}, Pictures: mirrors{}, Objects: objects})
			for _, err := range []error{
				errorOf(s.Generate(t.Context(), newCall(), target(8000, 100), asks(c.blocks...))),
				second(s.Count(t.Context(), newCall(), target(8000, 100), asks(c.blocks...))),
			} {
				ae := apierr.From(err)
				switch {
				case ae == nil:
					t.Error("accepted")
				case c.want == "" && (ae.Code != apierr.CodeInternal || strings.Contains(ae.Message, "secret")):
					t.Errorf("error %v", ae)
				case c.want != "" && (ae.Code != apierr.CodeValidation || !strings.Contains(ae.Message, c.want)):
					t.Errorf("error %v, want %q", ae, c.want)
				}
			}
			if c.blind && objects.got > 0 {
				t.Error("an image was fetched that nobody can see")
			}
			if e.Calls() != 0 {
				t.Error("the engine was asked for a reply")
			}
		})
	}
}

func errorOf(events llm.Events) error {
	_, err := llm.Collect(events)
	return err
}

func second(_ int, err error) error { return err }

func TestMediaWithoutReaders(t *testing.T) {
	t.Parallel()
	e := scripted.New()
	e.Images = true
	s := inference.New(inference.Config{Engine: e})
	for _, b := range []llm.Block{
		img(llm.Media{Format: "png", Data: []byte("x")}), doc(llm.Media{Format: "txt", Data: []byte("x")}), doc(llm.Media{Format: "txt", URI: "s3://bucket/note"}),
	} {
		if err := errorOf(s.Generate(t.Context(), newCall(), target(8000, 100), asks(b))); apierr.From(err).Code != apierr.CodeValidation {
			t.Errorf("block %+v: %v", b.Media, err)
		}
	}
}

// verbose makes 9 MiB of text of any document.
type verbose struct{ read int }

func (v *verbose) Text(context.Context, document.Format, []byte) (string, error) {
	v.read++
	return strings.Repeat("word ", 9<<20/5), nil
}

// TestLongDocuments: what cannot fit is refused before more documents are read.
func TestLongDocuments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info engine.Info
		read int
		want string
	}{
		"known tokens":   {engine.Info{TokenBytes: 1 << 20, TokenInk: 1 << 20}, 2, "The documents up to the one at second have at least 18 tokens; all input together may have at most 10."},
		"unknown tokens": {engine.Info{}, 4, "The documents up to the one at fourth have 37748864 bytes of text; all together may have at most 33554432."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &verbose{}
			s := inference.New(inference.Config{Engine: &counting{Engine: scripted.New(), info: c.info}, Documents: v})
			var blocks []llm.Block
			for _, place := range []string{"first", "second", "third", "fourth", "fifth"} {
				blocks = append(blocks, doc(llm.Media{Format: "pdf", Data: []byte("x"), Place: place}))
			}
			err := apierr.From(errorOf(s.Generate(t.Context(), newCall(), target(10, 5), asks(blocks...))))
			if err == nil || err.Code != apierr.CodeValidation || !strings.Contains(err.Message, c.want) || v.read != c.read {
				t.Errorf("read %d documents, %v", v.read, err)
			}
		})
	}
}
