package cli_test

import (
	"math"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/llm"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	const haiku, lite, native = "anthropic.claude-3-haiku-20240307-v1:0", "us.amazon.nova-lite-v1:0", "huggingface.smollm2-135m-instruct-v1:0"
	e := scripted.New()
	e.Script = func(_ engine.Target, r *llm.Request) *scripted.Reply {
		if len(r.System) != 1 || r.System[0] != "be brief" || *r.Params.MaxTokens != 50 || *r.Params.Temperature != 0.5 {
			t.Errorf("asked %+v", r)
		}
		return &scripted.Reply{Text: "first line\nsecond \x1b[2Jline", InputTokens: 1000}
	}
	s := apptest.Start(t, apptest.Engine(e))
	args := []string{"compare", "--models", haiku + "," + lite + "," + native, "--system", "be brief", "--max-tokens", "50", "--temperature", "0.5", "What is basalt?"}
	type answer struct {
		Model, Text, Error string
		ServedBy           string   `json:"served_by"`
		StopReason         string   `json:"stop_reason"`
		InputTokens        int      `json:"input_tokens"`
		OutputTokens       int      `json:"output_tokens"`
		FirstTokenMS       float64  `json:"first_token_ms"`
		TotalMS            float64  `json:"total_ms"`
		TokensPerSecond    float64  `json:"tokens_per_second"`
		CostUSD            *float64 `json:"cost_usd"`
	}
	all := decode[[]answer](t, outcrop(t, s.Data, append(args, "--json")...))
	for i, model := range []string{haiku, lite, native} {
		a := all[i]
		if a.Model != model || a.Text != "first line\nsecond \x1b[2Jline" || a.StopReason != "end_turn" || a.InputTokens != 1000 || a.OutputTokens != 5 ||
			a.FirstTokenMS <= 0 || a.TotalMS < a.FirstTokenMS || a.TokensPerSecond <= 0 || a.ServedBy == "" || a.Error != "" {
			t.Errorf("%+v", a)
		}
	}
	// Claude 3 Haiku: 0.25 and 1.25 dollars per million.
	if c := all[0].CostUSD; c == nil || math.Abs(*c-(1000*0.25+5*1.25)/1e6) > 1e-12 {
		t.Errorf("cost %v", c)
	}

	r := outcrop(t, s.Data, args...)
	var want strings.Builder
	for _, m := range []string{haiku, lite, native} {
		want.WriteString(m + " | first line\n" + m + " | second [2Jline\n")
	}
	if r.status != 0 || !strings.HasPrefix(r.out, want.String()+"\nMODEL ") || !strings.Contains(r.out, "1000/5") || !strings.Contains(r.out, "0.000256") ||
		!strings.Contains(r.out, haiku+" is a stand-in: smollm2-135m-instruct answered.") {
		t.Errorf("%d %s\n%s", r.status, r.err, r.out)
	}
	for line := range strings.Lines(r.out) {
		if len(line) > 101 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}

	// One that fails leaves the others their answers.
	args[2] = native + ",acme.rock-v1:0"
	r = outcrop(t, s.Data, args...)
	if r.status != 1 || !strings.Contains(r.out, native+" | first line") || !strings.Contains(r.out, "acme.rock-v1:0 failed: ValidationException: ") {
		t.Errorf("%d %s\n%s", r.status, r.err, r.out)
	}
	outcrop(t, s.Data, "faults", "put", "cut", "--type", "stream-break", "--after", "1", "--model", native)
	r = outcrop(t, s.Data, append(args, "--json")...)
	all = decode[[]answer](t, r)
	if r.status != 1 || all[0].Text != "first" || !strings.HasPrefix(all[0].Error, "modelStreamErrorException: ") || all[0].CostUSD != nil {
		t.Errorf("%+v", r)
	}
	outcrop(t, s.Data, "faults", "put", "cut", "--type", "connection-cut", "--after", "1", "--model", native)
	if all := decode[[]answer](t, outcrop(t, s.Data, append(args, "--json")...)); all[0].Text != "first" || !strings.Contains(all[0].Error, "the answer was cut") {
		t.Errorf("%+v", all[0])
	}

	for _, c := range []struct {
		part string
		args []string
	}{
		{"PROMPT is missing", []string{"--models", native}},
		{"1 to 8", []string{"hi"}},
		{"1 to 8", []string{"--models", "a,b,c,d,e,f,g,h,i", "hi"}},
		{"--max-tokens", []string{"--models", native, "--max-tokens", "-1", "hi"}},
	} {
		if r := outcrop(t, s.Data, append([]string{"compare"}, c.args...)...); r.status != 2 || !strings.Contains(r.err, c.part) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
}
