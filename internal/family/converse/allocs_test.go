package converse

import (
	"testing"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// A request of one turn and the pieces of a reply are made with few allocations.
// With what restjson (9) and the engine (7) take, see their tests, a conversion from
// the body of Converse to that of an OpenAI-compatible server has at most 20, and a
// piece of a stream at most 2.
func TestAllocations(t *testing.T) { // not parallel: it counts the process's allocations
	in := &rt.ConverseInput{
		ModelId:         new("acme.model-v1:0"),
		Messages:        []rt.Message{{Role: new(rt.ConversationRoleUser), Content: []rt.ContentBlock{{Text: new("What is gneiss?")}}}},
		InferenceConfig: &rt.InferenceConfiguration{MaxTokens: new(int32(512)), Temperature: new(float32(0.5))},
	}
	codec := Codec{}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := codec.ConverseRequest(family.Model{}, in); err != nil {
			t.Fatal(err)
		}
	}); n > 4 {
		t.Errorf("a request: %g allocations", n)
	}
	const pieces = 1000
	n := testing.AllocsPerRun(10, func() {
		for _, err := range codec.ConverseEvents(family.Model{}, &rt.ConverseStreamInput{}, func(yield func(llm.Event, error) bool) {
			for range pieces {
				if !yield(llm.Event{Kind: llm.Delta, Text: " token"}, nil) {
					return
				}
			}
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > pieces+50 {
		t.Errorf("a stream of %d pieces: %g allocations", pieces, n)
	}
}
