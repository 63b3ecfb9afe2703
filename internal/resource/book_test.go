package resource_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/resource"
)

var _ access.Resources = (*resource.Book)(nil)

const (
	account = "111122223333"
	other   = "444455556666"
	model   = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
	own     = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcdefghij12"
	deny    = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"bedrock:*","Resource":"*"}]}`
)

func open(t *testing.T, cfg resource.Config) *resource.Book {
	t.Helper()
	if cfg.Records == nil {
		cfg.Records = &recordtest.Store{}
	}
	b, err := resource.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, b *resource.Book, arn, caller string) access.Resource {
	t.Helper()
	r, err := b.Resource(t.Context(), arn, caller)
	ok(t, err)
	return r
}

func TestTags(t *testing.T) {
	t.Parallel()
	store := &recordtest.Store{}
	changes := 0
	b := open(t, resource.Config{Records: store, Changed: func() { changes++ }})
	ok(t, b.Create(t.Context(), own, map[string]string{"Team": "a", "stage": "dev"}))
	ok(t, b.Tag(t.Context(), own, map[string]string{"team": "b", "cost": "1"}))
	ok(t, b.Untag(t.Context(), own, []string{"stage", "none", "Cost"}))
	want := map[string]string{"team": "b", "cost": "1"}
	for name, b := range map[string]*resource.Book{"the same book": b, "another": open(t, resource.Config{Records: store})} {
		if got := look(t, b, own, account); !maps.Equal(got.Tags, want) || got.Account != account || got.Policy != nil || !maps.Equal(b.Tags(own), want) {
			t.Errorf("%s: %+v, want tags %v", name, got, want)
		}
	}
	if changes != 3 {
		t.Errorf("%d changes told, want 3", changes)
	}
	ok(t, b.Tag(t.Context(), own, map[string]string{"cost": "1"}))
	ok(t, b.Untag(t.Context(), own, []string{"none"}))
	if changes != 3 {
		t.Error("a change that changes nothing was told")
	}
	ok(t, b.PutPolicy(t.Context(), own, account, deny))
	ok(t, b.Create(t.Context(), own, map[string]string{"new": ""}))
	if got := look(t, b, own, account); got.Policy != nil || !maps.Equal(got.Tags, map[string]string{"new": ""}) {
		t.Errorf("a new resource inherits from an old one: %+v", got)
	}
	ok(t, b.Forget(t.Context(), own))
	if left, err := store.ListRecords(t.Context(), record.Query{Kind: resource.Kind, AllAccounts: true, AllRegions: true}); err != nil || len(left) != 0 {
		t.Errorf("records are left: %v, %v", left, err)
	}
	if b.Tags(own) != nil || b.Tags("no ARN") != nil {
		t.Error("tags of what is gone")
	}
}

func TestTooManyTags(t *testing.T) {
	t.Parallel()
	b := open(t, resource.Config{})
	tags := map[string]string{}
	for i := range resource.MaxTags {
		tags[fmt.Sprint("key", i)] = ""
	}
	ok(t, b.Create(t.Context(), own, tags))
	ok(t, b.Tag(t.Context(), own, map[string]string{"KEY7": "in the place of key7"}))
	if err := b.Tag(t.Context(), own, map[string]string{"one more": ""}); !errors.Is(err, resource.ErrTooManyTags) {
		t.Errorf("51 tags: %v", err)
	}
	tags["one more"] = ""
	if err := b.Create(t.Context(), own, tags); !errors.Is(err, resource.ErrTooManyTags) {
		t.Errorf("51 tags of a new resource: %v", err)
	}
	if got := b.Tags(own); len(got) != resource.MaxTags || got["KEY7"] == "" {
		t.Errorf("tags are %v", got)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	store := &recordtest.Store{}
	b := open(t, resource.Config{Records: store})
	for _, arn := range []string{model, own} {
		ok(t, b.PutPolicy(t.Context(), arn, account, deny))
		if text, err := b.Policy(arn, account); err != nil || text != deny {
			t.Errorf("%s: %s, %v", arn, text, err)
		}
		if r := look(t, open(t, resource.Config{Records: store}), arn, account); r.Policy == nil || string(r.Policy.Text()) != deny {
			t.Errorf("%s: %+v", arn, r)
		}
	}
	// A model's policy concerns the account that put it, a profile's everybody.
	if r := look(t, b, model, other); r.Policy != nil || r.Account != "" {
		t.Errorf("another account's view of a model: %+v", r)
	}
	if r := look(t, b, own, other); r.Policy == nil || r.Account != account {
		t.Errorf("another account's view of a profile: %+v", r)
	}
	if _, err := b.Policy(model, other); !errors.Is(err, resource.ErrNoPolicy) {
		t.Errorf("another account reads the policy of a model: %v", err)
	}
	if err := b.DeletePolicy(t.Context(), model, other); !errors.Is(err, resource.ErrNoPolicy) {
		t.Errorf("another account deletes it: %v", err)
	}
	ok(t, b.DeletePolicy(t.Context(), model, account))
	if r := look(t, b, model, account); r.Policy != nil {
		t.Errorf("a deleted policy holds: %+v", r)
	}
	for name, text := range map[string]string{
		"no JSON":      "{",
		"no principal": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"bedrock:*","Resource":"*"}]}`,
		"too long":     strings.Replace(deny, "2012", strings.Repeat(" ", policy.MaxResource), 1),
	} {
		if _, is := errors.AsType[*policy.Error](b.PutPolicy(t.Context(), model, account, text)); !is {
			t.Errorf("%s: no policy error", name)
		}
	}
	if err := b.PutPolicy(t.Context(), "no ARN", account, deny); err == nil {
		t.Error("a policy on no ARN")
	}
	if _, err := b.Policy("no ARN", account); !errors.Is(err, resource.ErrNoPolicy) {
		t.Errorf("policy of no ARN: %v", err)
	}
	if r := look(t, b, "*", account); r.Policy != nil || r.Account != "" || r.Tags != nil {
		t.Errorf("facts of *: %+v", r)
	}
}

