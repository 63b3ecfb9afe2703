package service

import (
	"slices"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/promptrouter/difficulty"
)

// keyRouter is the name of the condition key of models that are reached through a
// prompt router.
const keyRouter = "bedrock:promptrouterarn"

// useRouter names what a call through a prompt router must be allowed to use: the
// router and, as further needs, all that it may lead to, each as if it were called by
// itself. Which model answers is known only when the request was read, so the
// permission does not depend on the prompt.
func useRouter(c *call.Call, action string, r *catalog.Router) []string {
	for i := range r.Candidates {
		t := r.Candidates[i]
		for _, n := range modelNeeds(action, t) {
			if n.Keys == nil {
				n.Keys = map[string][]string{}
			}
			n.Keys[keyRouter] = []string{r.ARN}
			c.Needs = append(c.Needs, n)
		}
	}
	return []string{r.ARN}
}

// Choose picks the model that answers r where a call went through a prompt router,
// and notes it in the call, which counts for that model; other targets stay as they
// are. name is what the router calls the model, "" without a router.
//
// The stronger model answers when its reply is expected to be better by more than the
// router's quality difference; a model that cannot see pictures answers no request
// with pictures while the other can.
func Choose(c *call.Call, t *catalog.Target, r *llm.Request) (chosen *catalog.Target, name string) {
	router := t.Router
	if router == nil {
		return t, ""
	}
	i := router.Fallback
	if len(router.Candidates) > 1 {
		strong := router.Strongest
		weak := 1 - strong
		i = weak
		if promptrouter.Stronger(difficulty.Estimate(r), router.Difference) {
			i = strong
		}
		if other := 1 - i; pictures(r) && !sees(router.Candidates[i]) && sees(router.Candidates[other]) {
			i = other
		}
	}
	chosen, name = router.Candidates[i], router.Names[i]
	c.RouterARN = router.ARN
	Note(c, name, chosen)
	return chosen, name
}

func sees(t *catalog.Target) bool { return slices.Contains(t.Model.Input, "IMAGE") }

// pictures reports whether a request shows the model a picture.
func pictures(r *llm.Request) bool {
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			b := &r.Messages[i].Content[j]
			if b.Kind == llm.Image {
				return true
			}
			if b.Result != nil && slices.ContainsFunc(b.Result.Content, func(b llm.Block) bool { return b.Kind == llm.Image }) {
				return true
			}
		}
	}
	return false
}
