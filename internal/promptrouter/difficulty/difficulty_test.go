package difficulty_test

import (
	"os"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/promptrouter/difficulty"
)

// The accuracy that must not be lost, in percent of the requests that the weights
// were not set for. The test prints what it is.
const wanted = 75

func ask(text string) *llm.Request {
	return &llm.Request{Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: text}}}}}
}

type labelled struct {
	hard bool
	text string
}

func readLabelled(t testing.TB, file string) []labelled {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	var out []labelled
	for line := range strings.Lines(string(b)) {
		label, text, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		text = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(text)
		out = append(out, labelled{hard: label == "hard", text: text})
		count[label]++
	}
	if count["easy"] < 20 || count["hard"] < 20 || len(count) != 2 {
		t.Fatalf("labels: %v", count)
	}
	return out
}

func TestAccuracy(t *testing.T) {
	t.Parallel()
	for file, least := range map[string]int{"labelled.txt": 95, "fresh.txt": wanted} {
		all := readLabelled(t, file)
		right := map[bool]int{}
		for _, l := range all {
			if d := difficulty.Estimate(ask(l.text)); (d > 0.5) == l.hard {
				right[l.hard]++
			} else {
				t.Logf("%s: hard %v, estimated %.2f: %s", file, l.hard, d, l.text)
			}
		}
		t.Logf("%s: right are %d of %d: %d easy ones, %d hard ones", file, right[true]+right[false], len(all), right[false], right[true])
		if got := 100 * (right[true] + right[false]) / len(all); got < least {
			t.Errorf("%s: %d %% are right, want %d %%", file, got, least)
		}
	}
}

// What comes with a question makes it harder, and the estimate stays in 0..1.
func TestSigns(t *testing.T) {
	t.Parallel()
	base := difficulty.Estimate(ask("Tell me about the town."))
	text := func(s string) llm.Block { return llm.Block{Kind: llm.Text, Text: s} }
	for name, edit := range map[string]func(r *llm.Request){
		"long question": func(r *llm.Request) { r.Messages[0].Content[0].Text += strings.Repeat(" and the next", 200) },
		"long context":  func(r *llm.Request) { r.System = []string{strings.Repeat("word ", 2000)} },
		"turns": func(r *llm.Request) {
			r.Messages = append([]llm.Message{{Role: llm.User, Content: []llm.Block{text("Hi")}}, {Role: llm.Assistant, Content: []llm.Block{text("Hi")}}}, r.Messages...)
		},
		"tools": func(r *llm.Request) { r.Tools = make([]llm.Tool, 2) },
		"document": func(r *llm.Request) {
			r.Messages[0].Content = append(r.Messages[0].Content, llm.Block{Kind: llm.Document})
		},
		"format":   func(r *llm.Request) { r.Format = &llm.Format{} },
		"thinking": func(r *llm.Request) { r.Thinking = &llm.Thinking{} },
		"code":     func(r *llm.Request) { r.Messages[0].Content[0].Text += "\n```\nx == y\n```" },
		"points":   func(r *llm.Request) { r.Messages[0].Content[0].Text += "\n1. here\n2) there\n- where" },
		"script": func(r *llm.Request) {
			r.Messages[0].Content[0].Text = "Расскажите об этом городе."
		},
	} {
		r := ask("Tell me about the town.")
		edit(r)
		if d := difficulty.Estimate(r); d <= base || d > 1 {
			t.Errorf("%s: %.3f, without it %.3f", name, d, base)
		}
	}
	off := ask("Tell me about the town.")
	off.Thinking = &llm.Thinking{Off: true}
	if d := difficulty.Estimate(off); d != base {
		t.Errorf("reasoning that is off: %v, not %v", d, base)
	}
}

// Whatever a request lacks, there is an estimate.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("why ", 1<<20)
	for name, r := range map[string]*llm.Request{
		"empty":      {},
		"raw":        {Raw: "<s>[INST] Prove it. [/INST]"},
		"no text":    {Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Image}}}}},
		"assistant":  {Messages: []llm.Message{{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: "Yes"}}}}},
		"huge":       ask(huge),
		"huge turns": {System: []string{huge, huge}, Messages: ask(huge).Messages},
		"broken":     ask("\xff\xfe why?"),
	} {
		if d := difficulty.Estimate(r); !(d > 0 && d <= 1) {
			t.Errorf("%s: %v", name, d)
		}
	}
	if a, b := difficulty.Estimate(&llm.Request{Raw: "Prove the theorem step by step."}), difficulty.Estimate(&llm.Request{}); a <= b {
		t.Errorf("a raw prompt is not read: %v, %v", a, b)
	}
}

func BenchmarkEstimate(b *testing.B) {
	all := readLabelled(b, "labelled.txt")
	reqs := make([]*llm.Request, len(all))
	for i := range all {
		reqs[i] = ask(all[i].text)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		difficulty.Estimate(reqs[i%len(reqs)])
		i++
	}
}
