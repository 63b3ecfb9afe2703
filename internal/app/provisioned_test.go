package app_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	brtypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

// haikuWeights serve haiku.
const haikuWeights = "smollm2-135m-instruct"

// valve is an engine whose replies to on-demand calls wait until it is opened.
func valve(slots int) (e *scripted.Engine, open func()) {
	gate := make(chan struct{})
	e = scripted.New()
	e.Limit = &limit.SlotsConfig{N: slots, Wait: time.Minute}
	e.Script = func(t engine.Target, _ *llm.Request) *scripted.Reply {
		r := &scripted.Reply{Text: "on demand"}
		if t.Reserved != "" {
			r.Text = t.Reserved
			return r
		}
		r.Pace = func(ctx context.Context, _ int) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return r
	}
	return e, sync.OnceFunc(func() { close(gate) })
}

// inService waits until provisioned throughput is, and returns it.
func inService(t *testing.T, c *bedrock.Client, id string) *bedrock.GetProvisionedModelThroughputOutput {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		out, err := c.GetProvisionedModelThroughput(t.Context(), &bedrock.GetProvisionedModelThroughputInput{ProvisionedModelId: new(id)})
		if err != nil {
			t.Fatal(err)
		}
		if out.Status != brtypes.ProvisionedModelStatusCreating && out.Status != brtypes.ProvisionedModelStatusUpdating {
			return out
		}
	}
	t.Fatal("it is still being made")
	return nil
}

