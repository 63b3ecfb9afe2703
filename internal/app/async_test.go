package app_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func asyncTo(uri string) types.AsyncInvokeOutputDataConfig {
	return &types.AsyncInvokeOutputDataConfigMemberS3OutputDataConfig{Value: types.AsyncInvokeS3OutputDataConfig{S3Uri: &uri}}
}

func titanBody(text string) document.Interface {
	return document.NewLazyDocument(map[string]any{"inputText": text})
}

// finished waits until an invocation has ended.
func finished(t *testing.T, c *bedrockruntime.Client, arn *string) *bedrockruntime.GetAsyncInvokeOutput {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		got, err := c.GetAsyncInvoke(t.Context(), &bedrockruntime.GetAsyncInvokeInput{InvocationArn: arn})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != types.AsyncInvokeStatusInProgress {
			return got
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("the invocation does not end")
		}
	}
}

// TestAsyncInvoke starts invocations, waits for them, and reads their results.
func TestAsyncInvoke(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two"})))
	s.CreateBucket(t, "results")
	c := s.Runtime()
	in := &bedrockruntime.StartAsyncInvokeInput{
		ModelId: new(titanText), ModelInput: titanBody("Hello"), OutputDataConfig: asyncTo("s3://results/a"), ClientRequestToken: new("token-1"),
	}
	first, err := c.StartAsyncInvoke(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.StartAsyncInvoke(t.Context(), in); err != nil || *again.InvocationArn != *first.InvocationArn {
		t.Errorf("the same token made %v, %v", again, err)
	}
	got := finished(t, c, first.InvocationArn)
	if got.Status != types.AsyncInvokeStatusCompleted || got.EndTime == nil || !strings.HasSuffix(*got.ModelArn, titanText) || *got.ClientRequestToken != "token-1" {
		t.Errorf("%+v", got)
	}
	id := (*first.InvocationArn)[strings.LastIndex(*first.InvocationArn, "/")+1:]
	var reply struct {
		Results []struct{ OutputText string }
	}
	if err := json.Unmarshal(s.Object(t, object.Ref{Bucket: "results", Key: "a/" + id + "/output.json"}), &reply); err != nil || reply.Results[0].OutputText != "one two" {
		t.Errorf("%v: %+v", err, reply)
	}
	if note := string(s.Object(t, object.Ref{Bucket: "results", Key: "a/" + id + "/manifest.json"})); !strings.Contains(note, *first.InvocationArn) {
		t.Errorf("manifest %s", note)
	}

	for range 4 {
		if _, err := c.StartAsyncInvoke(t.Context(), &bedrockruntime.StartAsyncInvokeInput{
			ModelId: new(embedG1), ModelInput: titanBody("Hello"), OutputDataConfig: asyncTo("s3://results"),
		}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, order := range []types.SortOrder{"", types.SortOrderAscending} {
		pages := bedrockruntime.NewListAsyncInvokesPaginator(c, &bedrockruntime.ListAsyncInvokesInput{MaxResults: new(int32(2)), SortOrder: order})
		var last time.Time
		n := 0
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, sum := range page.AsyncInvokeSummaries {
				if n++; n > 1 && (order == "" && sum.SubmitTime.After(last) || order != "" && sum.SubmitTime.Before(last)) {
					t.Errorf("%q: out of order", order)
				}
				last = *sum.SubmitTime
				seen[*sum.InvocationArn] = true
			}
		}
		if n != 5 {
			t.Errorf("%q: %d invocations", order, n)
		}
	}
	for arn := range seen {
		if got := finished(t, c, &arn); got.Status != types.AsyncInvokeStatusCompleted {
			t.Errorf("%s: %s %v", arn, got.Status, got.FailureMessage)
		}
	}
	done, err := c.ListAsyncInvokes(t.Context(), &bedrockruntime.ListAsyncInvokesInput{StatusEquals: types.AsyncInvokeStatusCompleted})
	if err != nil || len(done.AsyncInvokeSummaries) != 5 {
		t.Errorf("completed: %v, %v", done, err)
	}
}

// TestAsyncInvokeRefusals checks that what cannot end well is refused at once,
// and that a failed run says why.
func TestAsyncInvokeRefusals(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Err: apierr.ModelError("The model server failed.")})))
	s.CreateBucket(t, "results")
	c := s.Runtime()
	for name, in := range map[string]*bedrockruntime.StartAsyncInvokeInput{
		"no bucket":     {ModelId: new(titanText), ModelInput: titanBody("x"), OutputDataConfig: asyncTo("s3://nobody/a")},
		"no address":    {ModelId: new(titanText), ModelInput: titanBody("x"), OutputDataConfig: asyncTo("s3://UPPER/a")},
		"long address":  {ModelId: new(titanText), ModelInput: titanBody("x"), OutputDataConfig: asyncTo("s3://results/" + strings.Repeat("k", 1005))},
		"bad body":      {ModelId: new(titanText), ModelInput: document.NewLazyDocument(map[string]any{"x": 1}), OutputDataConfig: asyncTo("s3://results/a")},
		"unknown model": {ModelId: new("nobody"), ModelInput: titanBody("x"), OutputDataConfig: asyncTo("s3://results/a")},
	} {
		_, err := c.StartAsyncInvoke(t.Context(), in)
		wantCode(t, name, err, "ValidationException")
	}
	for _, arn := range []string{"arn:aws:bedrock:us-east-1:" + s.Account + ":async-invoke/aaaaaaaaaaaa", "arn:aws:bedrock:us-east-1:999999999999:async-invoke/aaaaaaaaaaaa"} {
		_, err := c.GetAsyncInvoke(t.Context(), &bedrockruntime.GetAsyncInvokeInput{InvocationArn: &arn})
		if err == nil {
			t.Errorf("%s: found", arn)
		}
	}
	_, err := c.ListAsyncInvokes(t.Context(), &bedrockruntime.ListAsyncInvokesInput{NextToken: new("x")})
	wantCode(t, "token", err, "ValidationException")
	out, err := c.StartAsyncInvoke(t.Context(), &bedrockruntime.StartAsyncInvokeInput{ModelId: new(titanText), ModelInput: titanBody("x"), OutputDataConfig: asyncTo("s3://results/a")})
	if err != nil {
		t.Fatal(err)
	}
	if got := finished(t, c, out.InvocationArn); got.Status != types.AsyncInvokeStatusFailed || *got.FailureMessage != "The model server failed." {
		t.Errorf("%+v", got)
	}
}

// TestAsyncInvokeRestart ends the server in the middle of a run: the next one
// takes the job up again.
func TestAsyncInvokeRestart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := apptest.Start(t, apptest.Data(data), apptest.Engine(scripted.New(scripted.Reply{Text: "never", Block: true})))
	s.CreateBucket(t, "results")
	out, err := s.Runtime().StartAsyncInvoke(t.Context(), &bedrockruntime.StartAsyncInvokeInput{
		ModelId: new(titanText), ModelInput: titanBody("Hello"), OutputDataConfig: asyncTo("s3://results/a"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	s = apptest.Start(t, apptest.Data(data), apptest.Engine(scripted.New(scripted.Reply{Text: "now"})))
	if got := finished(t, s.Runtime(), out.InvocationArn); got.Status != types.AsyncInvokeStatusCompleted {
		t.Errorf("%+v", got)
	}
}
