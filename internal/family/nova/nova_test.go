package nova

import (
	"encoding/json"
	"flag"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/familytest"
	"github.com/outcrop/outcrop/internal/llm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func subject() familytest.Subject {
	return familytest.Subject{
		New:       func() family.Family { return Family{} },
		Text:      func(native []byte) (string, error) { s, _, _, err := said(native); return s, err },
		Calls:     func(native []byte) ([]llm.Call, error) { _, c, _, err := said(native); return c, err },
		Reasoning: func(native []byte) (string, error) { _, _, s, err := said(native); return s, err },
		Free:      []string{"json", "input"},
		Update:    *update,
	}
}

// said takes apart a reply or a chunk.
func said(native []byte) (text string, calls []llm.Call, thoughts string, err error) {
	type call struct {
		ID    string          `json:"toolUseId"`
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"`
	}
	type block struct {
		Text      string `json:"text"`
		ToolUse   *call  `json:"toolUse"`
		Reasoning struct {
			Text string `json:"text"`
			Of   struct {
				Text string `json:"text"`
			} `json:"reasoningText"`
		} `json:"reasoningContent"`
	}
	var v struct {
		Output struct {
			Message struct {
				Content []block `json:"content"`
			} `json:"message"`
		} `json:"output"`
		Start struct {
			Start block `json:"start"`
		} `json:"contentBlockStart"`
		Delta struct {
			Delta block `json:"delta"`
		} `json:"contentBlockDelta"`
	}
	if err := json.Unmarshal(native, &v); err != nil {
		return "", nil, "", err
	}
	for _, b := range append(v.Output.Message.Content, v.Start.Start, v.Delta.Delta) {
		text += b.Text
		thoughts += b.Reasoning.Text + b.Reasoning.Of.Text
		if c := b.ToolUse; c != nil {
			var piece string
			if json.Unmarshal(c.Input, &piece) == nil {
				c.Input = []byte(piece)
			}
			calls = append(calls, llm.Call{ID: c.ID, Name: c.Name, Input: c.Input})
		}
	}
	return text, calls, thoughts, nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	familytest.Run(t, subject())
}

func FuzzParse(f *testing.F) { familytest.Fuzz(f, subject()) }

func TestRanges(t *testing.T) {
	t.Parallel()
	for id, limit := range map[string]string{
		"amazon.nova-micro-v1:0":   "5000",
		"amazon.nova-lite-v1:0":    "5000",
		"amazon.nova-pro-v1:0":     "5000",
		"amazon.nova-premier-v1:0": "10000",
		"amazon.nova-2-lite-v1:0":  "65535",
	} {
		familytest.Ranges(t, Family{}, family.Model{ID: id}, `{"messages":[{"role":"user","content":[{"text":"a"}]}]}`, map[string]familytest.Bounds{
			"schemaVersion":                        {Good: []string{`"messages-v1"`}, Bad: []string{`"messages-v2"`, "1"}},
			"inferenceConfig.maxTokens":            {Good: []string{"1", limit}, Bad: []string{"0", limit + "1", "1.5"}},
			"inferenceConfig.max_new_tokens":       {Good: []string{"1", limit}, Bad: []string{"0"}},
			"inferenceConfig.temperature":          {Good: []string{"0", "0.00001", "1"}, Bad: []string{"-0.1", "1.1", `"1"`}},
			"inferenceConfig.topP":                 {Good: []string{"0", "1"}, Bad: []string{"-0.1", "1.1"}},
			"inferenceConfig.topK":                 {Good: []string{"0", "128"}, Bad: []string{"-1", "129"}},
			"inferenceConfig.stopSequences":        {Good: []string{"[]", `["a"]`}, Bad: []string{`"a"`}},
			"inferenceConfig.reasoningConfig.type": {Good: []string{`"enabled"`, `"disabled"`}, Bad: []string{`"auto"`}},
		})
	}
	canvas := family.Model{ID: "amazon.nova-canvas-v1:0"}
	familytest.Ranges(t, Family{}, canvas, `{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a"}}`, map[string]familytest.Bounds{
		"textToImageParams.text":               {Good: []string{`"a"`}, Bad: []string{`""`, "1"}},
		"imageGenerationConfig.numberOfImages": {Good: []string{"1", "5"}, Bad: []string{"0", "6"}},
		"imageGenerationConfig.quality":        {Good: []string{`"standard"`, `"premium"`}, Bad: []string{`"hd"`}},
		"imageGenerationConfig.cfgScale":       {Good: []string{"1.1", "10"}, Bad: []string{"1", "10.1"}},
		"imageGenerationConfig.seed":           {Good: []string{"0", "858993459"}, Bad: []string{"-1", "858993460"}},
		"imageGenerationConfig.width":          {Good: []string{"320", "4080"}, Bad: []string{"0", "-16"}},
	})
}

// TestRedactedThoughts checks thoughts without text, which only a whole reply can
// hold.
func TestRedactedThoughts(t *testing.T) {
	t.Parallel()
	p, err := Family{}.Parse(family.Model{ID: "amazon.nova-2-lite-v1:0"},
		[]byte(`{"messages":[{"role":"user","content":[{"text":"a"}]}],"inferenceConfig":{"reasoningConfig":{"type":"enabled"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.(family.Text).Response(&llm.Response{Content: []llm.Block{{Kind: llm.Reasoning, Redacted: []byte("opaque")}}})
	if err != nil || !strings.Contains(string(got), `"content":[{"reasoningContent":{"redactedContent":"b3BhcXVl"}}]`) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestPictureSize(t *testing.T) {
	t.Parallel()
	for size, want := range map[[2]int]string{
		{1024, 1024}: "",
		{320, 320}:   "",
		{4096, 1008}: "4096x1008: the aspect ratio must be between 1:4 and 4:1",
		{4096, 1024}: "4096x1024: the total must be less than 4194304 pixels",
		{4080, 1024}: "",
		{304, 320}:   "304x320: each must be between 320 and 4096",
		{320, 4112}:  "320x4112: each must be between 320 and 4096",
		{1000, 1024}: "1000x1024: each must be divisible by 16",
		{320, 1296}:  "320x1296: the aspect ratio must be between 1:4 and 4:1",
		{2048, 2048}: "2048x2048: the total must be less than 4194304 pixels",
		{2048, 2032}: "",
	} {
		if got := pictureSize(size[0], size[1]); got != want {
			t.Errorf("%v: %q, want %q", size, got, want)
		}
	}
}