// A policy that cannot be read any more must not pass for none.
func TestBrokenPolicy(t *testing.T) {
	t.Parallel()
	store := &recordtest.Store{}
	k := record.Key{Account: account, Region: "us-east-1", Kind: resource.Kind, Name: model}
	ok(t, store.ApplyRecords(t.Context(), time.Now(), record.Change{Key: k, Body: []byte(`{"policy":"{"}`)}))
	b := open(t, resource.Config{Records: store})
	if _, err := b.Resource(t.Context(), model, account); err == nil {
		t.Error("a broken policy decides nothing, and nobody is told")
	}
	ok(t, b.DeletePolicy(t.Context(), model, account))
	look(t, b, model, account)
}

func TestExists(t *testing.T) {
	t.Parallel()
	failing := errors.New("disk on fire")
	b := open(t, resource.Config{Exists: map[string]resource.Exists{
		"application-inference-profile": func(_ context.Context, a, region, name string) (bool, error) {
			return a == account && region == "us-east-1" && name == "abcdefghij12", nil
		},
		"guardrail": func(context.Context, string, string, string) (bool, error) { return false, failing },
	}})
	for arn, want := range map[string]struct {
		there, known bool
		err          error
	}{
		own:                                   {true, true, nil},
		strings.Replace(own, "12", "13", -1):  {false, true, nil},
		strings.Replace(own, "1:", "2:", 1):   {false, true, nil},
		strings.Replace(own, "bed", "red", 1): {},
		model:                                 {},
		"no ARN":                              {},
		"arn:aws:bedrock:us-east-1:111122223333:guardrail/a": {false, true, failing},
		"arn:aws:bedrock:us-east-1:111122223333:agent/a":     {},
	} {
		there, known, err := b.Exists(t.Context(), arn)
		if there != want.there || known != want.known || !errors.Is(err, want.err) {
			t.Errorf("%s: %v, %v, %v", arn, there, known, err)
		}
	}
}

// TestRun follows another process, and forgets what is gone, but not at once.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &recordtest.Store{}
		var gone atomic.Bool
		var told atomic.Int32
		b := open(t, resource.Config{Records: store, Changed: func() { told.Add(1) }, Exists: map[string]resource.Exists{
			"application-inference-profile": func(context.Context, string, string, string) (bool, error) { return !gone.Load(), nil },
		}})
		second := open(t, resource.Config{Records: store})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()

		ok(t, second.Tag(t.Context(), own, map[string]string{"a": "b"}))
		ok(t, second.PutPolicy(t.Context(), model, account, deny))
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if r := look(t, b, own, account); r.Tags["a"] != "b" || told.Load() == 0 {
			t.Errorf("not followed: %+v", r)
		}
		store.Fail(errors.New("disk on fire"))
		time.Sleep(time.Second)
		store.Fail(nil)
		gone.Store(true)
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if b.Tags(own) == nil {
			t.Error("forgotten within the hour")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if b.Tags(own) != nil {
			t.Error("not forgotten")
		}
		if r := look(t, b, model, account); r.Policy == nil {
			t.Error("a model's policy was forgotten")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkResource(b *testing.B) {
	book, err := resource.Open(b.Context(), resource.Config{Records: &recordtest.Store{}})
	if err != nil {
		b.Fatal(err)
	}
	if err := book.Tag(b.Context(), own, map[string]string{"a": "b"}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Resource(b.Context(), own, account); err != nil {
			b.Fatal(err)
		}
	}
}
