package quota_test

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/record/recordtest"
)

// The setting that is most about a call wins; without one, what is shipped.
func TestApplied(t *testing.T) {
	t.Parallel()
	f := open(t)
	applied := func(k quota.Kind) int64 { return f.Applied(ours, "us-east-1", model, k) }
	for _, k := range quota.Kinds() {
		if got, want := applied(k), min(quota.Shipped(k), quota.MaxValue); got != want {
			t.Errorf("%s is %d, want the shipped %d", k, got, want)
		}
	}
	for _, c := range []struct {
		v    quota.Setting
		want int64
	}{
		{quota.Setting{Value: 1}, 1},
		{quota.Setting{Value: 2, Region: "us-east-1"}, 2},
		{quota.Setting{Value: 3, Model: model}, 3},
		{quota.Setting{Value: 4, Account: ours}, 4},
		{quota.Setting{Value: 5, Account: ours, Model: model, Region: "us-east-1"}, 5},
		{quota.Setting{Value: 6, Account: ours, Model: model}, 5},
		{quota.Setting{Value: 7, Account: theirs, Model: model, Region: "us-east-1"}, 5},
		{quota.Setting{Value: 8, Account: ours, Subject: quota.Everyone}, 5},
	} {
		c.v.Kind = quota.Tokens
		f.set(t, c.v)
		if got := applied(quota.Tokens); got != c.want {
			t.Errorf("after %+v the value is %d, want %d", c.v, got, c.want)
		}
	}
	if got := applied(quota.TokensDay); got != 5*1440 {
		t.Errorf("the tokens of a day are %d, want those of 1,440 minutes", got)
	}
	if got := f.Default("us-east-1", model, quota.Tokens); got != 3 {
		t.Errorf("the default is %d, want 3: it is for every account", got)
	}
	if got := len(f.Settings(ours)); got != 4 {
		t.Errorf("the account has %d settings, want 4", got)
	}
	v := quota.Setting{Account: ours, Model: model, Region: "us-east-1", Kind: quota.Tokens}
	if err := f.Unset(t.Context(), v); err != nil || applied(quota.Tokens) != 6 {
		t.Errorf("after the end of a setting: %d, %v", applied(quota.Tokens), err)
	}
	if err := f.Unset(t.Context(), v); !errors.Is(err, quota.ErrNone) {
		t.Errorf("a second end answers %v", err)
	}
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	f := open(t)
	for field, v := range map[string]quota.Setting{
		"account":   {Account: "1", Kind: quota.Tokens},
		"region":    {Region: "moon", Kind: quota.Tokens},
		"kind":      {Kind: "wishes"},
		"value":     {Kind: quota.Tokens, Value: -2},
		"burst":     {Kind: quota.Concurrent, Value: 3, Burst: 4},
		"model":     {Kind: quota.Tokens, Model: "a b"},
		"principal": {Kind: quota.Tokens, Subject: "ann"},
	} {
		err := f.Set(t.Context(), v)
		if e, ok := errors.AsType[*quota.InvalidError](err); !ok || e.Field != field {
			t.Errorf("%+v answers %v, want a word on %s", v, err, field)
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	f := open(t, quota.Setting{Account: ours, Kind: quota.Tokens, Value: 1000})
	ask := quota.Request{Account: ours, Region: "us-east-1", Model: model, Kind: quota.Tokens, Value: 5000, By: "arn:aws:iam::111122223333:user/ann"}
	r, err := f.Ask(t.Context(), ask)
	if err != nil || r.Status != quota.Pending || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(r.ID) {
		t.Fatalf("the request is %+v, %v", r, err)
	}
	if _, err := f.Ask(t.Context(), ask); !errors.Is(err, quota.ErrPending) {
		t.Errorf("a second one answers %v", err)
	}
	ask.Region, ask.Value = "us-west-2", 1000
	if _, err := f.Ask(t.Context(), ask); !errors.Is(err, quota.ErrNotMore) {
		t.Errorf("a wish for no more answers %v", err)
	}
	if _, err := f.Request(theirs, "us-east-1", r.ID); !errors.Is(err, quota.ErrNone) {
		t.Errorf("another account sees it: %v", err)
	}
	f.clock.Add(time.Minute)
	if r, err = f.Approve(t.Context(), r.ID, "operator:eve"); err != nil || r.Status != quota.Approved || r.Answer != "operator:eve" || !r.Updated.After(r.Created) {
		t.Errorf("approved: %+v, %v", r, err)
	}
	if got := f.Applied(ours, "us-east-1", model, quota.Tokens); got != 5000 {
		t.Errorf("the value is %d, want 5000", got)
	}
	if got := f.Applied(ours, "us-west-2", model, quota.Tokens); got != 1000 {
		t.Errorf("the value of another region is %d, want 1000", got)
	}
	if _, err := f.Deny(t.Context(), r.ID, "operator:eve"); !errors.Is(err, quota.ErrAnswered) {
		t.Errorf("a second answer: %v", err)
	}
	if _, err := f.Deny(t.Context(), "0", "operator:eve"); !errors.Is(err, quota.ErrNone) {
		t.Errorf("an answer to nothing: %v", err)
	}
	// A higher value that somebody sets answers what waits for it; a lower one not.
	ask.Value = 9000
	low, err := f.Ask(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	ask.Kind, ask.Value = quota.Requests, quota.DefaultRequests+1
	high, err := f.Ask(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	f.set(t, quota.Setting{Account: ours, Kind: quota.Tokens, Value: 9000, By: "operator:eve"})
	if r, _ := f.Request(ours, low.Region, low.ID); r.Status != quota.Approved {
		t.Errorf("the fulfilled request is %s", r.Status)
	}
	if r, err := f.Deny(t.Context(), high.ID, "operator:eve"); err != nil || r.Status != quota.Denied {
		t.Errorf("denied: %+v, %v", r, err)
	}
	if n := len(f.Requests("", "")); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// What another process sets holds within moments.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &recordtest.Store{}
		open := func() *quota.Service {
			s, err := quota.Open(t.Context(), quota.Config{Records: store})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		here, there := open(), open()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- here.Run(ctx) }()
		if err := there.Set(t.Context(), quota.Setting{Kind: quota.Requests, Value: 7}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := here.Applied(ours, "us-east-1", model, quota.Requests); got != 7 {
			t.Errorf("the value is %d, want 7", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Codes look like those of AWS and never change.
func TestCode(t *testing.T) {
	t.Parallel()
	if got := quota.Code(quota.Tokens, model); !regexp.MustCompile(`^L-[0-9A-F]{8}$`).MatchString(got) || got == quota.Code(quota.Requests, model) {
		t.Errorf("the code is %s", got)
	}
}

func TestBurndown(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int64{
		"anthropic.claude-v2":         1,
		"anthropic.claude-instant-v1": 1,
		model:                         1,
		"anthropic.claude-3-5-sonnet-20241022-v2:0": 1,
		"anthropic.claude-3-7-sonnet-20250219-v1:0": 5,
		"anthropic.claude-sonnet-4-20250514-v1:0":   5,
		"anthropic.claude-haiku-4-5-20251001-v1:0":  5,
		"amazon.nova-pro-v1:0":                      1,
	} {
		if got := quota.Burndown(id); got != want {
			t.Errorf("%s burns down %d, want %d", id, got, want)
		}
	}
}
