package stability

import (
	"flag"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func subject() familytest.Subject {
	return familytest.Subject{New: func() family.Family { return Family{} }, Free: []string{"extras"}, Update: *update}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

func TestRanges(t *testing.T) {
	t.Parallel()
	words := func(list []string) (out []string) {
		for _, w := range list {
			out = append(out, `"`+w+`"`)
		}
		return out
	}
	sdxl := map[string]familytest.Bounds{
		"cfg_scale":            {Good: []string{"0", "35"}, Bad: []string{"-0.1", "35.1"}},
		"steps":                {Good: []string{"10", "50"}, Bad: []string{"9", "51", "10.5"}},
		"seed":                 {Good: []string{"0", "4294967295"}, Bad: []string{"-1", "4294967296"}},
		"samples":              {Good: []string{"1"}, Bad: []string{"0", "2"}},
		"style_preset":         {Good: words(styles()), Bad: []string{`"realism"`, "1"}},
		"sampler":              {Good: []string{`"DDIM"`, `"K_LMS"`}, Bad: []string{`"EULER"`}},
		"clip_guidance_preset": {Good: []string{`"FAST_BLUE"`, `"SLOWEST"`}, Bad: []string{`"FAST"`}},
	}
	familytest.Ranges(t, Family{}, family.Model{ID: "stability.stable-diffusion-xl-v1"}, `{"text_prompts":[{"text":"a"}]}`, sdxl)
	familytest.Ranges(t, Family{}, family.Model{ID: "stability.stable-diffusion-xl-v1:0"},
		`{"text_prompts":[{"text":"a"}],"init_image":"aGk="}`, map[string]familytest.Bounds{
			"image_strength":      {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"step_schedule_start": {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"step_schedule_end":   {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"init_image_mode":     {Good: []string{`"IMAGE_STRENGTH"`, `"STEP_SCHEDULE"`}, Bad: []string{`"BOTH"`}},
		})
	for _, id := range []string{"stability.sd3-large-v1:0", "stability.sd3-5-large-v1:0", "stability.stable-image-core-v1:0", "stability.stable-image-ultra-v1:1"} {
		familytest.Ranges(t, Family{}, family.Model{ID: id}, `{"prompt":"a"}`, map[string]familytest.Bounds{
			"seed":          {Good: []string{"0", "4294967294"}, Bad: []string{"-1", "4294967295"}},
			"output_format": {Good: []string{`"png"`, `"jpeg"`, `"webp"`}, Bad: []string{`"gif"`}},
			"aspect_ratio":  {Good: words([]string{"1:1", "16:9", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"}), Bad: []string{`"4:3"`}},
		})
	}
}

// TestShapes checks that the size of an aspect ratio has that ratio, nearly, and
// a megapixel, nearly.
func TestShapes(t *testing.T) {
	t.Parallel()
	for ratio, want := range map[string]float64{
		"1:1": 1, "16:9": 16. / 9, "21:9": 21. / 9, "2:3": 2. / 3, "3:2": 1.5, "4:5": 0.8, "5:4": 1.25, "9:16": 9. / 16, "9:21": 9. / 21,
	} {
		width, height := size(ratio)
		if got := float64(width) / float64(height); got < want*0.95 || got > want*1.05 {
			t.Errorf("%s is %dx%d", ratio, width, height)
		}
		if n := width * height; n < 900_000 || n > 1_100_000 || width%64 != 0 || height%64 != 0 {
			t.Errorf("%s has %dx%d pixels", ratio, width, height)
		}
	}
}

// TestWrongPictures checks that a fault of the pipeline is not the caller's.
func TestWrongPictures(t *testing.T) {
	t.Parallel()
	for id, data := range map[string]string{
		"stability.stable-diffusion-xl-v1": `{"text_prompts":[{"text":"a"}]}`,
		"stability.sd3-large-v1:0":         `{"prompt":"a"}`,
	} {
		p, err := Family{}.Parse(family.Model{ID: id}, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]*llm.PictureResponse{
			"none":    {},
			"no seed": {Images: [][]byte{{1}}},
			"two":     {Images: [][]byte{{1}, {2}}, Seeds: []int64{1, 2}},
		} {
			if _, err := p.(family.Picture).Response(r); err == nil {
				t.Errorf("%s, %s: accepted", id, name)
			}
		}
	}
}
