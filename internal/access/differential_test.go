package access_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/accesstest"
	"github.com/outcrop/outcrop/internal/access/policy"
)

var (
	full = flag.Bool("full", false, "make 1,000,000 random decisions instead of 4,000")
	seed = flag.Uint64("seed", 1, "where random worlds start")
)

// worlds is how many random worlds a test goes through.
func worlds() int {
	if *full {
		return 1_000_000
	}
	return 4_000
}

// eachWorld calls f with random worlds, on a few goroutines.
func eachWorld(t *testing.T, n int, f func(r *rand.Rand, w *accesstest.World)) {
	t.Helper()
	const workers = 4
	var all sync.WaitGroup
	for i := range workers {
		r := rand.New(rand.NewPCG(*seed, uint64(i)))
		all.Go(func() {
			for i := 0; i < n/workers && !t.Failed(); i++ {
				f(r, accesstest.Random(r))
			}
		})
	}
	all.Wait()
}

// compile is w.Compile for policies that must be right.
func compile(t *testing.T, w *accesstest.World) *accesstest.Compiled {
	t.Helper()
	c, err := w.Compile()
	if err != nil {
		t.Fatalf("%v in %s", err, show(w))
	}
	return c
}

// decide asks Decide about a world.
func decide(t *testing.T, c *accesstest.Compiled) access.Decision {
	t.Helper()
	d, err := new(access.Authorizer).Decide(t.Context(), c.Request())
	if err != nil {
		t.Fatalf("%v in %s", err, show(c.World))
	}
	return d
}

// show writes a world out.
func show(w *accesstest.World) string {
	text, err := json.MarshalIndent(w, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestDifferential compares Decide and Authorize with the naive evaluation of the
// whole order.
func TestDifferential(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	eachWorld(t, worlds(), func(_ *rand.Rand, w *accesstest.World) {
		c := compile(t, w)
		want := accesstest.Naive(w)
		d := decide(t, c)
		if d.Outcome.String() != want {
			t.Errorf("Decide says %v by %v, the naive evaluation says %s: %s", d.Outcome, d.By, want, show(w))
			return
		}
		kind := want
		if d.Outcome != access.Allowed {
			kind += " by " + d.By.String()
		} else if d.Root {
			kind += " to root"
		} else {
			kind += " by " + d.By.String()
		}
		mu.Lock()
		seen[kind]++
		mu.Unlock()
		isWeb := w.Principal.Account == "" && w.Principal.Session != nil
		if isWeb || !slices.Contains(access.OpenActions(), w.Action) {
			cl, need := c.Call()
			err := c.Authorizer().Authorize(t.Context(), cl, need)
			if (err == nil) != (want == "allowed" && !accesstest.Closed(w)) || cl.Decision.Allowed != (err == nil) || !cl.Decision.Made {
				t.Errorf("Authorize says %v, the naive evaluation %s: %s", err, want, show(w))
			}
		}
	})
	for _, kind := range []string{
		"allowed to root", "allowed by identity-based policy", "allowed by resource-based policy", "allowed by role trust policy",
		"implicitDeny by service control policy", "implicitDeny by resource-based policy", "implicitDeny by role trust policy",
		"implicitDeny by identity-based policy", "implicitDeny by permissions boundary", "implicitDeny by session policy",
		"implicitDeny by VPC endpoint policy",
		"explicitDeny by service control policy", "explicitDeny by resource-based policy", "explicitDeny by role trust policy",
		"explicitDeny by identity-based policy", "explicitDeny by permissions boundary", "explicitDeny by session policy",
		"explicitDeny by VPC endpoint policy",
	} {
		if seen[kind] < worlds()/2000 {
			t.Errorf("%d worlds ended %s, too few to tell anything", seen[kind], kind)
		}
	}
	t.Logf("%v", seen)
}

const denySome = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["bedrock:*","sts:*"],"Resource":"*"}]}`

// TestNarrowing adds to random worlds what may only ever take rights away.
func TestNarrowing(t *testing.T) {
	t.Parallel()
	additions := []struct {
		name string
		add  func(r *rand.Rand, w, from *accesstest.World) bool // false: does not apply
	}{
		{"a deny", func(_ *rand.Rand, w, _ *accesstest.World) bool {
			w.Identity = append(slices.Clone(w.Identity), denySome)
			return true
		}},
		{"another world's denies", func(_ *rand.Rand, w, from *accesstest.World) bool {
			for _, text := range from.Identity {
				if text = denies(t, text); text != "" {
					w.Identity = append(slices.Clone(w.Identity), text)
				}
			}
			return len(from.Identity) > 0
		}},
		{"a level of service control policies", func(_ *rand.Rand, w, from *accesstest.World) bool {
			w.Control = append(slices.Clone(w.Control), from.Control...)
			return len(from.Control) > 0
		}},
		{"a boundary", func(_ *rand.Rand, w, from *accesstest.World) bool {
			had := w.Boundary != ""
			w.Boundary = from.Boundary
			return !had
		}},
		{"a session policy", func(_ *rand.Rand, w, from *accesstest.World) bool {
			had := len(w.Session) > 0 || w.Principal.Session == nil || w.Principal.Type == "FederatedUser"
			w.Session = from.Session
			return !had
		}},
		{"an endpoint policy", func(_ *rand.Rand, w, from *accesstest.World) bool {
			had := w.Source.EndpointPolicy != nil
			w.Source.EndpointPolicy = from.Source.EndpointPolicy
			return !had
		}},
	}
	eachWorld(t, worlds()/10, func(r *rand.Rand, w *accesstest.World) {
		before := decide(t, compile(t, w))
		for _, a := range additions {
			more := *w
			if !a.add(r, &more, accesstest.Random(r)) {
				continue
			}
			after := decide(t, compile(t, &more))
			if after.Outcome == access.Allowed && before.Outcome != access.Allowed ||
				before.Outcome == access.ExplicitDeny && after.Outcome != access.ExplicitDeny {
				t.Errorf("%s turned %v into %v: %s\n%s", a.name, before.Outcome, after.Outcome, show(w), show(&more))
			}
		}
	})
}

// denies turns every statement of a policy into one that denies.
func denies(t *testing.T, text string) string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for _, s := range doc["Statement"].([]any) {
		s.(map[string]any)["Effect"] = "Deny"
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Parse(out, policy.Identity); err != nil {
		t.Fatal(err)
	}
	return string(out)
}
