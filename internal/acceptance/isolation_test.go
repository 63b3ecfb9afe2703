package acceptance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestIsolationInTime: an account cannot tell by the time of its call whether
// another one has sent the same prompt before.
//
// Three times are taken in turn: of a prompt that another account has just sent, of
// one that nobody has sent, and of one that the same account repeats. The first two
// must not differ by the rank test of Mann and Whitney, the last must, or the test
// could not fail. With -full there are 120 of each, else 3; the fewer say little
// about small differences, and what one slot holds is checked exactly by TestCache.
func TestIsolationInTime(t *testing.T) {
	if testing.Short() || !*full {
		t.Parallel()
	}
	p := startProduct(t)
	n := 3
	if *full {
		n = 120
	}
	owner, other := p.account(t), p.account(t)
	random := rand.New(rand.NewPCG(*seed, 1))
	fresh := func() prompt {
		var b strings.Builder
		for range 40 {
			fmt.Fprintf(&b, "%c%c%c ", 'a'+random.IntN(26), 'a'+random.IntN(26), 'a'+random.IntN(26))
		}
		return say(b.String())
	}
	// ask returns how long a call took, and how many tokens it found read.
	ask := func(c *client, pr prompt) (time.Duration, int) {
		t.Helper()
		begin := time.Now()
		if _, err := converse(t.Context(), c, pr, settings{max: 1}); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		return took, p.Usage(t, c.account, 1)[0].ReusedTokens
	}
	for range 2 {
		ask(owner, fresh())
		ask(other, fresh())
	}
	var foreign, cold, own []float64
	least := math.MaxInt
	for i := range n {
		shared, unseen := fresh(), fresh()
		ask(owner, shared)
		first := []func(){
			func() {
				d, reused := ask(other, shared)
				if reused > 48 { // the template's own head may be; the prompt is longer
					t.Errorf("round %d: another account's prompt is read: %d tokens", i, reused)
				}
				foreign = append(foreign, d.Seconds())
			},
			func() { d, _ := ask(other, unseen); cold = append(cold, d.Seconds()) },
		}
		random.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
		for _, f := range first {
			f()
		}
		ask(owner, shared)
		d, reused := ask(owner, shared)
		own, least = append(own, d.Seconds()), min(least, reused)
	}
	same, hit := rankTest(foreign, cold), rankTest(own, cold)
	t.Logf("n = %d; median seen by another account %.1f ms, by nobody %.1f ms, p = %.3g; the account's own repeat %.1f ms, p = %.3g, at least %d tokens read",
		n, 1000*middle(foreign), 1000*middle(cold), same, 1000*middle(own), hit, least)
	if !*full { // the machine of an ordinary run does much else at the same time
		return
	}
	if same <= 0.001 {
		t.Errorf("the time tells what another account has sent: p = %.3g", same)
	}
	if hit > 0.001 {
		t.Errorf("the account's own repeat cannot be told from a new prompt: p = %.3g; the check could not fail", hit)
	}
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// rankTest is the two-sided p of the rank test of Mann and Whitney, by the normal
// approximation with ties.
func rankTest(a, b []float64) float64 {
	type value struct {
		v     float64
		first bool
	}
	var all []value
	for _, v := range a {
		all = append(all, value{v, true})
	}
	for _, v := range b {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(x, y value) int {
		switch {
		case x.v < y.v:
			return -1
		case x.v > y.v:
			return 1
		}
		return 0
	})
	n, m := float64(len(a)), float64(len(b))
	var ranks, ties float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		for k := i; k < j; k++ {
			if all[k].first {
				ranks += float64(i+j+1) / 2
			}
		}
		d := float64(j - i)
		ties += d*d*d - d
		i = j
	}
	u := ranks - n*(n+1)/2
	spread := math.Sqrt(n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1))))
	if spread == 0 {
		return 1
	}
	z := max(math.Abs(u-n*m/2)-0.5, 0) / spread
	return math.Erfc(z / math.Sqrt2)
}

func TestRankTest(t *testing.T) {
	t.Parallel()
	var a, b, c []float64
	for i := range 100 {
		a, b, c = append(a, float64(2*i)), append(b, float64(2*i+1)), append(c, float64(2*i+60))
	}
	if p := rankTest(a, b); p < 0.5 {
		t.Errorf("alike: p = %g", p)
	}
	if p := rankTest(a, c); p > 1e-6 {
		t.Errorf("apart: p = %g", p)
	}
	// By hand: U = 2 of 5 and 5, z = 10/4.787, p = 0.0367.
	if p := rankTest([]float64{1.1, 2.2, 3.3, 4.4, 5.5}, []float64{4, 6, 7, 8, 9}); math.Abs(p-0.0367) > 0.0001 {
		t.Errorf("p = %g", p)
	}
}
