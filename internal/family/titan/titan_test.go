package titan

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func subject() familytest.Subject {
	return familytest.Subject{New: func() family.Family { return Family{} }, Text: textOf, Update: *update}
}

// textOf takes the text out of a reply or a chunk.
func textOf(native []byte) (string, error) {
	type result struct {
		OutputText *string `json:"outputText"`
	}
	var v struct {
		result
		Results []result `json:"results"`
	}
	if err := json.Unmarshal(native, &v); err != nil {
		return "", err
	}
	if len(v.Results) == 1 {
		v.result = v.Results[0]
	}
	if v.OutputText == nil {
		return "", fmt.Errorf("no outputText")
	}
	return *v.OutputText, nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

func TestTooLongText(t *testing.T) {
	t.Parallel()
	for n, ok := range map[int]bool{maxChars: true, maxChars + 1: false} {
		data := `{"inputText":"` + strings.Repeat("é", n) + `"}`
		_, err := Family{}.Parse(family.Model{ID: "amazon.titan-embed-text-v2:0"}, []byte(data))
		if (err == nil) != ok {
			t.Errorf("%d characters: %v", n, err)
		}
		if err != nil && !strings.Contains(err.Error(), "#/inputText: expected maxLength: 50000, actual: 50001") {
			t.Error(err)
		}
	}
}

// TestWrongVector checks that a fault of the pipeline is not the caller's.
func TestWrongVector(t *testing.T) {
	t.Parallel()
	e, err := Family{}.Parse(family.Model{ID: "amazon.titan-embed-text-v1"}, []byte(`{"inputText":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*llm.EmbedResponse{
		"no vector":    {},
		"wrong length": {Vectors: [][]float32{{1, 2}}, Tokens: []int{1}},
	} {
		if _, err := e.(family.Embedding).Response(r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for id, limit := range map[string]string{
		"amazon.titan-text-lite-v1":      "4096",
		"amazon.titan-text-express-v1":   "8192",
		"amazon.titan-text-premier-v1:0": "3072",
		"amazon.titan-tg1-large":         "8192",
	} {
		familytest.Ranges(t, Family{}, family.Model{ID: id}, `{"inputText":"a"}`, map[string]familytest.Bounds{
			"textGenerationConfig.maxTokenCount": {Good: []string{"1", limit}, Bad: []string{"-1", limit + "0", "1.5"}},
			"textGenerationConfig.temperature":   {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"textGenerationConfig.topP":          {Good: []string{"0.01", "1"}, Bad: []string{"0", "1.1"}},
		})
	}
	familytest.Ranges(t, Family{}, family.Model{ID: "amazon.titan-embed-text-v2:0"}, `{"inputText":"a"}`, map[string]familytest.Bounds{
		"dimensions": {Good: []string{"256", "512", "1024"}, Bad: []string{"0", "384", `"256"`}},
		"normalize":  {Good: []string{"true", "false"}, Bad: []string{"1"}},
	})
	familytest.Ranges(t, Family{}, family.Model{ID: "amazon.titan-embed-image-v1"}, `{"inputText":"a"}`, map[string]familytest.Bounds{
		"embeddingConfig.outputEmbeddingLength": {Good: []string{"256", "384", "1024"}, Bad: []string{"0", "512", `"256"`}},
	})
	for _, id := range []string{"amazon.titan-image-generator-v1", "amazon.titan-image-generator-v2:0"} {
		familytest.Ranges(t, Family{}, family.Model{ID: id}, `{"taskType":"IMAGE_VARIATION","imageVariationParams":{"images":["aGk="]}}`, map[string]familytest.Bounds{
			"imageVariationParams.similarityStrength": {Good: []string{"0.2", "1"}, Bad: []string{"0.19", "1.1"}},
			"imageGenerationConfig.numberOfImages":    {Good: []string{"1", "5"}, Bad: []string{"0", "6"}},
			"imageGenerationConfig.cfgScale":          {Good: []string{"1.1", "10"}, Bad: []string{"1.09", "10.1"}},
			"imageGenerationConfig.seed":              {Good: []string{"0", "2147483646"}, Bad: []string{"-1", "2147483647"}},
		})
	}
	familytest.Ranges(t, Family{}, family.Model{ID: "amazon.titan-image-generator-v2:0"},
		`{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a","conditionImage":"aGk="}}`, map[string]familytest.Bounds{
			"textToImageParams.controlStrength": {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"textToImageParams.controlMode":     {Good: []string{`"CANNY_EDGE"`, `"SEGMENTATION"`}, Bad: []string{`"DEPTH"`}},
		})
}

func TestPictureSizes(t *testing.T) {
	t.Parallel()
	good := 0
	for width := 300; width <= 1450; width++ {
		for height := 300; height <= 1450; height++ {
			if validSize(width, height) {
				good++
			}
		}
	}
	if good != 25 {
		t.Errorf("%d sizes, want the 25 of the user guide", good)
	}
	if got := pictureSize(640, 1152); got != "640x1152 is not a valid size" {
		t.Error(got)
	}
}

func TestLargePicture(t *testing.T) {
	t.Parallel()
	data := `{"inputImage":"` + base64.StdEncoding.EncodeToString(make([]byte, maxImageBytes+1)) + `"}`
	_, err := Family{}.Parse(family.Model{ID: "amazon.titan-embed-image-v1"}, []byte(data))
	if err == nil || !strings.Contains(err.Error(), "#/inputImage: the image has more than 25 MB") {
		t.Error(err)
	}
}

func BenchmarkEmbeddingResponse(b *testing.B) {
	e, err := Family{}.Parse(family.Model{ID: "amazon.titan-embed-text-v1"}, []byte(`{"inputText":"a"}`))
	if err != nil {
		b.Fatal(err)
	}
	v := make([]float32, g1Dimensions)
	for i := range v {
		v[i] = 1 / float32(i+3)
	}
	r := &llm.EmbedResponse{Vectors: [][]float32{v}, Tokens: []int{1}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.(family.Embedding).Response(r); err != nil {
			b.Fatal(err)
		}
	}
}
