package acceptance

import (
	"strings"
	"sync"
	"testing"
)

// TestCache checks that no account is served from what another one left behind.
func TestCache(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	sentences, accounts := 24, 4 // more accounts than there are slots: every slot changes hands
	if *full {
		sentences, accounts = 200, 9
	}
	long := say("Read this: " + strings.Repeat("The keeper counts the ships before he lights the lamp. ", sentences))
	s := settings{max: 1}
	ask := func(t *testing.T, c *client, pr prompt) (input, reused int) {
		t.Helper()
		got, err := converse(t.Context(), c, pr, s)
		if err != nil {
			t.Fatal(err)
		}
		r := p.Usage(t, c.account, 1)
		if len(r) != 1 || r[0].InputTokens != got.input {
			t.Fatalf("told %d input tokens, recorded %+v", got.input, r)
		}
		return r[0].InputTokens, r[0].ReusedTokens
	}
	first := p.account(t)
	input, reused := ask(t, first, long)
	if reused != 0 {
		t.Errorf("the first request reuses %d tokens", reused)
	}
	_, again := ask(t, first, long)
	if again < input-2 {
		t.Errorf("the same account's repeat reuses %d of %d tokens: the check could not fail", again, input)
	}
	t.Logf("%d tokens: the account's own repeat reuses %d", input, again)
	for i := range accounts {
		c := p.account(t)
		if _, n := ask(t, c, long); n != 0 {
			t.Errorf("account %d reuses %d tokens of another one's identical prompt", i+2, n)
		}
	}
	if _, n := ask(t, first, long); n != 0 {
		t.Errorf("the first account reuses %d tokens of a slot that others had in between", n)
	}
	t.Logf("%d more accounts and the first again, after them: 0 reused", accounts)

	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		short := say("Read this: " + strings.Repeat("The keeper counts the ships. ", 8))
		clients := make([]*client, 2*accounts)
		for i := range clients {
			clients[i] = p.account(t)
			wg.Go(func() {
				if _, err := converse(t.Context(), clients[i], short, s); err != nil {
					t.Errorf("account %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		total := 0
		for _, c := range clients {
			for _, r := range p.Usage(t, c.account, 10) {
				total += r.ReusedTokens
			}
		}
		if total != 0 {
			t.Errorf("%d tokens reused between accounts", total)
		}
		t.Logf("%d accounts with one prompt at the same time: %d tokens reused", len(clients), total)
	})
}
