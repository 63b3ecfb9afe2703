package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const region = "us-east-1"

// goClients are the AWS SDK for Go's clients of one server.
type goClients struct {
	config  aws.Config
	rt      *bedrockruntime.Client
	control *bedrock.Client
	sts     *sts.Client
	headers *recorder
}

// newGoClients makes clients with the server's own key; changes are applied to
// the configuration first.
func newGoClients(srv *server, changes ...func(*aws.Config)) *goClients {
	c := &goClients{headers: &recorder{}}
	c.config = aws.Config{
		Region:       region,
		BaseEndpoint: aws.String(srv.endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(srv.env["AWS_ACCESS_KEY_ID"], srv.env["AWS_SECRET_ACCESS_KEY"], ""),
		HTTPClient:   c.headers,
	}
	for _, change := range changes {
		change(&c.config)
	}
	c.rt = bedrockruntime.NewFromConfig(c.config)
	c.control = bedrock.NewFromConfig(c.config)
	c.sts = sts.NewFromConfig(c.config)
	return c
}

// recorder is an HTTP client that keeps the headers of the last response. It is
// for one call at a time.
type recorder struct {
	client http.Client
	last   http.Header
}

// Do returns an answer only when its request has been written to the end. The SDK
// closes a request's body when the answer's head is there, and a connection that
// has not yet seen the end of that body then closes itself: on a busy machine
// about once in a hundred streams. No other client does, see docs/divergences.md.
func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	wrote := make(chan struct{})
	once := sync.OnceFunc(func() { close(wrote) })
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { once() },
	})
	resp, err := r.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	r.last = resp.Header
	select {
	case <-wrote:
	case <-time.After(time.Second): // an answer to a request that was not read
	}
	return resp, nil
}

// ask is a question that the small model answers in one sentence at temperature
// 0, with brief as system prompt.
func ask() []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
		&types.ContentBlockMemberText{Value: "What is the capital of France?"},
	}}}
}

func brief() []types.SystemContentBlock {
	return []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "You are a helpful assistant."}}
}

func maxTokens(n int32) *types.InferenceConfiguration {
	return &types.InferenceConfiguration{MaxTokens: aws.Int32(n), Temperature: aws.Float32(0)}
}

func replyText(t *testing.T, out *bedrockruntime.ConverseOutput) string {
	t.Helper()
	m, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok || len(m.Value.Content) != 1 {
		t.Fatalf("no message of one block: %+v", out.Output)
	}
	b, ok := m.Value.Content[0].(*types.ContentBlockMemberText)
	if !ok {
		t.Fatalf("no text: %+v", m.Value.Content[0])
	}
	return b.Value
}

func TestGoSDKModels(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newGoClients(s.server)
	list, err := c.control.ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, m := range list.ModelSummaries {
		have[*m.ModelId] = true
	}
	for _, id := range []string{claudeV2, claudeHaiku, titanText, titanEmbed1, titanEmbed2, smollm} {
		if !have[id] {
			t.Errorf("%s is not listed", id)
		}
	}
	some, err := c.control.ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{ByOutputModality: bedrocktypes.ModelModalityEmbedding, ByProvider: aws.String("Amazon")})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(some.ModelSummaries); n != 3 {
		t.Errorf("%d embedding models of Amazon, want 3", n)
	}
	m, err := c.control.GetFoundationModel(ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String(claudeHaiku)})
	if err != nil {
		t.Fatal(err)
	}
	if *m.ModelDetails.ModelArn != "arn:aws:bedrock:us-east-1::foundation-model/"+claudeHaiku {
		t.Errorf("ARN %s", *m.ModelDetails.ModelArn)
	}
	who, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{
		claudeHaiku, "us." + claudeHaiku, *m.ModelDetails.ModelArn,
		fmt.Sprintf("arn:aws:bedrock:us-east-1:%s:inference-profile/us.%s", *who.Account, claudeHaiku),
	} {
		out, err := c.rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &id, Messages: ask(), InferenceConfig: maxTokens(2)})
		if err != nil {
			t.Errorf("%s: %v", id, err)
		} else if *out.Usage.OutputTokens != 2 {
			t.Errorf("%s: %d tokens", id, *out.Usage.OutputTokens)
		}
	}
}

