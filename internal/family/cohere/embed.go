package cohere

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/embedfit"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of an embedding.
const (
	maxTexts     = 96
	maxChars     = 2048 // of one text of v3
	v3Dimensions = 1024
	v3Tokens     = 512 // of one text, unless truncate allows more
	v4Dimensions = 1536
	v4Tokens     = 128_000
)

// The forms of a vector, in the order in which replies have them.
const (
	kindFloat   = "float"
	kindInt8    = "int8"
	kindUint8   = "uint8"
	kindBinary  = "binary"
	kindUbinary = "ubinary"
)

// embedding is one Embed request.
type embedding struct {
	req   *llm.EmbedRequest
	dims  int
	types []string // nil means plain floats
	texts []string // to repeat in the reply
	id    string
}

// parseEmbedV3 reads a body of Embed English or Multilingual v3.
func (f Family) parseEmbedV3(m family.Model, root *body.Value) (family.Task, error) {
	root.Require("input_type")
	root.Get("input_type").Enum("search_document", "search_query", "classification", "clustering", "image")
	e := &embedding{dims: cmp.Or(m.Dimensions, v3Dimensions), req: &llm.EmbedRequest{}}
	texts, images := root.Get("texts"), root.Get("images")
	e.readTexts(texts, maxChars)
	e.readImages(images, 1)
	switch {
	case texts != nil && images != nil:
		root.Violate("texts and images exclude each other")
	case texts == nil && images == nil:
		root.Violate("required key [texts] not found")
	}
	if cut := root.Get("truncate").Enum("NONE", "START", "END"); cut == "" || cut == "NONE" {
		e.req.Check = checkTokens(v3Tokens)
	}
	e.readTypes(root)
	return f.finish(e, root)
}

// parseEmbedV4 reads a body of Embed v4.
func (f Family) parseEmbedV4(m family.Model, root *body.Value) (family.Task, error) {
	root.Require("input_type")
	root.Get("input_type").Enum("search_document", "search_query", "classification", "clustering", "image")
	e := &embedding{dims: cmp.Or(m.Dimensions, v4Dimensions), req: &llm.EmbedRequest{}}
	if n := root.Get("output_dimension").OneOf(256, 512, 1024, 1536); n != nil {
		e.dims = *n
	}
	texts, images, inputs := root.Get("texts"), root.Get("images"), root.Get("inputs")
	e.readTexts(texts, 0)
	e.readImages(images, maxTexts)
	e.readInputs(inputs)
	given := 0
	for _, v := range []*body.Value{texts, images, inputs} {
		if v != nil {
			given++
		}
	}
	switch {
	case given == 0:
		root.Violate("required key [inputs] not found")
	case given > 1:
		root.Violate("texts, images and inputs exclude each other")
	}
	n := *chat.Or(root.Get("max_tokens").Int(body.Range{Min: 1, Max: v4Tokens}), v4Tokens)
	if root.Get("truncate").Enum("NONE", "LEFT", "RIGHT") == "NONE" {
		e.req.Check = checkTokens(n)
	}
	e.readTypes(root)
	return f.finish(e, root)
}

func (f Family) finish(e *embedding, root *body.Value) (family.Task, error) {
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	id, err := f.newID()
	if err != nil {
		return nil, err
	}
	e.id = id
	return e, nil
}

func (e *embedding) readTexts(v *body.Value, most int) {
	if v == nil {
		return
	}
	for _, item := range v.Items(body.Length{Min: 1, Max: maxTexts}) {
		e.texts = append(e.texts, item.Text(body.Length{Min: 1, Max: most}))
	}
	e.req.Texts = e.texts
}

func (e *embedding) readImages(v *body.Value, most int) {
	if v == nil {
		return
	}
	for _, item := range v.Items(body.Length{Min: 1, Max: most}) {
		if m := chat.DataURI(item); m != nil {
			e.req.Images = append(e.req.Images, *m)
		}
	}
}

// readInputs reads inputs of texts and images. Each is one vector: its texts
// joined, with one image at most. All of them have an image, or none has.
func (e *embedding) readInputs(v *body.Value) {
	if v == nil {
		return
	}
	items := v.Items(body.Length{Min: 1, Max: maxTexts})
	said := false
	for _, item := range items {
		if item.Object() == nil {
			continue
		}
		item.Require("content")
		var texts []string
		images := 0
		for _, part := range item.Get("content").Items(body.Length{Min: 1}) {
			text, image := readPart(part)
			if text != "" {
				texts = append(texts, text)
			}
			if image != nil {
				e.req.Images = append(e.req.Images, *image)
				images++
			}
		}
		if images > 1 {
			item.Violate("an input has at most one image")
		}
		text := strings.Join(texts, "\n")
		said = said || text != ""
		e.req.Texts = append(e.req.Texts, text)
		item.Close()
	}
	switch n := len(e.req.Images); {
	case n > 0 && n != len(items):
		v.Violate("either every input has one image, or none has")
	case n > 0 && !said:
		e.req.Texts = nil
	case n == 0:
		e.texts = e.req.Texts
	}
}

