// Package nova speaks the native bodies of Amazon Nova: the messages of the
// understanding models and the picture tasks of Nova Canvas.
//
// Source: Amazon Nova user guide, "Complete request schema" and "Request and
// response structure for image generation".
package nova

import (
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/family/canvas"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Family is the codec of Nova. The zero value works.
type Family struct{}

// Name is "nova".
func (Family) Name() string { return "nova" }

// Parse reads a body of Nova Canvas or of a model that understands messages.
func (Family) Parse(m family.Model, data []byte) (family.Task, error) {
	switch {
	case strings.Contains(m.ID, "nova-canvas"):
		p, err := canvas.Parse(pictureRules(), data)
		if err != nil {
			return nil, err
		}
		return p, nil
	case strings.Contains(m.ID, "nova-reel"):
		return nil, apierr.Validation("The model %s makes videos, which StartAsyncInvoke asks for.", m.ID)
	case strings.Contains(m.ID, "sonic"):
		return nil, apierr.Validation("The model %s speaks through InvokeModelWithBidirectionalStream.", m.ID)
	}
	t, err := parse(m, data)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// pictureRules are those of Nova Canvas.
func pictureRules() canvas.Rules {
	return canvas.Rules{
		MaxText: 1024, Guidance: 6.5, Seed: 12, MaxSeed: 858993459, TryOn: true, Size: pictureSize,
		Styles: []string{
			"3D_ANIMATED_FAMILY_FILM", "DESIGN_SKETCH", "FLAT_VECTOR_ILLUSTRATION", "GRAPHIC_NOVEL_ILLUSTRATION",
			"MAXIMALISM", "MIDCENTURY_RETRO", "PHOTOREALISM", "SOFT_DIGITAL_PAINTING",
		},
	}
}

// pictureSize tells what is wrong with a size: sides of 320 to 4,096 pixels that
// 16 divides, at most four times as long as the other, below 4,194,304 pixels.
func pictureSize(width, height int) string {
	const low, high, step, ratio, pixels = 320, 4096, 16, 4, 4_194_304
	size := strconv.Itoa(width) + "x" + strconv.Itoa(height)
	switch {
	case width < low || width > high || height < low || height > high:
		return size + ": each must be between 320 and 4096"
	case width%step != 0 || height%step != 0:
		return size + ": each must be divisible by 16"
	case width > ratio*height || height > ratio*width:
		return size + ": the aspect ratio must be between 1:4 and 4:1"
	case width*height >= pixels:
		return size + ": the total must be less than 4194304 pixels"
	}
	return ""
}

// Defaults and limits of inferenceConfig.
const (
	defaultTemperature = 0.7
	defaultTopP        = 0.9
	maxTopK            = 128
	maxStops           = 2500
)

// maxOutput is the largest output limit of a model when the catalogue sets none.
func maxOutput(id string) int {
	switch {
	case strings.Contains(id, "nova-2"):
		return 65_535
	case strings.Contains(id, "nova-premier"):
		return 10_000
	}
	return 5000
}

func parse(m family.Model, data []byte) (*text, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	rd := reader{req: &llm.Request{}}
	root.Require("messages")
	root.Get("schemaVersion").Enum("messages-v1")
	rd.inference(m, root.Get("inferenceConfig").Object())
	rd.tools(root.Get("toolConfig").Object())
	for _, item := range root.Get("system").Items(body.Length{}) {
		switch v, kind := rd.union(item, "text", "cachePoint"); kind {
		case "text":
			rd.req.System = append(rd.req.System, v.Text(body.Length{Min: 1}))
		case "cachePoint":
			rd.cache(v, llm.Mark{})
		}
	}
	rd.turns(root.Get("messages"))
	root.Close()
	if err := root.Err(); err != nil {
		return nil, err
	}
	if rd.err != nil {
		return nil, rd.err
	}
	t := rd.req.Thinking
	return &text{req: rd.req, thoughts: t != nil && !t.Off}, nil
}

// reader reads the nested parts of a body. Violations of the schema gather in
// the body; err is the first thing that has a message of its own.
type reader struct {
	req *llm.Request
	err error
}

func (rd *reader) fail(format string, args ...any) {
	if rd.err == nil {
		rd.err = apierr.Validation(format, args...)
	}
}

// union reads an object with exactly one of the given keys and returns its
// value.
func (rd *reader) union(v *body.Value, keys ...string) (member *body.Value, key string) {
	if v.Object() == nil {
		return nil, ""
	}
	for _, k := range keys {
		if !v.Has(k) {
			continue
		}
		if key != "" {
			v.Violate("required exactly one of the keys [" + key + "] and [" + k + "]")
			v.SkipAll()
			return nil, ""
		}
		member, key = v.Get(k), k
	}
	if key == "" {
		v.Violate("required one of the keys [" + strings.Join(keys, "], [") + "] not found")
	}
	v.Close()
	return member, key
}

// inference reads inferenceConfig. Some keys have a second name, which the
// models' first documentation used.
func (rd *reader) inference(m family.Model, c *body.Value) {
	p := &rd.req.Params
	p.Temperature, p.TopP = new(defaultTemperature), new(defaultTopP)
	if c == nil {
		return
	}
	limit := m.MaxOutput
	if limit == 0 {
		limit = maxOutput(m.ID)
	}
	p.MaxTokens = alias(c, "maxTokens", "max_new_tokens").Int(body.Range{Min: 1, Max: float64(limit)})
	p.TopK = alias(c, "topK", "top_k").Int(body.Range{Max: maxTopK})
	p.Stop = alias(c, "stopSequences", "stop_sequences").Texts(body.Length{Max: maxStops})
	if t := c.Get("temperature").Num(body.Range{Max: 1, Above: m.StrictParity}); t != nil {
		p.Temperature = t
	}
	if t := alias(c, "topP", "top_p").Num(body.Range{Max: 1}); t != nil {
		p.TopP = t
	}
	if r := c.Get("reasoningConfig").Object(); r != nil {
		r.Require("type")
		off := r.Get("type").Enum("enabled", "disabled") == "disabled"
		rd.req.Thinking = &llm.Thinking{Off: off}
		if effort := r.Get("maxReasoningEffort").Enum("low", "medium", "high"); !off {
			rd.req.Thinking.Effort = effort
		}
		r.Close()
	}
	c.Close()
}

// alias is the value under key or under its other name.
func alias(c *body.Value, key, other string) *body.Value {
	if c.Has(key) {
		return c.Get(key)
	}
	return c.Get(other)
}

// cache reads a cache point at m; the last one counts.
func (rd *reader) cache(v *body.Value, m llm.Mark) {
	if v.Object() == nil {
		return
	}
	v.Require("type")
	v.Get("type").Enum("default")
	v.Get("ttl").Enum("5m", "1h")
	v.Close()
	rd.req.Cache = &m
}
