package storetest

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/idempotency"
)

func token(name, account string, n int) idempotency.Entry {
	return idempotency.Entry{
		Account: account, Region: regionA, Operation: "bedrock:CreateInferenceProfile", Token: name,
		Hash: sha256.Sum256([]byte(name)), Status: 201, Body: []byte("{\"a\":\"\x00\xff\"}"), Created: at(n),
	}
}

func testTokens(t *testing.T, s Suite) {
	t.Run("round trip", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		empty := token("empty", accountA, 2)
		empty.Body = []byte{}
		for _, want := range []idempotency.Entry{token("full", accountA, 1), empty} {
			must(t, st.PutToken(t.Context(), want))
			got, err := st.GetToken(t.Context(), want.Account, want.Region, want.Operation, want.Token)
			must(t, err)
			same(t, "GetToken", got, want)
		}
	})
	t.Run("taken", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		first := token("tok", accountA, 1)
		must(t, st.PutToken(t.Context(), first))
		second := token("tok", accountA, 2)
		second.Body, second.Hash = []byte("other"), [32]byte{1}
		if err := st.PutToken(t.Context(), second); !errors.Is(err, idempotency.ErrExists) {
			t.Errorf("PutToken of a taken token = %v, want idempotency.ErrExists", err)
		}
		got, err := st.GetToken(t.Context(), first.Account, first.Region, first.Operation, first.Token)
		must(t, err)
		same(t, "GetToken after a refused PutToken", got, first)
	})
	t.Run("another account, region or operation", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		e := token("tok", accountA, 1)
		must(t, st.PutToken(t.Context(), e))
		for name, other := range map[string]idempotency.Entry{
			"account":   {Account: accountB, Region: e.Region, Operation: e.Operation, Token: e.Token},
			"region":    {Account: e.Account, Region: regionB, Operation: e.Operation, Token: e.Token},
			"operation": {Account: e.Account, Region: e.Region, Operation: "bedrock:CreateGuardrail", Token: e.Token},
			"token":     {Account: e.Account, Region: e.Region, Operation: e.Operation, Token: "TOK"},
		} {
			if _, err := st.GetToken(t.Context(), other.Account, other.Region, other.Operation, other.Token); !errors.Is(err, idempotency.ErrNotFound) {
				t.Errorf("GetToken with another %s = %v, want idempotency.ErrNotFound", name, err)
			}
			if err := st.PutToken(t.Context(), other); err != nil {
				t.Errorf("PutToken with another %s: %v", name, err)
			}
		}
	})
	t.Run("drop", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		for n, name := range []string{"old", "edge", "new"} {
			must(t, st.PutToken(t.Context(), token(name, accountA, n)))
		}
		must(t, st.DropTokens(t.Context(), at(1)))
		for name, kept := range map[string]bool{"old": false, "edge": true, "new": true} {
			e := token(name, accountA, 0)
			_, err := st.GetToken(t.Context(), e.Account, e.Region, e.Operation, e.Token)
			if kept != (err == nil) || (!kept && !errors.Is(err, idempotency.ErrNotFound)) {
				t.Errorf("GetToken(%s) after DropTokens = %v, want kept: %v", name, err, kept)
			}
		}
		must(t, st.DropTokens(t.Context(), at(1).Add(time.Hour)))
		must(t, st.PutToken(t.Context(), token("new", accountA, 5))) // free again
	})
}