func TestGoSDKInvoke(t *testing.T) {
	t.Parallel()
	c := newGoClients(s.server)
	for _, v := range []struct {
		name, model, body string
		text              func(map[string]any) any
	}{
		{"claude_text", claudeV2, `{"prompt":"\n\nHuman: Say hello.\n\nAssistant:","max_tokens_to_sample":6,"temperature":0}`,
			func(a map[string]any) any { return a["completion"] }},
		{"claude_messages", claudeHaiku, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":6,"temperature":0,"messages":[{"role":"user","content":"Say hello."}]}`,
			func(a map[string]any) any { return a["content"].([]any)[0].(map[string]any)["text"] }},
		{"titan_text", titanText, `{"inputText":"Say hello.","textGenerationConfig":{"maxTokenCount":6,"temperature":0}}`,
			func(a map[string]any) any { return a["results"].([]any)[0].(map[string]any)["outputText"] }},
	} {
		t.Run(v.name, func(t *testing.T) {
			answer := c.invoke(t, v.model, v.body)
			if text, _ := v.text(answer).(string); strings.TrimSpace(text) == "" {
				t.Errorf("no text in %v", answer)
			}
			if h := c.headers.last; h.Get("X-Amzn-Bedrock-Output-Token-Count") != "6" || !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(h.Get("x-amzn-RequestId")) {
				t.Errorf("headers %v", h)
			}
			if by := c.headers.last.Get("x-outcrop-served-by"); by != "smollm2-135m-instruct; stand-in" {
				t.Errorf("served by %q", by)
			}
		})
	}
}

// invoke calls InvokeModel and checks the headers that every answer has.
func (c *goClients) invoke(t *testing.T, model, body string) map[string]any {
	t.Helper()
	out, err := c.rt.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: &model, Body: []byte(body), ContentType: aws.String("application/json")})
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(out.Body, &answer); err != nil {
		t.Fatalf("%v: %s", err, out.Body)
	}
	for _, name := range []string{"X-Amzn-Bedrock-Input-Token-Count", "X-Amzn-Bedrock-Invocation-Latency"} {
		if n, err := strconv.Atoi(c.headers.last.Get(name)); err != nil || n < 0 {
			t.Errorf("%s: %q", name, c.headers.last.Get(name))
		}
	}
	return answer
}

func TestGoSDKInvokeStream(t *testing.T) {
	t.Parallel()
	c := newGoClients(s.server)
	out, err := c.rt.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: aws.String(claudeV2), ContentType: aws.String("application/json"),
		Body: []byte(`{"prompt":"Count from one to ten.","max_tokens_to_sample":20,"temperature":0}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	st := out.GetStream()
	defer st.Close()
	var last map[string]any
	n := 0
	for ev := range st.Events() {
		chunk, ok := ev.(*types.ResponseStreamMemberChunk)
		if !ok {
			t.Fatalf("unknown event %T", ev)
		}
		last = nil
		if err := json.Unmarshal(chunk.Value.Bytes, &last); err != nil {
			t.Fatal(err)
		}
		if _, ok := last["completion"].(string); !ok {
			t.Errorf("chunk without completion: %v", last)
		}
		n++
	}
	if err := st.Err(); err != nil {
		t.Fatal(err)
	}
	metrics, _ := last["amazon-bedrock-invocationMetrics"].(map[string]any)
	if tokens, _ := metrics["outputTokenCount"].(float64); n < 5 || tokens < 1 || tokens > 20 {
		t.Errorf("%d chunks, metrics %v", n, metrics)
	}
}

func TestGoSDKConverse(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newGoClients(s.server)
	model := claudeHaiku
	out, err := c.rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: ask(), System: brief(), InferenceConfig: maxTokens(100)})
	if err != nil {
		t.Fatal(err)
	}
	if text := replyText(t, out); !strings.Contains(text, "Paris") || out.StopReason != types.StopReasonEndTurn {
		t.Errorf("%s: %q", out.StopReason, text)
	}
	if u := out.Usage; *u.TotalTokens != *u.InputTokens+*u.OutputTokens || *u.InputTokens < 10 || out.Metrics.LatencyMs == nil {
		t.Errorf("usage %+v, metrics %+v", u, out.Metrics)
	}
	out, err = c.rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: ask(), InferenceConfig: maxTokens(5)})
	if err != nil {
		t.Fatal(err)
	}
	if out.StopReason != types.StopReasonMaxTokens || *out.Usage.OutputTokens != 5 {
		t.Errorf("%s after %d tokens, want max_tokens after 5", out.StopReason, *out.Usage.OutputTokens)
	}
	stop := maxTokens(60)
	stop.StopSequences = []string{" of"}
	out, err = c.rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: ask(), System: brief(), InferenceConfig: stop})
	if err != nil {
		t.Fatal(err)
	}
	if text := replyText(t, out); text != "The capital" || out.StopReason != types.StopReasonStopSequence {
		t.Errorf("%s: %q", out.StopReason, text)
	}
}

func TestGoSDKConverseStream(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newGoClients(s.server)
	out, err := c.rt.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(claudeHaiku), Messages: ask(), System: brief(), InferenceConfig: maxTokens(100)})
	if err != nil {
		t.Fatal(err)
	}
	st := out.GetStream()
	defer st.Close()
	var grammar, text strings.Builder
	for ev := range st.Events() {
		switch e := ev.(type) {
		case *types.ConverseStreamOutputMemberMessageStart:
			grammar.WriteByte('(')
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			grammar.WriteByte('d')
			delta, ok := e.Value.Delta.(*types.ContentBlockDeltaMemberText)
			if !ok || *e.Value.ContentBlockIndex != 0 {
				t.Errorf("delta %+v", e.Value)
				continue
			}
			text.WriteString(delta.Value)
		case *types.ConverseStreamOutputMemberContentBlockStop:
			grammar.WriteByte('.')
		case *types.ConverseStreamOutputMemberMessageStop:
			grammar.WriteByte(')')
			if e.Value.StopReason != types.StopReasonEndTurn {
				t.Errorf("stop reason %s", e.Value.StopReason)
			}
		case *types.ConverseStreamOutputMemberMetadata:
			grammar.WriteByte('m')
			u := e.Value.Usage
			if *u.TotalTokens != *u.InputTokens+*u.OutputTokens || e.Value.Metrics.LatencyMs == nil {
				t.Errorf("metadata %+v", e.Value)
			}
		default:
			t.Errorf("unknown event %T", ev)
		}
	}
	if err := st.Err(); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\(d{4,}\.\)m$`).MatchString(grammar.String()) || !strings.Contains(text.String(), "Paris") {
		t.Errorf("events %s, text %q", grammar.String(), text.String())
	}
}

