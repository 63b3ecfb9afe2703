package titan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/embedfit"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of an embedding.
const (
	g1Dimensions = 1536
	v2Dimensions = 1024 // default; 512 and 256 are the others
	maxChars     = 50_000
	maxTokens    = 8192
)

// The kinds of vectors that V2 makes.
const (
	kindFloat  = "float"
	kindBinary = "binary"
)

// embedding is one embedding request.
type embedding struct {
	req    *llm.EmbedRequest
	dims   int
	float  bool
	binary bool
	v2     bool
}

// parseEmbedding reads a body of Titan Embeddings Text G1 or V2.
//
// G1 takes inputText alone. V2 also takes dimensions, embeddingTypes and
// normalize; the vectors of Outcrop's weights have length 1 as they are, so
// normalize false changes nothing.
//
// An embedding model that has no native body of its own, such as weights that
// people add, takes G1's body and answers vectors of m.Dimensions.
func (f Family) parseEmbedding(m family.Model, data []byte) (family.Embedding, error) {
	v2 := strings.Contains(m.ID, "titan-embed-text-v2")
	dims := g1Dimensions
	if !v2 && !strings.Contains(m.ID, "titan-embed-text-v1") && !strings.Contains(m.ID, "titan-embed-g1-text") {
		if m.Dimensions == 0 || strings.HasPrefix(m.ID, "amazon.titan-") {
			return nil, apierr.Validation("The model %s does not support embeddings of text.", m.ID)
		}
		dims = m.Dimensions
	}
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	e := &embedding{dims: dims, float: true, v2: v2}
	root.Require("inputText")
	input := root.Get("inputText").Text(body.Length{Min: 1, Max: maxChars})
	if v2 {
		e.readV2(root)
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	e.req = &llm.EmbedRequest{Texts: []string{input}, Check: checkTokens}
	return e, nil
}

func (e *embedding) readV2(root *body.Value) {
	e.dims = v2Dimensions
	dims := root.Get("dimensions")
	if n := dims.Int(body.AtLeast(0)); n != nil {
		if e.dims = *n; !slices.Contains([]int{256, 512, 1024}, *n) {
			dims.Violate(fmt.Sprintf("%d is not a valid enum value", *n))
		}
	}
	root.Get("normalize").Bool()
	types := root.Get("embeddingTypes")
	if types == nil {
		return
	}
	e.float = false
	for _, item := range types.Items(body.Length{Min: 1}) {
		switch item.Enum(kindFloat, kindBinary) {
		case kindFloat:
			e.float = true
		case kindBinary:
			e.binary = true
		}
	}
}

// Request is the text to embed.
func (e *embedding) Request() *llm.EmbedRequest { return e.req }

// Dimensions is 1536 for G1; 1024, 512 or 256 for V2; the model's own for ids
// that are not Titan's.
func (e *embedding) Dimensions() int { return e.dims }

// checkTokens refuses a text of more than 8,192 tokens. Only the weights'
// tokenizer can tell, so the engine asks when it has counted them.
func checkTokens(tokens []int) error {
	for _, n := range tokens {
		if n > maxTokens {
			return apierr.Validation("400 Bad Request: Too many input tokens. Max input tokens: %d, request input token count: %d", maxTokens, n)
		}
	}
	return nil
}

// Response holds the vector, by type as well for V2.
func (e *embedding) Response(r *llm.EmbedResponse) ([]byte, error) {
	if len(r.Vectors) != 1 || len(r.Tokens) != 1 {
		return nil, fmt.Errorf("titan embedding: %d vectors and %d counts for 1 text", len(r.Vectors), len(r.Tokens))
	}
	v, tokens := r.Vectors[0], r.Tokens[0]
	if len(v) != e.dims {
		return nil, fmt.Errorf("titan embedding: vector has %d dimensions, want %d", len(v), e.dims)
	}
	b := append(make([]byte, 0, 32*len(v)+128), '{')
	if e.float {
		b = append(b, `"embedding":`...)
		b = append(body.AppendFloats(b, v), ',')
	}
	if e.v2 {
		b = append(e.appendByType(b, v), ',')
	}
	b = append(b, `"inputTextTokenCount":`...)
	b = body.AppendInt(b, tokens)
	return append(b, '}'), nil
}

func (e *embedding) appendByType(b []byte, v []float32) []byte {
	b = append(b, `"embeddingsByType":{`...)
	if e.float {
		b = append(b, `"float":`...)
		b = body.AppendFloats(b, v)
	}
	if e.binary {
		if e.float {
			b = append(b, ',')
		}
		b = append(b, `"binary":[`...)
		for i, bit := range embedfit.SignBits(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '0'+bit)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}
