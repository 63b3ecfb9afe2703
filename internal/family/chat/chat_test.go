package chat

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// told writes a conversation on one line.
func told(r *llm.Request) string {
	var b strings.Builder
	for _, s := range r.System {
		b.WriteString("S:" + s + "|")
	}
	for _, m := range r.Messages {
		b.WriteString(strings.ToUpper(string(m.Role[:1])) + ":" + m.Content[0].Text + "|")
	}
	return b.String()
}

func TestInst(t *testing.T) {
	t.Parallel()
	for prompt, want := range map[string]string{
		"plain\n\ntext ":                               "U:plain\n\ntext |",
		"[INST] a [/INST]":                             "U:a|",
		"<s>[INST]a[/INST]":                            "U:a|",
		"<s> [INST]  a\n b  [/INST]":                   "U: a\n b |",
		"[INST] a [/INST] b </s><s>[INST] c [/INST] d": "U:a|A:b|U:c|A:d|",
		"[INST] a [/INST]b</s>[INST] c [/INST]":        "U:a|A:b|U:c|",
		"[INST] a [/INST] [INST] c [/INST] ":           "U:a\n\nc|",
		"[INST] a [/INST] b\nc ":                       "U:a|A:b\nc |",
		"[INST] a [/INST] b</s>":                       "U:a|A:b|",
		"[INST] <<SYS>>\ns\nt\n<</SYS>>\n\na [/INST]":  "S:s\nt|U:a|",
		"[INST] <<SYS>><</SYS>>a [/INST]":              "U:a|",
		"[INST] <<SYS>>s a [/INST]":                    "U:<<SYS>>s a|",
		"[INST] a <<SYS>>s<</SYS>> [/INST]":            "U:a <<SYS>>s<</SYS>>|",
		"be kind [INST] a":                             "S:be kind|U:a|",
		"[INST][/INST]":                                "U:|",
	} {
		r := &llm.Request{}
		if Inst(r, prompt); told(r) != want {
			t.Errorf("%q: %q, want %q", prompt, told(r), want)
		}
	}
}

func TestDataURI(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"data:image/png;base64,YQ==":            "png a",
		"data:image/JPG;base64,YQ==":            "jpeg a",
		"data:image/webp;base64,YQ==":           "webp a",
		"data:image/gif;base64,YQ==":            "gif a",
		"data:image/bmp;base64,YQ==":            "",
		"data:image/png;base64,":                "",
		"data:image/png;base64,!":               "",
		"data:image/png,a":                      "",
		"data:text/plain;base64,YQ==":           "",
		"https://example.com/a.png":             "",
		"http://169.254.169.254/;base64,latest": "",
		"":                                      "",
	} {
		root, err := body.Parse([]byte(`{"u":"` + in + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		m, got := DataURI(root.Get("u")), ""
		if m != nil {
			got = m.Format + " " + string(m.Data)
		}
		if got != want || (root.Err() == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, root.Err())
		}
	}
}

func TestAppendNumber(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{0: "0", -0.5: "-0.5", math.Inf(-1): "-1e+300", math.Inf(1): "1e+300"} {
		if got := string(AppendNumber(nil, f)); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
	if got := string(AppendNumber(nil, math.NaN())); got != "0" {
		t.Errorf("NaN: %s", got)
	}
}

func BenchmarkDelta(b *testing.B) {
	w := &Writer{Open: `{"id":"a",`, OpenChunk: `{"id":"a",`, Piece: "delta", Finish: "finish_reason", Logprobs: true}
	st := w.Stream()
	emit := func([]byte) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := st.Chunks(llm.Event{Kind: llm.Delta, Text: " quantum"}, emit); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInstHostile reads prompts of many short turns, some of one role in a
// row: the cost must grow as their length.
func BenchmarkInstHostile(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		prompt := strings.Repeat("[INST]a[/INST]", n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.SetBytes(int64(len(prompt)))
			for b.Loop() {
				Inst(&llm.Request{}, prompt)
			}
		})
	}
}