func TestGoSDKEmbed(t *testing.T) {
	t.Parallel()
	c := newGoClients(s.server)
	for _, v := range []struct {
		model, body string
		dims        int
	}{
		{titanEmbed1, `{"inputText":"hello"}`, 1536},
		{titanEmbed2, `{"inputText":"hello"}`, 1024},
		{titanEmbed2, `{"inputText":"hello","dimensions":512}`, 512},
		{titanEmbed2, `{"inputText":"hello","dimensions":256,"normalize":true}`, 256},
	} {
		vector, _ := c.invoke(t, v.model, v.body)["embedding"].([]any)
		var sum float64
		for _, x := range vector {
			sum += x.(float64) * x.(float64)
		}
		if len(vector) != v.dims || math.Abs(sum-1) > 1e-3 {
			t.Errorf("%s %s: %d dimensions, length %f", v.model, v.body, len(vector), math.Sqrt(sum))
		}
	}
}

func TestGoSDKInferenceProfiles(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newGoClients(s.server)
	pages := bedrock.NewListInferenceProfilesPaginator(c.control, &bedrock.ListInferenceProfilesInput{TypeEquals: bedrocktypes.InferenceProfileTypeSystemDefined, MaxResults: aws.Int32(4)})
	found := false
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.InferenceProfileSummaries {
			found = found || *p.InferenceProfileId == "us."+claudeHaiku
		}
	}
	if !found {
		t.Errorf("us.%s is not listed", claudeHaiku)
	}
	in := &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("e2e-go"), ClientRequestToken: aws.String(fmt.Sprintf("e2e-go-%d", time.Now().UnixNano())),
		ModelSource: &bedrocktypes.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:us-east-1::foundation-model/" + claudeHaiku},
	}
	made, err := c.control.CreateInferenceProfile(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.control.CreateInferenceProfile(ctx, in)
	if err != nil || *again.InferenceProfileArn != *made.InferenceProfileArn {
		t.Errorf("the repeat gives %v, %v", again, err)
	}
	other := *in
	other.Description = aws.String("another")
	_, err = c.control.CreateInferenceProfile(ctx, &other)
	fails[*bedrocktypes.ConflictException](t, err, http.StatusBadRequest)
	got, err := c.control.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn})
	if err != nil {
		t.Fatal(err)
	}
	if got.Type != bedrocktypes.InferenceProfileTypeApplication || got.CreatedAt == nil || time.Since(*got.CreatedAt).Abs() > 5*time.Minute {
		t.Errorf("profile %+v", got)
	}
	if _, err := c.rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: made.InferenceProfileArn, Messages: ask(), InferenceConfig: maxTokens(2)}); err != nil {
		t.Error(err)
	}
	if _, err := c.control.DeleteInferenceProfile(ctx, &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.control.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn})
	fails[*bedrocktypes.ResourceNotFoundException](t, err, http.StatusNotFound)
	_, err = c.rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: made.InferenceProfileArn, Messages: ask()})
	fails[*types.ResourceNotFoundException](t, err, http.StatusNotFound)
}

func TestGoSDKIdentity(t *testing.T) {
	t.Parallel()
	who, err := newGoClients(s.server).sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(*who.Account) != 12 || !strings.Contains(*who.Arn, ":"+*who.Account+":") || *who.UserId == "" {
		t.Errorf("identity %+v", who)
	}
}
