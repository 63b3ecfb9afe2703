package stability

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// Limits and defaults of SD3, SD3.5 and Stable Image.
const (
	maxImagePrompt  = 10_000 // characters
	maxImageSeed    = 4294967294
	defaultStrength = 0.35 // of Ultra
	textMode        = "text-to-image"
	imageMode       = "image-to-image"
)

// size is the size that the models make for an aspect ratio, in pixels.
func size(ratio string) (width, height int) {
	switch ratio {
	case "16:9":
		return 1344, 768
	case "21:9":
		return 1536, 640
	case "2:3":
		return 832, 1216
	case "3:2":
		return 1216, 832
	case "4:5":
		return 896, 1088
	case "5:4":
		return 1088, 896
	case "9:16":
		return 768, 1344
	case "9:21":
		return 640, 1536
	}
	return 1024, 1024
}

// readImage reads a body of the newer models. Core makes pictures from texts
// only; the others start from a picture too: SD3 when "mode" says so, Ultra when
// there is one.
func readImage(req *llm.PictureRequest, root *body.Value, id string) {
	root.Require("prompt")
	req.Prompt = root.Get("prompt").Text(body.Length{Min: 1, Max: maxImagePrompt})
	req.Negative = root.Get("negative_prompt").Text(body.Length{Max: maxImagePrompt})
	req.Seed = seed(root.Get("seed"), maxImageSeed)
	if f := root.Get("output_format").Enum("png", "jpeg", "webp"); f != "" {
		req.Format = f
	}
	core, ultra := strings.Contains(id, "image-core"), strings.Contains(id, "image-ultra")
	modes := []string{textMode, imageMode}
	if core {
		modes = modes[:1]
	}
	mode := root.Get("mode").Enum(modes...)
	if !core && !root.Has("mode") && root.Has("image") {
		mode = imageMode
		if !ultra {
			root.Require("mode")
		}
	}
	if mode != imageMode {
		req.Task = llm.TextToImage
		req.Width, req.Height = size(root.Get("aspect_ratio").Enum("1:1", "16:9", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"))
		return
	}
	req.Task = llm.ImageToImage
	root.Require("image")
	if m := image(root.Get("image")); m != nil {
		req.Images = []llm.Media{*m}
	}
	if !ultra {
		root.Require("strength")
	}
	req.Strength = root.Get("strength").Num(body.Range{Max: 1})
	if req.Strength == nil {
		req.Strength = new(defaultStrength)
	}
}
