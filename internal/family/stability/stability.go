// Package stability speaks the native bodies of Stability AI: SDXL 1.0 and its
// forerunner, with "text_prompts", and SD3, SD3.5 and Stable Image, with
// "prompt".
//
// Source: Bedrock user guide, "Stability.ai Diffusion 1.0" and "Stable Image
// Core, Ultra and Stable Diffusion 3".
package stability

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Family is the codec of Stability AI. The zero value works.
type Family struct{}

// Name is "stability".
func (Family) Name() string { return "stability" }

// Parse reads a body of SDXL or of the newer models, as the model is.
func (Family) Parse(m family.Model, data []byte) (family.Task, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	p := &picture{req: &llm.PictureRequest{Count: 1, Format: "png"}}
	if strings.Contains(m.ID, "stable-diffusion-xl") {
		p.artifacts = true
		readSDXL(p.req, root, strings.Contains(m.ID, "xl-v0"))
	} else {
		readImage(p.req, root, m.ID)
	}
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// picture is one parsed request.
type picture struct {
	req       *llm.PictureRequest
	artifacts bool // SDXL's form of the reply
}

// Request is what the picture should show.
func (p *picture) Request() *llm.PictureRequest { return p.req }

// Response is SDXL's {"result", "artifacts"} or {"seeds", "finish_reasons",
// "images"}.
func (p *picture) Response(r *llm.PictureResponse) ([]byte, error) {
	if len(r.Images) != p.req.Count || len(r.Seeds) != len(r.Images) {
		return nil, fmt.Errorf("stability body: %d pictures and %d seeds for %d", len(r.Images), len(r.Seeds), p.req.Count)
	}
	n := 128
	for _, img := range r.Images {
		n += base64.StdEncoding.EncodedLen(len(img)) + 128
	}
	b := make([]byte, 0, n)
	if p.artifacts {
		b = append(b, `{"result":"success","artifacts":[`...)
		for i, img := range r.Images {
			b = comma(b, i)
			b = append(b, `{"seed":`...)
			b = body.AppendInt(b, int(r.Seeds[i]))
			b = append(b, `,"base64":`...)
			b = appendPicture(b, img)
			b = append(b, `,"finishReason":"SUCCESS"}`...)
		}
		return append(b, `]}`...), nil
	}
	b = append(b, `{"seeds":[`...)
	for i, seed := range r.Seeds {
		b = body.AppendInt(comma(b, i), int(seed))
	}
	b = append(b, `],"finish_reasons":[`...)
	for i := range r.Images {
		b = append(comma(b, i), "null"...)
	}
	b = append(b, `],"images":[`...)
	for i, img := range r.Images {
		b = appendPicture(comma(b, i), img)
	}
	return append(b, `]}`...), nil
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func appendPicture(b, img []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, img)
	return append(b, '"')
}

// image reads a picture in base64.
func image(v *body.Value) *llm.Media {
	data := v.Base64()
	if data == nil {
		return nil
	}
	return &llm.Media{Format: body.PictureFormat(data), Data: data, Place: v.Dotted()}
}

// seed reads a seed; 0 asks for a random one.
func seed(v *body.Value, most float64) *int64 {
	if n := v.Long(body.Range{Max: most}); n != nil && *n > 0 {
		return n
	}
	return nil
}
