package identity_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
)

const modelARN = "arn:aws:bedrock:us-east-1::foundation-model/"

// acted are the actions and resources of a principal since a time.
func (w *world) acted(acct, entity string, since time.Time) map[string][]string {
	out := map[string][]string{}
	for _, a := range w.Activity(acct, entity, since) {
		out[a.Action] = slices.Sorted(maps.Keys(a.Resources))
	}
	return out
}

func sameActivity(t *testing.T, got, want map[string][]string) {
	t.Helper()
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("activity is %v, want %v", got, want)
	}
}

func TestActivity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	p := userCaller(ana, "")
	t0 := w.now
	invoke := func(model string) call.Need {
		return call.Need{Action: "bedrock:InvokeModel", Resources: []string{modelARN + model}}
	}
	w.Acted(p, t0, invoke("a"), invoke("b"), call.Need{Action: "bedrock:ListGuardrails"})
	w.now = t0.Add(48 * time.Hour)
	w.Acted(p, w.now, invoke("b"), call.Need{Action: "iam:PassRole", Resources: []string{"arn:aws:iam::111122223333:role/app"}})
	w.Acted(&call.Principal{}, w.now, invoke("c")) // nobody
	sameActivity(t, w.acted(acctA, ana.ID, t0.Truncate(time.Second)), map[string][]string{
		"bedrock:InvokeModel": {modelARN + "a", modelARN + "b"}, "bedrock:ListGuardrails": {"*"},
		"iam:PassRole": {"arn:aws:iam::111122223333:role/app"},
	})
	sameActivity(t, w.acted(acctA, ana.ID, t0.Add(time.Hour)), map[string][]string{
		"bedrock:InvokeModel": {modelARN + "b"}, "iam:PassRole": {"arn:aws:iam::111122223333:role/app"},
	})
	sameActivity(t, w.acted(acctB, ana.ID, t0), map[string][]string{})
	if uses := w.ServiceUses(acctA, ana.ID); len(uses) != 0 {
		t.Errorf("what was allowed passes for a use: %+v", uses)
	}
	must(t, w.FlushUses(t.Context()))
	d := w.open(t)
	if got := d.Activity(acctA, ana.ID, t0.Truncate(time.Second)); len(got) != 3 {
		t.Errorf("kept: %+v", got)
	}
	w.now = t0.Add(401 * 24 * time.Hour)
	sameActivity(t, w.acted(acctA, ana.ID, t0.Truncate(time.Second)), map[string][]string{
		"bedrock:InvokeModel": {modelARN + "b"}, "iam:PassRole": {"arn:aws:iam::111122223333:role/app"},
	})
	w.now = t0.Add(403 * 24 * time.Hour)
	d = w.open(t)
	must(t, d.FlushUses(t.Context()))
	if n := w.useRecords(t); n != 0 {
		t.Errorf("%d records of what is forgotten", n)
	}
}

// TestActivityBounds: many and long resources are noted by their types.
func TestActivityBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user(t, acctA, "ana")
	p := userCaller(u, "")
	for i := range 25 {
		w.Acted(p, w.now, call.Need{Action: "bedrock:InvokeModel", Resources: []string{modelARN + fmt.Sprint(i)}})
		w.Acted(p, w.now, call.Need{Action: "bedrock:CreateGuardrail", Resources: []string{fmt.Sprintf("arn:aws:bedrock:us-east-1:111122223333:kind%d/x", i)}})
		if i < 20 {
			w.Acted(p, w.now, call.Need{Action: "bedrock:GetGuardrail", Resources: []string{modelARN + fmt.Sprint(i)}})
		}
	}
	w.Acted(p, w.now, call.Need{Action: "iam:GetRole", Resources: []string{"arn:aws:iam::111122223333:role/" + strings.Repeat("x", 3000)}})
	w.Acted(p, w.now, call.Need{Action: "iam:GetUser", Resources: []string{"arn:aws:iam::111122223333:user/a*b?${x}"}})
	w.Acted(p, w.now, call.Need{Action: "iam:GetGroup", Resources: []string{"no ARN"}})
	got := w.acted(acctA, u.ID, w.now.Truncate(time.Second))
	if len(got["bedrock:GetGuardrail"]) != 20 {
		t.Errorf("20 resources are noted as %q", got["bedrock:GetGuardrail"])
	}
	delete(got, "bedrock:GetGuardrail")
	sameActivity(t, got, map[string][]string{
		"bedrock:InvokeModel": {modelARN + "*"}, "bedrock:CreateGuardrail": {"*"}, "iam:GetRole": {"*"},
		"iam:GetUser": {"arn:aws:iam::111122223333:user/a${*}b${?}${$}{x}"}, "iam:GetGroup": {"no ARN"},
	})
	for i := range 1000 {
		w.Acted(p, w.now, call.Need{Action: fmt.Sprintf("x:Y%d", i), Resources: []string{"arn:aws:iam::111122223333:role/" + strings.Repeat("x", 1000)}})
	}
	must(t, w.FlushUses(t.Context()))
	if n := w.useRecords(t); n != 1 {
		t.Errorf("%d records", n)
	}
	for i := range 5000 {
		w.Acted(p, w.now, call.Need{Action: fmt.Sprintf("z:Y%d", i)})
	}
	if n := len(w.acted(acctA, u.ID, time.Time{})); n != 4096 {
		t.Errorf("%d actions", n)
	}
}

// BenchmarkActed is what noting a permission costs a call.
func BenchmarkActed(b *testing.B) {
	w := newWorld(b)
	p := userCaller(w.user(b, acctA, "ana"), "")
	n := call.Need{Action: "bedrock:InvokeModel", Resources: []string{modelARN + "a"}}
	b.ReportAllocs()
	for b.Loop() {
		w.Acted(p, w.now, n)
	}
}
