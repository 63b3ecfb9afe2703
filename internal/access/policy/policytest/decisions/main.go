// Command decisions prints random policies and requests with what the evaluator of
// package policy says about them, for a judge from outside. It is a tool of the
// end-to-end tests.
//
// Each line is a JSON object: a principal, policies of several kinds, requests, and
// for each request a text with one letter per policy: A it allows, D it denies, N
// it says nothing.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
)

// batch is one line.
type batch struct {
	Principal string    `json:"principal"`
	Policies  []text    `json:"policies"`
	Requests  []request `json:"requests"`
	Decisions []string  `json:"decisions"` // of each request
}

type text struct {
	Kind   string          `json:"kind"`
	Policy json.RawMessage `json:"policy"`
}

type request struct {
	Action   string          `json:"action"`
	Resource string          `json:"resource"`
	Account  string          `json:"account"` // of the resource
	Keys     policytest.Keys `json:"keys"`
}

// requestsPerBatch is how many requests meet the same policies.
const requestsPerBatch = 16

func main() {
	n := flag.Int("n", 1000, "how many decisions to print, one for each policy and request; the last line may have some more")
	seed := flag.Uint64("seed", 1, "which policies and requests to make")
	flag.Parse()
	if err := run(*n, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "decisions:", err)
		os.Exit(1)
	}
}

func run(n int, seed uint64) error {
	out := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	m := policytest.NewMaker(seed, policytest.Judged)
	for made := 0; made < n; {
		b, err := newBatch(m)
		if err != nil {
			return err
		}
		if err := enc.Encode(b); err != nil {
			return err
		}
		made += len(b.Policies) * len(b.Requests)
	}
	return out.Flush()
}

func newBatch(m *policytest.Maker) (*batch, error) {
	m.Topic()
	principal := m.Principal()
	kinds := []policy.Kind{
		policy.Identity, policy.Identity, policy.Boundary, policy.ServiceControl, policy.ServiceControl, policy.Resource, policy.Endpoint,
	}
	if principal.RoleARN != "" {
		kinds = append(kinds, policy.Session)
	}
	b := &batch{Principal: principal.ARN}
	var documents []*policy.Document
	for _, kind := range kinds {
		p := m.Policy(kind)
		d, err := policy.Parse(p, kind)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, p)
		}
		documents = append(documents, d)
		b.Policies = append(b.Policies, text{kind.String(), p})
	}
	for range requestsPerBatch {
		r := m.Request(principal)
		account := principal.Account
		if parts := strings.SplitN(r.Resource, ":", 6); len(parts) == 6 && parts[4] != "" {
			account = parts[4]
		}
		b.Requests = append(b.Requests, request{r.Action, r.Resource, account, r.Keys.(policytest.Keys)})
		var decisions strings.Builder
		for _, d := range documents {
			decisions.WriteByte(d.Evaluate(&r).Effect.String()[0])
		}
		b.Decisions = append(b.Decisions, decisions.String())
	}
	return b, nil
}