// Provisioned calls get through at once while on-demand calls fill all other slots
// and the line behind them.
func TestProvisionedThroughput(t *testing.T) {
	t.Parallel()
	e, open := valve(3)
	srv := apptest.Start(t, apptest.Engine(e))
	control, runtime := srv.Bedrock(), srv.Runtime()
	made, err := control.CreateProvisionedModelThroughput(t.Context(), &bedrock.CreateProvisionedModelThroughputInput{
		ModelUnits: new(int32(2)), ProvisionedModelName: new("mine"), ModelId: new(haiku),
		Tags: []brtypes.Tag{{Key: new("team"), Value: new("a")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	name := *made.ProvisionedModelArn
	got := inService(t, control, name)
	if got.Status != brtypes.ProvisionedModelStatusInService || *got.ModelUnits != 2 || *got.DesiredModelUnits != 2 || *got.ProvisionedModelName != "mine" ||
		*got.ProvisionedModelArn != name || *got.ModelArn != haikuARN || *got.DesiredModelArn != haikuARN || *got.FoundationModelArn != haikuARN || got.CreationTime == nil {
		t.Fatalf("%+v", got)
	}
	tags, err := control.ListTagsForResource(t.Context(), &bedrock.ListTagsForResourceInput{ResourceARN: new(name)})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "team" {
		t.Errorf("%+v, %v", tags, err)
	}

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			out, err := runtime.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hi")})
			if err != nil || replyText(t, out) != "on demand" {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	slots := e.Slots(haikuWeights)
	for {
		if busy, waiting := slots.Load(); busy == 1 && waiting == 19 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for range 3 {
		for _, id := range []string{name, "mine"} {
			out, err := runtime.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(id), Messages: said("hi")})
			if err != nil || replyText(t, out) != name {
				t.Fatalf("%s: %+v, %v", id, out, err)
			}
		}
	}
	if busy, waiting := slots.Load(); busy != 1 || waiting != 19 {
		t.Errorf("%d busy, %d waiting: on-demand calls use reserved slots", busy, waiting)
	}
	if _, err := control.DeleteProvisionedModelThroughput(t.Context(), &bedrock.DeleteProvisionedModelThroughputInput{ProvisionedModelId: new("mine")}); err != nil {
		t.Fatal(err)
	}
	for {
		if busy, waiting := slots.Load(); busy == 3 && waiting == 17 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	_, err = runtime.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(name), Messages: said("hi")})
	wantCode(t, "after it was deleted", err, "ResourceNotFoundException")
	open()
	wg.Wait()
}

// What the API refuses, lists and changes.
func TestProvisionedThroughputAPI(t *testing.T) {
	t.Parallel()
	e, open := valve(8)
	open()
	srv := apptest.Start(t, apptest.Engine(e), apptest.Config(func(c *app.Config) { c.ProvisionedUnits = 20 }))
	c := srv.Bedrock()
	const sonnet = "anthropic.claude-3-sonnet-20240229-v1:0"
	create := func(name, model string, units int32, change ...func(*bedrock.CreateProvisionedModelThroughputInput)) (string, error) {
		in := &bedrock.CreateProvisionedModelThroughputInput{ModelUnits: new(units), ProvisionedModelName: new(name), ModelId: new(model)}
		for _, f := range change {
			f(in)
		}
		out, err := c.CreateProvisionedModelThroughput(t.Context(), in)
		if err != nil {
			return "", err
		}
		return *out.ProvisionedModelArn, nil
	}
	tagged := func(n int) func(*bedrock.CreateProvisionedModelThroughputInput) {
		return func(in *bedrock.CreateProvisionedModelThroughputInput) {
			for i := range n {
				in.Tags = append(in.Tags, brtypes.Tag{Key: new(fmt.Sprint("k", i)), Value: new("v")})
			}
		}
	}
	token := func(in *bedrock.CreateProvisionedModelThroughputInput) { in.ClientRequestToken = new("again") }
	one, err := create("one", haikuARN, 1, token)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := create("one", haikuARN, 1, token); err != nil || again != one {
		t.Errorf("the same client token: %s, %v", again, err)
	}
	inService(t, c, one)
	two, err := create("two", haiku, 2, func(in *bedrock.CreateProvisionedModelThroughputInput) {
		in.CommitmentDuration = brtypes.CommitmentDurationOneMonth
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := inService(t, c, "two"); got.CommitmentDuration != brtypes.CommitmentDurationOneMonth || got.CommitmentExpirationTime.Before(time.Now().AddDate(0, 0, 27)) {
		t.Errorf("%+v", got)
	}
	large, err := create("large", haiku, 6)
	if err != nil {
		t.Fatal(err)
	}
	if got := inService(t, c, large); got.Status != brtypes.ProvisionedModelStatusFailed || !strings.Contains(aws.ToString(got.FailureMessage), "4 more") {
		t.Errorf("more than the engine has: %+v, %s", got, aws.ToString(got.FailureMessage))
	}
	for name, x := range map[string]struct {
		code        string
		name, model string
		units       int32
		change      func(*bedrock.CreateProvisionedModelThroughputInput)
	}{
		"name taken":       {"ValidationException", "one", haiku, 1, tagged(0)},
		"unknown model":    {"ResourceNotFoundException", "x", "acme.model-v1:0", 1, tagged(0)},
		"a profile":        {"ValidationException", "x", "us." + haiku, 1, tagged(0)},
		"custom model":     {"ResourceNotFoundException", "x", "arn:aws:bedrock:us-east-1:000000000000:custom-model/amazon.titan-text-lite-v1/abcdefghij12", 1, tagged(0)},
		"another region":   {"ValidationException", "x", strings.Replace(haikuARN, "us-east-1", "us-west-2", 1), 1, tagged(0)},
		"no units":         {"ValidationException", "x", haiku, 0, tagged(0)},
		"bad name":         {"ValidationException", "x y", haiku, 1, tagged(0)},
		"units over quota": {"ServiceQuotaExceededException", "x", haiku, 18, tagged(0)},
		"many tags":        {"TooManyTagsException", "x", haiku, 1, tagged(51)},
	} {
		_, err := create(x.name, x.model, x.units, x.change)
		wantCode(t, name, err, x.code)
	}

	_, err = c.DeleteProvisionedModelThroughput(t.Context(), &bedrock.DeleteProvisionedModelThroughputInput{ProvisionedModelId: new(two)})
	wantCode(t, "a committed one", err, "ConflictException")

	// Names, models.
	update := func(id string, name, model *string) error {
		_, err := c.UpdateProvisionedModelThroughput(t.Context(), &bedrock.UpdateProvisionedModelThroughputInput{ProvisionedModelId: new(id), DesiredProvisionedModelName: name, DesiredModelId: model})
		return err
	}
	if err := update("one", new("first"), new(sonnet)); err != nil {
		t.Fatal(err)
	}
	if got := inService(t, c, "first"); *got.ProvisionedModelArn != one || !strings.HasSuffix(*got.ModelArn, sonnet) || *got.DesiredModelArn != *got.ModelArn {
		t.Errorf("%+v", got)
	}
	wantCode(t, "taken name", update(one, new("two"), nil), "ValidationException")
	wantCode(t, "nothing", update(one, nil, nil), "ValidationException")
	wantCode(t, "another provider", update(one, nil, new("amazon.titan-text-express-v1")), "ValidationException")
	wantCode(t, "a failed one", update(large, new("huge"), nil), "ValidationException")

	// Lists.
	list := func(in bedrock.ListProvisionedModelThroughputsInput) (names string) {
		for p := bedrock.NewListProvisionedModelThroughputsPaginator(c, &in); p.HasMorePages(); {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatalf("%+v: %v", in, err)
			}
			for _, x := range page.ProvisionedModelSummaries {
				names += *x.ProvisionedModelName + " "
			}
		}
		return names
	}
	for want, in := range map[string]bedrock.ListProvisionedModelThroughputsInput{
		"large two first ": {},
		"first two large ": {SortOrder: brtypes.SortOrderAscending, MaxResults: new(int32(1)), SortBy: brtypes.SortByProvisionedModelsCreationTime},
		"two ":             {NameContains: new("TW")},
		"large ":           {StatusEquals: brtypes.ProvisionedModelStatusFailed},
		"first ":           {ModelArnEquals: new(strings.Replace(haikuARN, haiku, sonnet, 1))},
		"":                 {CreationTimeBefore: new(time.Now().Add(-time.Hour))},
	} {
		if got := list(in); got != want {
			t.Errorf("%+v: %q, want %q", in, got, want)
		}
	}
	if got := list(bedrock.ListProvisionedModelThroughputsInput{CreationTimeAfter: new(time.Now().Add(-time.Hour)), MaxResults: new(int32(2))}); got != "large two first " {
		t.Errorf("since an hour: %q", got)
	}
	_, err = c.ListProvisionedModelThroughputs(t.Context(), &bedrock.ListProvisionedModelThroughputsInput{NextToken: new("nonsense")})
	wantCode(t, "a token", err, "ValidationException")

	// Nobody else sees it, and no other region has it.
	cfg := srv.AWS(srv.NewKey(t, "222233334444", keys.SigV4))
	stranger := bedrock.NewFromConfig(cfg)
	away := bedrock.NewFromConfig(srv.AWS(srv.Key), func(o *bedrock.Options) { o.Region = "us-west-2" })
	for name, x := range map[string]*bedrock.Client{"another account": stranger, "another region": away} {
		for _, id := range []string{"two", two} {
			_, err := x.GetProvisionedModelThroughput(t.Context(), &bedrock.GetProvisionedModelThroughputInput{ProvisionedModelId: new(id)})
			wantCode(t, name+" gets "+id, err, "ResourceNotFoundException")
			_, err = x.DeleteProvisionedModelThroughput(t.Context(), &bedrock.DeleteProvisionedModelThroughputInput{ProvisionedModelId: new(id)})
			wantCode(t, name+" deletes "+id, err, "ResourceNotFoundException")
		}
		if out, err := x.ListProvisionedModelThroughputs(t.Context(), &bedrock.ListProvisionedModelThroughputsInput{}); err != nil || len(out.ProvisionedModelSummaries) != 0 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	_, err = bedrockruntime.NewFromConfig(cfg).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(two), Messages: said("hi")})
	wantCode(t, "another account calls it", err, "ValidationException")
	_, err = srv.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(large), Messages: said("hi")})
	wantCode(t, "a failed one is called", err, "ValidationException")
}

// What is provisioned is set aside again when the server starts anew.
func TestProvisionedThroughputStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, open := valve(4)
	open()
	first := apptest.Start(t, apptest.Engine(e), apptest.Data(dir))
	made, err := first.Bedrock().CreateProvisionedModelThroughput(t.Context(), &bedrock.CreateProvisionedModelThroughputInput{
		ModelUnits: new(int32(2)), ProvisionedModelName: new("mine"), ModelId: new(haiku),
	})
	if err != nil {
		t.Fatal(err)
	}
	inService(t, first.Bedrock(), *made.ProvisionedModelArn)
	first.Stop(t)

	e, open = valve(4)
	open()
	second := apptest.Start(t, apptest.Engine(e), apptest.Data(dir))
	for {
		held, all := e.Slots(haikuWeights).Reserved(*made.ProvisionedModelArn)
		if held == 2 && all == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	out, err := second.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new("mine"), Messages: said("hi")})
	if err != nil || replyText(t, out) != *made.ProvisionedModelArn {
		t.Fatalf("%+v, %v", out, err)
	}
}
