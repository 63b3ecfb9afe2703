package cohere

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
)

// TestDeepType checks that a type which nests without end is refused and does not
// exhaust the stack.
func TestDeepType(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{10: "", 1_000_000: "#/tools/0/parameter_definitions/p/type: expected maxLength: 100, actual: 6000003"} {
		data := `{"message":"a","tools":[{"name":"a","description":"b","parameter_definitions":{"p":{"type":"` +
			strings.Repeat("List[", n) + "str" + strings.Repeat("]", n) + `"}}}]}`
		_, err := Family{}.Parse(family.Model{ID: "cohere.command-r-v1:0"}, []byte(data))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// BenchmarkParseHostile parses bodies of many small parts: the cost must grow as
// their length.
func BenchmarkParseHostile(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var tools, results, fields strings.Builder
			for i := range n {
				fmt.Fprintf(&tools, `,{"name":"t%d","description":""}`, i)
				fmt.Fprintf(&results, `,{"call":{"name":"t","parameters":{}},"outputs":[]}`)
				fmt.Fprintf(&fields, `,"f%d":""`, i)
			}
			data := []byte(`{"message":"a","tools":[` + tools.String()[1:] + `],"tool_results":[` + results.String()[1:] +
				`],"chat_history":[{"role":"USER","message":"b"},{"role":"TOOL","tool_results":[` + results.String()[1:] + `]}],"documents":[{` + fields.String()[1:] + `}]}`)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := (Family{}).Parse(family.Model{ID: "cohere.command-r-v1:0"}, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
