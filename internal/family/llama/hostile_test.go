package llama

import (
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
)

// BenchmarkPromptHostile reads prompts of many short turns of one role in a row:
// the cost must grow as their length.
func BenchmarkPromptHostile(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		prompt := strings.Repeat("<|start_header_id|>user<|end_header_id|>a", n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.SetBytes(int64(len(prompt)))
			for b.Loop() {
				parsePrompt(prompt, family.Model{}, nil)
			}
		})
	}
}
