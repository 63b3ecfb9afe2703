package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// asyncTitan starts a Titan Text invocation whose result goes to s3://bucket/prefix.
func asyncTitan(t *testing.T, rt *bedrockruntime.Client, to, prompt string, tokens int) string {
	t.Helper()
	out, err := rt.StartAsyncInvoke(t.Context(), &bedrockruntime.StartAsyncInvokeInput{
		ModelId: aws.String(titanText),
		ModelInput: document.NewLazyDocument(map[string]any{
			"inputText": prompt, "textGenerationConfig": map[string]any{"maxTokenCount": tokens, "temperature": 0},
		}),
		OutputDataConfig: &types.AsyncInvokeOutputDataConfigMemberS3OutputDataConfig{Value: types.AsyncInvokeS3OutputDataConfig{S3Uri: &to}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.InvocationArn
}

// ended waits until an invocation is no longer in progress.
func ended(t *testing.T, rt *bedrockruntime.Client, arn string) *bedrockruntime.GetAsyncInvokeOutput {
	t.Helper()
	limit := time.After(4 * time.Minute)
	for {
		got, err := rt.GetAsyncInvoke(t.Context(), &bedrockruntime.GetAsyncInvokeInput{InvocationArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != types.AsyncInvokeStatusInProgress {
			return got
		}
		select {
		case <-time.After(200 * time.Millisecond): // the API has no way to be told
		case <-limit:
			t.Fatalf("%s is still in progress", arn)
		}
	}
}

// result copies what an invocation of Titan Text has made, with `outcrop objects
// cp`, and returns its text and the number of its tokens.
func result(t *testing.T, srv *server, to, arn string) (text string, tokens int) {
	t.Helper()
	id := arn[strings.LastIndex(arn, "/")+1:]
	dir := t.TempDir()
	for _, name := range []string{"output.json", "manifest.json"} {
		cliOutput(t, srv, "objects", "cp", to+"/"+id+"/"+name, dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "output.json"))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Results []struct {
			OutputText string
			TokenCount int
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil || len(answer.Results) != 1 {
		t.Fatalf("%v: %s", err, b)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil || !strings.Contains(string(manifest), arn) {
		t.Errorf("%v: manifest %s", err, manifest)
	}
	return answer.Results[0].OutputText, answer.Results[0].TokenCount
}

// TestAsyncInvoke starts invocations with the Go SDK and boto3, waits for them,
// and reads what they made with the command line.
func TestAsyncInvoke(t *testing.T) {
	t.Parallel()
	bucket := "s3://" + makeBucket(t, s.server, "e2e-async")
	t.Run("go", func(t *testing.T) {
		rt := newGoClients(s.server).rt
		arn := asyncTitan(t, rt, bucket+"/go", "Paris is the capital of France. What is the capital of France?", 40)
		got := ended(t, rt, arn)
		if got.Status != types.AsyncInvokeStatusCompleted || got.EndTime == nil || !strings.HasSuffix(*got.ModelArn, titanText) {
			t.Fatalf("%+v", got)
		}
		text, tokens := result(t, s.server, bucket+"/go", arn)
		if !strings.Contains(text, "Paris") {
			t.Errorf("%q", text)
		}
		t.Logf("%s: %q, %d tokens", got.Status, text, tokens)
		found := false
		pages := bedrockruntime.NewListAsyncInvokesPaginator(rt, &bedrockruntime.ListAsyncInvokesInput{MaxResults: aws.Int32(1), StatusEquals: types.AsyncInvokeStatusCompleted})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, sum := range page.AsyncInvokeSummaries {
				found = found || *sum.InvocationArn == arn
			}
		}
		if !found {
			t.Error("the invocation is not listed")
		}
		_, err := rt.GetAsyncInvoke(t.Context(), &bedrockruntime.GetAsyncInvokeInput{InvocationArn: aws.String(arn[:len(arn)-12] + "aaaaaaaaaaaa")})
		if err == nil {
			t.Error("an invocation that nobody started is found")
		}
	})
	t.Run("boto3", func(t *testing.T) {
		runCases(t, s.server, "runtime_async.py", "E2E_BUCKET="+bucket)
		if *caseName != "" {
			return
		}
		var objects []struct{ URI string }
		if err := json.Unmarshal(cliOutput(t, s.server, "objects", "ls", bucket+"/boto3/", "--json"), &objects); err != nil || len(objects) != 6 {
			t.Fatalf("%d objects of 3 invocations, %v", len(objects), err)
		}
	})
}

// TestKillAsyncInvoke kills the server in the middle of asynchronous invocations:
// the next start takes them up, and each ends with the reply that an invocation
// without a kill has.
func TestKillAsyncInvoke(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	to := "s3://" + makeBucket(t, srv, "results")
	rt := newGoClients(srv).rt
	warm := asyncTitan(t, rt, to, "Say hello.", 1) // loads the model
	if got := ended(t, rt, warm); got.Status != types.AsyncInvokeStatusCompleted {
		t.Fatalf("%+v", got)
	}
	var arns []string
	for i := range 3 {
		arns = append(arns, asyncTitan(t, rt, to, fmt.Sprintf("Write a very long story about %d dragons.", i+2), 120))
	}
	st := openStory(t.Context(), t, rt) // the engine is at work
	srv.kill()
	_ = st.Close()
	next, err := start(t.Context(), options{data: srv.data})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := next.stop(); err != nil {
			t.Error(err)
		}
	}()
	rt = newGoClients(next).rt
	for _, arn := range arns {
		got := ended(t, rt, arn)
		if got.Status != types.AsyncInvokeStatusCompleted {
			t.Fatalf("%s: %s %s", arn, got.Status, aws.ToString(got.FailureMessage))
		}
		text, tokens := result(t, next, to, arn)
		if tokens != 120 || len(strings.Fields(text)) < 40 {
			t.Errorf("%d tokens: %q", tokens, text)
		}
		t.Logf("started %s, ended %s: %.60q", got.SubmitTime.Format(time.TimeOnly), got.EndTime.Format(time.TimeOnly), text)
	}
}