// readPart reads one piece of an input.
func readPart(v *body.Value) (text string, image *llm.Media) {
	if v.Object() == nil {
		return "", nil
	}
	v.Require("type")
	switch v.Get("type").Enum("text", "image_url") {
	case "text":
		v.Require("text")
		text = v.Get("text").Text(body.Length{Min: 1})
	case "image_url":
		v.Require("image_url")
		if u := v.Get("image_url").Object(); u != nil {
			u.Require("url")
			image = chat.DataURI(u.Get("url"))
			u.Close()
		}
	}
	v.Close()
	return text, image
}

func (e *embedding) readTypes(root *body.Value) {
	for _, item := range root.Get("embedding_types").Items(body.Length{Min: 1}) {
		if s := item.Enum(kindFloat, kindInt8, kindUint8, kindBinary, kindUbinary); s != "" && !slices.Contains(e.types, s) {
			e.types = append(e.types, s)
		}
	}
}

// checkTokens refuses a text of more tokens than n, when nothing may be cut.
func checkTokens(n int) func([]int) error {
	return func(tokens []int) error {
		for i, t := range tokens {
			if t > n {
				return apierr.Validation("too many tokens: text %d has %d tokens, at most %d are allowed unless truncate is set", i, t, n)
			}
		}
		return nil
	}
}

// Request is the texts or images to embed.
func (e *embedding) Request() *llm.EmbedRequest { return e.req }

// Dimensions is 1024 for v3; 1536, 1024, 512 or 256 for v4.
func (e *embedding) Dimensions() int { return e.dims }

// Response holds the vectors: plain, or by type when types were asked for.
func (e *embedding) Response(r *llm.EmbedResponse) ([]byte, error) {
	if want := max(len(e.req.Texts), len(e.req.Images)); len(r.Vectors) != want {
		return nil, fmt.Errorf("cohere embedding: %d vectors for %d inputs", len(r.Vectors), want)
	}
	for _, v := range r.Vectors {
		if len(v) != e.dims {
			return nil, fmt.Errorf("cohere embedding: vector has %d dimensions, want %d", len(v), e.dims)
		}
	}
	b := body.AppendString([]byte(`{"id":`), e.id)
	if e.types == nil {
		b = append(b, `,"response_type":"embeddings_floats","embeddings":`...)
		b = appendVectors(b, r.Vectors, kindFloat)
	} else {
		b = append(b, `,"response_type":"embeddings_by_type","embeddings":{`...)
		for i, kind := range e.types {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(body.AppendString(b, kind), ':')
			b = appendVectors(b, r.Vectors, kind)
		}
		b = append(b, '}')
	}
	b = append(b, `,"texts":[`...)
	for i, s := range e.texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = body.AppendString(b, s)
	}
	return append(b, `]}`...), nil
}

func appendVectors(b []byte, vectors [][]float32, kind string) []byte {
	b = append(b, '[')
	for i, v := range vectors {
		if i > 0 {
			b = append(b, ',')
		}
		switch kind {
		case kindFloat:
			b = body.AppendFloats(b, v)
		case kindInt8, kindUint8:
			b = appendBytes(b, v, kind == kindUint8)
		default:
			b = appendBits(b, v, kind == kindUbinary)
		}
	}
	return append(b, ']')
}

// appendBytes appends a vector in whole numbers: -127 to 127, or with unsigned 1
// to 255. The largest number of the vector becomes the largest of the range, so
// cosines keep.
func appendBytes(b []byte, v []float32, unsigned bool) []byte {
	most := 0.0
	for _, x := range v {
		if a := math.Abs(float64(x)); a > most && !math.IsInf(a, 0) {
			most = a
		}
	}
	b = append(b, '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		n := 0
		if f := float64(x); most > 0 && math.Abs(f) <= most {
			n = int(math.Round(127 * f / most))
		}
		if unsigned {
			n += 128
		}
		b = body.AppendInt(b, n)
	}
	return append(b, ']')
}

// appendBits appends the signs of a vector, eight to a number, the first in the
// highest bit: 0 to 255 with unsigned, else -128 to 127.
func appendBits(b []byte, v []float32, unsigned bool) []byte {
	b = append(b, '[')
	bits := embedfit.SignBits(v)
	for i := 0; i < len(bits); i += 8 {
		if i > 0 {
			b = append(b, ',')
		}
		n := 0
		for j := range 8 {
			n <<= 1
			if i+j < len(bits) {
				n |= int(bits[i+j])
			}
		}
		if !unsigned {
			n -= 128
		}
		b = body.AppendInt(b, n)
	}
	return append(b, ']')
}
