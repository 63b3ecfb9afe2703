// Package canvas reads the bodies in which Amazon's picture models are asked:
// Titan Image Generator and Nova Canvas share their tasks and differ in ranges.
//
// Source: Bedrock user guide, "Amazon Titan Image Generator G1 models"; Amazon
// Nova user guide, "Request and response structure for image generation".
package canvas

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Rules are what a model allows.
type Rules struct {
	MaxText  int     // characters of a prompt, of a negative one and of one for a mask
	Guidance float64 // default of cfgScale, 1.1..10
	Seed     int     // default
	MaxSeed  float64
	Basic    bool     // no condition image, no colours, no background removal (Titan v1)
	TryOn    bool     // VIRTUAL_TRY_ON
	Styles   []string // of textToImageParams; nil means no styles
	// Size checks width and height, which are given both, and returns what is
	// wrong with them, "" when nothing is.
	Size func(width, height int) string
}

// Limits that all models share.
const (
	defaultSide   = 1024 // pixels
	defaultSimile = 0.7
	maxPictures   = 5
	maxReferences = 5
	maxColors     = 10
)

// task is one taskType: the key of its parameters and how they are read.
type task struct {
	kind   llm.PictureTask
	params string
	read   func(*reader, *body.Value)
	basic  bool // of every model
	sized  bool // has a width and height of its own
}

func tasks() map[string]task {
	return map[string]task{
		"TEXT_IMAGE":              {llm.TextToImage, "textToImageParams", (*reader).textImage, true, true},
		"INPAINTING":              {llm.Inpaint, "inPaintingParams", (*reader).inpaint, true, false},
		"OUTPAINTING":             {llm.Outpaint, "outPaintingParams", (*reader).outpaint, true, false},
		"IMAGE_VARIATION":         {llm.Variation, "imageVariationParams", (*reader).variation, true, true},
		"COLOR_GUIDED_GENERATION": {llm.ColorGuided, "colorGuidedGenerationParams", (*reader).colors, false, true},
		"BACKGROUND_REMOVAL":      {llm.RemoveBackground, "backgroundRemovalParams", (*reader).background, false, false},
		"VIRTUAL_TRY_ON":          {llm.VirtualTryOn, "virtualTryOnParams", (*reader).tryOn, false, false},
	}
}

// words are the values of taskType that the rules allow.
func (r *Rules) words() []string {
	words := []string{"TEXT_IMAGE", "INPAINTING", "OUTPAINTING", "IMAGE_VARIATION"}
	if !r.Basic {
		words = append(words, "COLOR_GUIDED_GENERATION", "BACKGROUND_REMOVAL")
	}
	if r.TryOn {
		words = append(words, "VIRTUAL_TRY_ON")
	}
	return words
}

// Picture is one parsed request. It is a family.Picture.
type Picture struct {
	req *llm.PictureRequest
}

// Parse reads a body. Errors are ValidationException and name the key.
func Parse(rules Rules, data []byte) (*Picture, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	rd := reader{rules: &rules, req: &llm.PictureRequest{Count: 1, Format: "png"}}
	root.Require("taskType")
	if t, ok := tasks()[root.Get("taskType").Enum(rules.words()...)]; ok {
		rd.req.Task = t.kind
		root.Require(t.params)
		if p := root.Get(t.params).Object(); p != nil {
			t.read(&rd, p)
			p.Close()
		}
		rd.config(root.Get("imageGenerationConfig").Object(), t.sized)
		root.Close()
	}
	if err := root.Err(); err != nil {
		return nil, err
	}
	return &Picture{req: rd.req}, nil
}

// Request is what the pictures should show.
func (p *Picture) Request() *llm.PictureRequest { return p.req }

// Response is {"images": [base64...], "error": null}.
func (p *Picture) Response(r *llm.PictureResponse) ([]byte, error) {
	if len(r.Images) != p.req.Count {
		return nil, fmt.Errorf("picture body: %d pictures for %d", len(r.Images), p.req.Count)
	}
	n := 32
	for _, img := range r.Images {
		n += base64.StdEncoding.EncodedLen(len(img)) + 3
	}
	b := append(make([]byte, 0, n), `{"images":[`...)
	for i, img := range r.Images {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, img)
		b = append(b, '"')
	}
	return append(b, `],"error":null}`...), nil
}

type reader struct {
	rules *Rules
	req   *llm.PictureRequest
}

// config reads imageGenerationConfig. Tasks that work on a picture keep its
// size unless the body gives one.
func (rd *reader) config(c *body.Value, sized bool) {
	r := rd.req
	if sized {
		r.Width, r.Height = defaultSide, defaultSide
	}
	r.Guidance, r.Seed = new(rd.rules.Guidance), new(int64(rd.rules.Seed))
	if c == nil {
		return
	}
	if n := c.Get("numberOfImages").Int(body.Range{Min: 1, Max: maxPictures}); n != nil {
		r.Count = *n
	}
	c.Get("quality").Enum("standard", "premium")
	if g := c.Get("cfgScale").Num(body.Range{Min: 1.1, Max: 10}); g != nil {
		r.Guidance = g
	}
	if s := c.Get("seed").Long(body.Range{Max: rd.rules.MaxSeed}); s != nil {
		r.Seed = s
	}
	rd.size(c)
	c.Close()
}

