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
