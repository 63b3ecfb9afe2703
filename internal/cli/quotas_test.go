package cli_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func TestQuotas(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	outcrop(t, data, "models", "list")
	const model, dev = "anthropic.claude-v2", "222233334444"
	ask := func(value int64) quota.Request {
		t.Helper()
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(data, "outcrop.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s, err := quota.Open(t.Context(), quota.Config{Records: db})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Ask(t.Context(), quota.Request{Account: dev, Region: "us-east-1", Model: model, Kind: quota.Tokens, Value: value, By: "arn:aws:iam::222233334444:user/alice"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	type setting struct {
		Account, Region, Model, Principal, Kind string
		Value, Burst                            int64
		SetBy                                   string `json:"set_by"`
	}
	list := func(args ...string) []setting {
		t.Helper()
		return decode[[]setting](t, outcrop(t, data, append([]string{"quotas", "list", "--json"}, args...)...))[len(quota.Kinds()):]
	}
	type request struct {
		ID, Status string
		Now, Value int64
	}
	requests := func(args ...string) []request {
		t.Helper()
		return decode[[]request](t, outcrop(t, data, append([]string{"quotas", "requests", "--json"}, args...)...))
	}
	says := func(part string, args ...string) {
		t.Helper()
		if r := outcrop(t, data, append([]string{"quotas"}, args...)...); r.status != 0 || !strings.Contains(r.out, part) {
			t.Errorf("%v: status %d, %s%s; want %q", args, r.status, r.out, r.err, part)
		}
	}
	fails := func(code int, part string, args ...string) {
		t.Helper()
		r := outcrop(t, data, append([]string{"quotas"}, args...)...)
		if r.status != code || !strings.Contains(r.err, part) {
			t.Errorf("%v: status %d, %s; want %d with %q", args, r.status, r.err, code, part)
		}
	}
	fails(2, "concurrent-requests", "set", "wishes", "3")
	fails(2, "VALUE", "set", "tokens-per-minute", "many")
	fails(2, "12 digits", "set", "tokens-per-minute", "3", "--account", "1")
	fails(2, "no AWS region", "set", "tokens-per-minute", "3", "--region", "moon")
	fails(2, "ARN", "set", "tokens-per-minute", "3", "--principal", "ann")
	fails(1, "outcrop models list", "set", "tokens-per-minute", "3", "--model", "acme.model")
	fails(1, "was not set", "set", "tokens-per-minute", "default", "--account", dev)
	fails(1, "outcrop quotas requests", "approve", "0")
	if got := list(); len(got) != 0 {
		t.Errorf("a new installation has %+v", got)
	}

	says("1000", "set", "tokens-per-minute", "1000", "--account", dev, "--model", model)
	says("unlimited", "set", "concurrent-requests", "unlimited")
	says("60", "set", "requests-per-minute", "60", "--burst", "20", "--account", dev, "--principal", "*")
	says("each", "list")
	says("unlimited", "list", "--account", dev)
	if got := list("--account", dev); len(got) != 3 || got[2].Model != model || got[2].Value != 1000 || !strings.HasPrefix(got[2].SetBy, "operator") || got[0].Value != -1 || got[1].Burst != 20 {
		t.Errorf("the settings are %+v", got)
	}

	first := ask(5000)
	if got := requests(); len(got) != 1 || got[0].ID != first.ID || got[0].Now != 1000 || got[0].Value != 5000 {
		t.Errorf("the requests are %+v", got)
	}
	says("DENIED", "deny", first.ID)
	fails(1, "answered before", "approve", first.ID)
	second := ask(5000)
	says(second.ID, "requests")
	says("APPROVED", "approve", second.ID)
	if got := list("--account", dev); len(got) != 4 || got[3].Region != "us-east-1" || got[3].Value != 5000 {
		t.Errorf("after an approval the settings are %+v", got)
	}
	third := ask(6000)
	says("7000", "set", "tokens-per-minute", "7000", "--account", dev, "--model", model, "--region", "us-east-1")
	if got := requests("--all"); len(got) != 3 || len(requests()) != 0 || got[0].ID != third.ID && got[1].ID != third.ID {
		t.Errorf("after a higher value the requests are %+v", got)
	}
	says("default", "set", "tokens-per-minute", "default", "--account", dev, "--model", model, "--region", "us-east-1")
	if got := list("--account", dev); len(got) != 3 {
		t.Errorf("after the end of a setting: %+v", got)
	}
}
