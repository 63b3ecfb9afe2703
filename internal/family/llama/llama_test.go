package llama

import (
	"encoding/json"
	"errors"
	"flag"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/familytest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func subject() familytest.Subject {
	return familytest.Subject{New: func() family.Family { return Family{} }, Text: textOf, Update: *update}
}

// textOf takes the text out of a reply or a chunk.
func textOf(native []byte) (string, error) {
	var v struct {
		Generation *string `json:"generation"`
	}
	if err := json.Unmarshal(native, &v); err != nil {
		return "", err
	}
	if v.Generation == nil {
		return "", errors.New("no generation")
	}
	return *v.Generation, nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

// TestRanges holds the ranges of the user guide.
func TestRanges(t *testing.T) {
	t.Parallel()
	familytest.Ranges(t, Family{}, family.Model{ID: "meta.llama3-8b-instruct-v1:0"}, `{"prompt":"a"}`, map[string]familytest.Bounds{
		"max_gen_len": {Good: []string{"1", "2048"}, Bad: []string{"0", "2049", "1.5", "null"}},
		"temperature": {Good: []string{"0", "0.5", "1"}, Bad: []string{"-0.01", "1.01", "null"}},
		"top_p":       {Good: []string{"0", "0.9", "1"}, Bad: []string{"-0.01", "1.01", "null"}},
	})
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]string{
		"\x89PNG\r\n":                 "png",
		"GIF89a":                      "gif",
		"RIFF\x00\x00\x00\x00WEBPVP8": "webp",
		"\xff\xd8\xff":                "jpeg",
		"RIFF":                        "jpeg",
	} {
		if got := format([]byte(head)); got != want {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
}
