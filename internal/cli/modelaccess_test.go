package cli_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func TestModelAccess(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	outcrop(t, data, "models", "list")
	const model, dev = "anthropic.claude-v2", "222233334444"
	accept := func() {
		t.Helper()
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(data, "outcrop.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s, err := agreement.Open(t.Context(), agreement.Config{Records: db})
		if err != nil {
			t.Fatal(err)
		}
		terms := agreement.Terms{Weights: "smollm2-135m-instruct", License: "Apache-2.0", Digest: "e260fc4f90d87d536112487a26fb63281a80f2331a4bed0c476375b30a1a87bf"}
		if err := s.Accept(t.Context(), dev, model, "arn:aws:iam::222233334444:user/alice", terms); err != nil {
			t.Fatal(err)
		}
	}
	type view struct {
		Account, Model, Status, License string
		AcceptedBy                      string `json:"accepted_by"`
		ApprovedBy                      string `json:"approved_by"`
		Regions                         []string
		MonthlyTokens                   int64 `json:"monthly_tokens"`
	}
	list := func(args ...string) []view {
		t.Helper()
		return decode[[]view](t, outcrop(t, data, append([]string{"models", "access", "list", "--json"}, args...)...))
	}
	fails := func(code int, part string, args ...string) {
		t.Helper()
		r := outcrop(t, data, append([]string{"models", "access"}, args...)...)
		if r.status != code || !strings.Contains(r.err, part) {
			t.Errorf("%v: status %d, %s; want %d with %q", args, r.status, r.err, code, part)
		}
	}
	fails(1, "has not accepted the terms", "approve", model, "--account", dev)
	fails(1, "no access to", "end", model, "--account", dev)
	fails(1, "needs no agreement", "approve", "amazon.nova-lite-v1:0", "--account", dev)
	fails(1, "outcrop models list", "approve", "acme.model", "--account", dev)
	fails(2, "12 digits", "approve", model)
	fails(2, "no AWS region", "approve", model, "--account", dev, "--region", "moon")
	fails(2, "12 digits", "mode", "12")
	fails(2, "no way of approval", "mode", dev, "whim")
	fails(2, "ACCOUNT is missing", "mode")

	accept()
	fails(2, "negative", "approve", model, "--account", dev, "--monthly-tokens", "-1")
	if w := list("--waiting"); len(w) != 1 || w[0].Account != dev || w[0].Model != model || w[0].Status != "PENDING" || w[0].License != "Apache-2.0" || !strings.HasSuffix(w[0].AcceptedBy, "/alice") {
		t.Errorf("waiting: %+v", w)
	}
	outcrop(t, data, "models", "access", "approve", model, "--account", dev, "--region", "us-east-1,eu-west-1", "--monthly-tokens", "1000")
	all := list("--account", dev)
	if len(all) != 1 || all[0].Status != "AVAILABLE" || all[0].ApprovedBy == "" || len(all[0].Regions) != 2 || all[0].MonthlyTokens != 1000 {
		t.Errorf("approved: %+v", all)
	}
	if len(list("--waiting")) != 0 || len(list("--account", "333344445555")) != 0 {
		t.Error("something waits, or another account has it")
	}
	if r := outcrop(t, data, "models", "access", "list"); !strings.Contains(r.out, "AVAILABLE") {
		t.Errorf("%s", r.out)
	}
	outcrop(t, data, "models", "access", "end", model, "--account", dev)
	if all := list(); len(all) != 1 || all[0].Status != "NOT_AVAILABLE" {
		t.Errorf("ended: %+v", all)
	}
	if r := outcrop(t, data, "models", "access", "mode", dev); !strings.Contains(r.out, "by-approver") {
		t.Errorf("%s", r.out)
	}
	if r := outcrop(t, data, "models", "access", "mode", dev, "automatic"); !strings.Contains(r.out, "automatic") {
		t.Errorf("%s", r.out)
	}
	accept()
	if all := list(); len(all) != 1 || all[0].Status != "AVAILABLE" {
		t.Errorf("approved automatically: %+v", all)
	}
}
