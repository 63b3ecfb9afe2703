package titan

import (
	"fmt"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Limits of a multimodal embedding.
const (
	multimodalDimensions = 1024 // default; 384 and 256 are the others
	multimodalTokens     = 256
	maxImageBytes        = 25 << 20
)

// multimodal is one request for the vector of a text, a picture, or both: then
// it is their mean.
type multimodal struct {
	req  *llm.EmbedRequest
	dims int
}

// parseMultimodal reads a body of Titan Multimodal Embeddings G1. At least one
// of inputText and inputImage must stand; null counts as absent.
func parseMultimodal(data []byte) (family.Embedding, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	e := &multimodal{dims: multimodalDimensions, req: &llm.EmbedRequest{Check: checkMultimodal}}
	text, image := root.Get("inputText"), root.Get("inputImage")
	if text.Kind() == body.Null {
		text = nil
	}
	if image.Kind() == body.Null {
		image = nil
	}
	if text == nil && image == nil {
		root.Violate("required key [inputText] or [inputImage] not found")
	}
	if s := text.Text(body.Length{Min: 1, Max: maxChars}); text != nil {
		e.req.Texts = []string{s}
	}
	if b := image.Base64(); b != nil {
		if len(b) > maxImageBytes {
			image.Violate("the image has more than 25 MB")
		}
		e.req.Images = []llm.Media{{Format: body.PictureFormat(b), Data: b, Place: image.Dotted()}}
	}
	if c := root.Get("embeddingConfig").Object(); c != nil {
		if n := c.Get("outputEmbeddingLength").OneOf(256, 384, 1024); n != nil {
			e.dims = *n
		}
		c.Close()
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	return e, nil
}

func checkMultimodal(tokens []int) error {
	for _, n := range tokens {
		if n > multimodalTokens {
			return apierr.Validation("400 Bad Request: Too many input tokens. Max input tokens: %d, request input token count: %d", multimodalTokens, n)
		}
	}
	return nil
}

// Request is the text and the picture to embed.
func (e *multimodal) Request() *llm.EmbedRequest { return e.req }

// Dimensions is 1024, 384 or 256.
func (e *multimodal) Dimensions() int { return e.dims }

// Response is {"embedding", "inputTextTokenCount", "message": null}.
func (e *multimodal) Response(r *llm.EmbedResponse) ([]byte, error) {
	if len(r.Vectors) != 1 || len(r.Tokens) > 1 || len(r.Vectors[0]) != e.dims {
		return nil, fmt.Errorf("titan multimodal embedding: %d vectors and %d counts for 1 of %d dimensions", len(r.Vectors), len(r.Tokens), e.dims)
	}
	b := append(make([]byte, 0, 16*e.dims+128), `{"embedding":`...)
	b = body.AppendFloats(b, r.Vectors[0])
	b = append(b, `,"inputTextTokenCount":`...)
	tokens := 0 // of a picture alone
	if len(r.Tokens) == 1 {
		tokens = r.Tokens[0]
	}
	b = body.AppendInt(b, tokens)
	return append(b, `,"message":null}`...), nil
}
