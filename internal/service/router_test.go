package service_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/service"
)

const router = "arn:aws:bedrock:us-east-1:111122223333:prompt-router/abcdefghij12"

// routed is a target through a router between a small and a large model.
func routed(fallback int, difference float64) *catalog.Target {
	r := &catalog.Router{ARN: router, Difference: difference, Fallback: fallback, Strongest: 1, Names: []string{"small-arn", "large-arn"}, Candidates: []*catalog.Target{
		{Model: catalog.Model{ID: "small", Input: []string{"TEXT"}}, ModelARN: "small-model", Resources: []string{"small-model"}},
		{Model: catalog.Model{ID: "large", Input: []string{"TEXT", "IMAGE"}, Lifecycle: catalog.Lifecycle{Status: catalog.Legacy}}, ModelARN: "large-model", ProfileARN: profile, Resources: []string{profile}, Destinations: []string{"here", "there"}},
	}}
	t := *r.Candidates[fallback]
	t.Router = r
	return &t
}

func question(blocks ...llm.Block) *llm.Request {
	return &llm.Request{Messages: []llm.Message{{Role: llm.User, Content: blocks}}}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	text := func(s string) llm.Block { return llm.Block{Kind: llm.Text, Text: s} }
	easy, hard := text("What is the capital of France?"), text("Prove step by step that there are infinitely many primes, and compare two proofs.")
	picture := llm.Block{Kind: llm.Image, Media: &llm.Media{}}
	shown := llm.Block{Kind: llm.ToolResult, Result: &llm.Result{Content: []llm.Block{picture}}}
	for name, tc := range map[string]struct {
		difference float64
		r          *llm.Request
		want       string
	}{
		"easy":                       {0, question(easy), "small"},
		"hard":                       {0, question(hard), "large"},
		"hard, but any loss will do": {100, question(hard), "small"},
		"a picture":                  {100, question(easy, picture), "large"},
		"a picture of a tool":        {100, question(shown, easy), "large"},
	} {
		for fallback := range 2 {
			c := newCall()
			got, called := service.Choose(c, routed(fallback, tc.difference), tc.r)
			if got.Model.ID != tc.want || called != tc.want+"-arn" || got.Router != nil {
				t.Errorf("%s, fallback %d: %s as %s", name, fallback, got.Model.ID, called)
			}
			if c.RouterARN != router || c.ModelID != called || c.ModelARN != tc.want+"-model" || c.Legacy != (tc.want == "large") {
				t.Errorf("%s: the call is noted as %+v", name, c)
			}
		}
	}
	alone := routed(0, 0)
	alone.Router.Candidates = alone.Router.Candidates[:1]
	if got, _ := service.Choose(newCall(), alone, question(hard)); got.Model.ID != "small" {
		t.Errorf("the only model left: %s", got.Model.ID)
	}
	c := newCall()
	if got, called := service.Choose(c, &catalog.Target{ModelARN: model}, question(hard)); got.ModelARN != model || called != "" || c.RouterARN != "" {
		t.Errorf("without a router: %s, %q", got.ModelARN, called)
	}
}

func TestUseRouter(t *testing.T) {
	t.Parallel()
	c := newCall()
	through := routed(0, 0)
	got := service.UseModel(c, "bedrock:InvokeModel", router, through)
	want := []call.Need{
		{Action: "bedrock:InvokeModel", Resources: []string{"small-model"}, Keys: map[string][]string{"bedrock:promptrouterarn": {router}}},
		{Action: "bedrock:InvokeModel", Resources: []string{profile}, Keys: map[string][]string{"bedrock:promptrouterarn": {router}}},
		{Action: "bedrock:InvokeModel", Resources: []string{"here", "there"}, Keys: map[string][]string{"bedrock:promptrouterarn": {router}, "bedrock:inferenceprofilearn": {profile}}},
	}
	if d := cmp.Diff([]string{router}, got) + cmp.Diff(want, c.Needs); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
