package stability

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Limits and defaults of SDXL.
const (
	maxPrompt         = 2000 // characters
	defaultSteps      = 30
	defaultGuidance   = 7.0
	oldGuidance       = 10.0 // of the 0.8 preview
	defaultImageSway  = 0.35 // image_strength
	defaultStepsStart = 0.65 // step_schedule_start
	maxSeed           = 4294967295
)

// readSDXL reads a body of SDXL: a picture from texts; with init_image from a
// picture; with mask_source in a part of a picture.
func readSDXL(req *llm.PictureRequest, root *body.Value, old bool) {
	root.Require("text_prompts")
	readPrompts(req, root.Get("text_prompts"))
	guidance, steps := body.Range{Max: 35}, body.Range{Min: 10, Max: 50}
	req.Guidance, req.Steps = new(defaultGuidance), defaultSteps
	if old {
		guidance.Max, steps.Max, req.Guidance = 30, 150, new(oldGuidance)
	}
	if g := root.Get("cfg_scale").Num(guidance); g != nil {
		req.Guidance = g
	}
	if n := root.Get("steps").Int(steps); n != nil {
		req.Steps = *n
	}
	req.Seed = seed(root.Get("seed"), maxSeed)
	req.Style = root.Get("style_preset").Enum(styles()...)
	root.Get("samples").Int(body.Range{Min: 1, Max: 1})
	root.Get("clip_guidance_preset").Enum("FAST_BLUE", "FAST_GREEN", "NONE", "SIMPLE", "SLOW", "SLOWER", "SLOWEST")
	root.Get("sampler").Enum("DDIM", "DDPM", "K_DPMPP_2M", "K_DPMPP_2S_ANCESTRAL", "K_DPM_2", "K_DPM_2_ANCESTRAL",
		"K_EULER", "K_EULER_ANCESTRAL", "K_HEUN", "K_LMS")
	root.Get("extras").Object().SkipAll()
	if root.Has("init_image") || root.Has("mask_source") || root.Has("mask_image") {
		readInit(req, root)
		return
	}
	req.Task = llm.TextToImage
	readSize(req, root)
}

func styles() []string {
	return []string{
		"3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art", "isometric",
		"line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic", "pixel-art", "tile-texture",
	}
}

// readPrompts joins the texts: those with a weight below 0 are what should not
// be seen. How large a weight is has no effect beyond that, but 0 leaves a text
// out.
func readPrompts(req *llm.PictureRequest, v *body.Value) {
	var shown, hidden []string
	for _, item := range v.Items(body.Length{Min: 1}) {
		if item.Object() == nil {
			continue
		}
		item.Require("text")
		text := item.Get("text").Text(body.Length{Max: maxPrompt})
		weight := 1.0
		if w := item.Get("weight").Num(body.Range{Min: -math.MaxFloat32, Max: math.MaxFloat32}); w != nil {
			weight = *w
		}
		item.Close()
		switch {
		case text == "" || weight == 0:
		case weight < 0:
			hidden = append(hidden, text)
		default:
			shown = append(shown, text)
		}
	}
	req.Prompt, req.Negative = strings.Join(shown, ", "), strings.Join(hidden, ", ")
}

// readSize reads width and height, both 1024 unless given.
func readSize(req *llm.PictureRequest, root *body.Value) {
	side := body.Range{Min: 1, Max: 1 << 16}
	req.Width, req.Height = 1024, 1024
	width, height := root.Get("width"), root.Get("height")
	if n := width.Int(side); n != nil {
		req.Width = *n
	}
	if n := height.Int(side); n != nil {
		req.Height = *n
	}
	sizes := [...][2]int{
		{1024, 1024}, {1152, 896}, {1216, 832}, {1344, 768}, {1536, 640}, {640, 1536}, {768, 1344}, {832, 1216}, {896, 1152},
	}
	if !slices.Contains(sizes[:], [2]int{req.Width, req.Height}) {
		root.Violate("height and width: " + strconv.Itoa(req.Width) + "x" + strconv.Itoa(req.Height) + " is not one of " +
			"1024x1024, 1152x896, 1216x832, 1344x768, 1536x640, 640x1536, 768x1344, 832x1216, 896x1152")
	}
}

// readInit reads the picture to start from and how much of it stays.
func readInit(req *llm.PictureRequest, root *body.Value) {
	root.Require("init_image")
	if m := image(root.Get("init_image")); m != nil {
		req.Images = []llm.Media{*m}
	}
	if root.Has("mask_source") || root.Has("mask_image") {
		root.Require("mask_source")
		req.Task = llm.Inpaint
		readMask(req, root)
		return
	}
	req.Task = llm.ImageToImage
	share := body.Range{Max: 1}
	sway, from, to := root.Get("image_strength").Num(share), root.Get("step_schedule_start").Num(share), root.Get("step_schedule_end").Num(share)
	if from != nil && to != nil && *to < *from {
		root.Get("step_schedule_end").Violate("is less than step_schedule_start")
	}
	if root.Get("init_image_mode").Enum("IMAGE_STRENGTH", "STEP_SCHEDULE") == "STEP_SCHEDULE" {
		req.Strength = new(defaultStepsStart)
		if from != nil {
			req.Strength = from
		}
		return
	}
	if sway == nil {
		sway = new(defaultImageSway)
	}
	const exact = 1e6 // 1-0.35 is 0.65 here
	req.Strength = new(math.Round((1-*sway)*exact) / exact)
}

func readMask(req *llm.PictureRequest, root *body.Value) {
	switch source := root.Get("mask_source").Enum("MASK_IMAGE_WHITE", "MASK_IMAGE_BLACK", "INIT_IMAGE_ALPHA"); source {
	case "MASK_IMAGE_WHITE", "MASK_IMAGE_BLACK":
		root.Require("mask_image")
		req.Mask = image(root.Get("mask_image"))
		req.KeepMask = source == "MASK_IMAGE_WHITE"
	default:
		image(root.Get("mask_image"))
	}
}