func (rd *reader) size(c *body.Value) {
	r := rd.req
	side := body.Range{Min: 1, Max: 1 << 16}
	width, height := c.Get("width").Int(side), c.Get("height").Int(side)
	if width == nil && height == nil {
		return
	}
	r.Width, r.Height = defaultSide, defaultSide
	if width != nil {
		r.Width = *width
	}
	if height != nil {
		r.Height = *height
	}
	if wrong := rd.rules.Size(r.Width, r.Height); wrong != "" {
		c.Violate("width and height: " + wrong)
	}
}

// prompt reads text and negativeText.
func (rd *reader) prompt(p *body.Value, required bool) {
	if required {
		p.Require("text")
	}
	rd.req.Prompt = p.Get("text").Text(body.Length{Min: 1, Max: rd.rules.MaxText})
	rd.req.Negative = p.Get("negativeText").Text(body.Length{Min: 1, Max: rd.rules.MaxText})
}

// image reads a picture in base64.
func (rd *reader) image(v *body.Value) *llm.Media {
	data := v.Base64()
	if data == nil {
		return nil
	}
	return &llm.Media{Format: body.PictureFormat(data), Data: data, Place: v.Dotted()}
}

func (rd *reader) addImage(p *body.Value, key string) {
	if m := rd.image(p.Get(key)); m != nil {
		rd.req.Images = append(rd.req.Images, *m)
	}
}

func (rd *reader) textImage(p *body.Value) {
	rd.prompt(p, true)
	if rd.rules.Styles != nil {
		rd.req.Style = p.Get("style").Enum(rd.rules.Styles...)
	}
	if rd.rules.Basic || !p.Has("conditionImage") {
		return
	}
	rd.addImage(p, "conditionImage")
	rd.req.Task, rd.req.Control = llm.ControlledDrawing, "canny_edge"
	if mode := p.Get("controlMode").Enum("CANNY_EDGE", "SEGMENTATION"); mode != "" {
		rd.req.Control = strings.ToLower(mode)
	}
	rd.req.Strength = new(defaultSimile)
	if s := p.Get("controlStrength").Num(body.Range{Max: 1}); s != nil {
		rd.req.Strength = s
	}
}

// mask reads a mask of the given keys: exactly one of them.
func (rd *reader) mask(p *body.Value) {
	if p.Has("maskPrompt") == p.Has("maskImage") {
		p.Violate("required exactly one of the keys [maskPrompt] and [maskImage]")
	}
	rd.req.MaskPrompt = p.Get("maskPrompt").Text(body.Length{Min: 1, Max: rd.rules.MaxText})
	rd.req.Mask = rd.image(p.Get("maskImage"))
	p.Get("returnMask").Bool()
}

// inpaint changes what is inside the mask. Without text it is filled with its
// surroundings.
func (rd *reader) inpaint(p *body.Value) {
	p.Require("image")
	rd.addImage(p, "image")
	rd.prompt(p, false)
	rd.mask(p)
}

// outpaint changes what is outside of the mask.
func (rd *reader) outpaint(p *body.Value) {
	p.Require("image")
	rd.addImage(p, "image")
	rd.prompt(p, true)
	rd.mask(p)
	rd.req.KeepMask = true
	p.Get("outPaintingMode").Enum("DEFAULT", "PRECISE")
}

// variation makes pictures like the given ones.
func (rd *reader) variation(p *body.Value) {
	p.Require("images")
	for _, item := range p.Get("images").Items(body.Length{Min: 1, Max: maxReferences}) {
		if m := rd.image(item); m != nil {
			rd.req.Images = append(rd.req.Images, *m)
		}
	}
	rd.prompt(p, false)
	similar := defaultSimile
	if s := p.Get("similarityStrength").Num(body.Range{Min: 0.2, Max: 1}); s != nil {
		similar = *s
	}
	const exact = 1e6 // 1-0.7 is 0.3 here
	rd.req.Strength = new(math.Round((1-similar)*exact) / exact)
}

func (rd *reader) colors(p *body.Value) {
	rd.prompt(p, true)
	p.Require("colors")
	for _, item := range p.Get("colors").Items(body.Length{Min: 1, Max: maxColors}) {
		c := item.Text(body.Length{})
		if item.Kind() == body.String && !isColor(c) {
			item.Violate("string [" + body.Show(c) + "] does not match pattern ^#[0-9a-fA-F]{6}$")
		}
		rd.req.Colors = append(rd.req.Colors, strings.ToLower(c))
	}
	rd.addImage(p, "referenceImage")
}

// isColor reports whether s is "#" and six hexadecimal digits.
func isColor(s string) bool {
	return len(s) == 7 && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
}

func (rd *reader) background(p *body.Value) {
	p.Require("image")
	rd.addImage(p, "image")
}
