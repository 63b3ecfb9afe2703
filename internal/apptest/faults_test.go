package apptest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
)

const (
	faultClaude = "anthropic.claude-3-haiku-20240307-v1:0"
	faultTitan  = "amazon.titan-embed-text-v2:0"
)

// own calls an operation of Outcrop's own API and returns its answer, or the code
// of its error.
func own(t *testing.T, s *apptest.Server, k keys.Created, method, path, body string) (out map[string]any, code string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	sum := sha256.Sum256([]byte(body))
	cred := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: string(k.Secret.Reveal())}
	if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, hex.EncodeToString(sum[:]), "outcrop", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		return nil, resp.Header.Get("x-amzn-ErrorType")
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("%s %s answered %q: %v", method, path, b, err)
	}
	return out, ""
}

// converse calls Converse and returns the code of its error and the header that
// tells of faults.
func converse(t *testing.T, s *apptest.Server, k keys.Created, metadata map[string]string) (code, header string) {
	t.Helper()
	tell := &headers{}
	cfg := s.AWS(k)
	cfg.HTTPClient = tell
	_, err := bedrockruntime.NewFromConfig(cfg).Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: aws.String(faultClaude), RequestMetadata: metadata,
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hi"}}}},
	})
	if e := smithy.APIError(nil); errors.As(err, &e) {
		code = e.ErrorCode()
	} else if err != nil {
		code = "connection"
	}
	return code, tell.last.Get("x-outcrop-fault")
}

// headers is a client that keeps the headers of the last answer.
type headers struct{ last http.Header }

func (h *headers) Do(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultClient.Do(r)
	h.last = nil
	if err == nil {
		h.last = resp.Header
	}
	return resp, err
}

func TestFaultRules(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	put := func(k keys.Created, name, body string) (map[string]any, string) {
		t.Helper()
		out, code := own(t, s, k, http.MethodPut, "/outcrop/fault-rules/"+name, body)
		rule, _ := out["faultRule"].(map[string]any)
		return rule, code
	}
	expect := func(what, wantCode, wantHeader string, metadata map[string]string) {
		t.Helper()
		if code, header := converse(t, s, s.Key, metadata); code != wantCode || header != wantHeader {
			t.Errorf("%s: %q with header %q, want %q with %q", what, code, header, wantCode, wantHeader)
		}
	}
	expect("no rule", "", "", map[string]string{"outcrop-fault": "busy"})

	rule, code := put(s.Key, "busy", `{"fault":"THROTTLING","trigger":"REQUEST_METADATA"}`)
	if code != "" || rule["accountId"] != s.Account || rule["rate"] != 1.0 || rule["createdBy"] != "arn:aws:iam::"+s.Account+":root" {
		t.Fatalf("%v %s", rule, code)
	}
	expect("not asked for", "", "", nil)
	expect("asked for", "ThrottlingException", "busy=THROTTLING", map[string]string{"outcrop-fault": "busy"})

	for _, f := range []struct{ fault, code string }{
		{"TIMEOUT", "ModelTimeoutException"}, {"MODEL_ERROR", "ModelErrorException"}, {"NOT_READY", "ModelNotReadyException"},
		{"UNAVAILABLE", "ServiceUnavailableException"}, {"INTERNAL_ERROR", "InternalServerException"}, {"STREAM_BREAK", "ModelErrorException"},
	} {
		if _, code := put(s.Key, "all", `{"fault":"`+f.fault+`","modelId":"anthropic.*"}`); code != "" {
			t.Fatal(code)
		}
		expect(f.fault, f.code, "all="+f.fault, nil)
	}
	if _, code := put(s.Key, "all", `{"fault":"CONNECTION_CUT"}`); code != "" {
		t.Fatal(code)
	}
	expect("CONNECTION_CUT", "connection", "", nil)

	// A change holds for the next call; what is over in time and count is over.
	if _, code := put(s.Key, "all", `{"fault":"UNAVAILABLE","maxFaults":1,"seed":1,"latencyMilliseconds":1,"durationSeconds":60}`); code != "" {
		t.Fatal(code)
	}
	expect("the first", "ServiceUnavailableException", "all=UNAVAILABLE", nil)
	expect("the second", "", "", nil)
	out, _ := own(t, s, s.Key, http.MethodGet, "/outcrop/fault-rules", "")
	rules := out["faultRules"].([]any)
	if len(rules) != 2 || rules[0].(map[string]any)["faultCount"] != 1.0 || rules[0].(map[string]any)["callCount"] != 2.0 {
		t.Errorf("%v", rules)
	}

	for body, want := range map[string]string{
		`{"fault":"LATENCY"}`:                      "ValidationException",
		`{"fault":"FIRE"}`:                         "ValidationException",
		`{"fault":"THROTTLING","rate":0}`:          "ValidationException",
		`{"fault":"THROTTLING","rate":2}`:          "ValidationException",
		`{"fault":"THROTTLING","afterTokens":2}`:   "ValidationException",
		`{"fault":"THROTTLING","accountId":"1"}`:   "ValidationException",
		`{"rate":0.5}`:                             "ValidationException",
		`{"fault":"THROTTLING","seed":"a"}`:        "SerializationException",
		`{"fault":"THROTTLING","modelId":""}`:      "ValidationException",
		`{"fault":"THROTTLING","trigger":"NEVER"}`: "ValidationException",
	} {
		if _, code := put(s.Key, "bad", body); code != want {
			t.Errorf("%s: %q, want %q", body, code, want)
		}
	}
	if _, code := put(s.Key, "b_d", `{"fault":"THROTTLING"}`); code != "ValidationException" {
		t.Errorf("a bad name: %q", code)
	}
	if _, code := own(t, s, s.Key, http.MethodDelete, "/outcrop/fault-rules/all", ""); code != "" {
		t.Error(code)
	}
	if _, code := own(t, s, s.Key, http.MethodDelete, "/outcrop/fault-rules/all", ""); code != "ResourceNotFoundException" {
		t.Errorf("deleting twice: %q", code)
	}
}

// A rule is about its account alone, and others may not change it.
func TestFaultRulesOfAccounts(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	other := s.NewKey(t, "222233334444", keys.SigV4)
	put := func(k keys.Created, body string) string {
		t.Helper()
		_, code := own(t, s, k, http.MethodPut, "/outcrop/fault-rules/r", body)
		return code
	}
	if code := put(other, `{"fault":"THROTTLING"}`); code != "" {
		t.Fatal(code)
	}
	if code, _ := converse(t, s, s.Key, nil); code != "" {
		t.Errorf("another account's rule: %q", code)
	}
	for _, account := range []string{s.Account, "*"} {
		if code := put(other, `{"fault":"THROTTLING","accountId":"`+account+`"}`); code != "AccessDeniedException" {
			t.Errorf("an account makes rules for %s: %q", account, code)
		}
	}
	if _, code := own(t, s, other, http.MethodDelete, "/outcrop/fault-rules/r?accountId="+s.Account, ""); code != "AccessDeniedException" {
		t.Errorf("an account deletes rules of others: %q", code)
	}
	if code := put(s.Key, `{"fault":"TIMEOUT","accountId":"*"}`); code != "" {
		t.Fatal(code)
	}
	if code, _ := converse(t, s, s.Key, nil); code != "ModelTimeoutException" {
		t.Errorf("a rule about every account: %q", code)
	}
	count := func(k keys.Created) int {
		out, _ := own(t, s, k, http.MethodGet, "/outcrop/fault-rules", "")
		return len(out["faultRules"].([]any))
	}
	if a, b := count(s.Key), count(other); a != 2 || b != 2 {
		t.Errorf("the management account sees %d rules, the other one %d", a, b)
	}
	if _, code := own(t, s, s.Key, http.MethodDelete, "/outcrop/fault-rules/r?accountId=222233334444", ""); code != "" {
		t.Error(code)
	}
}

// A break in mid-stream is the modelled exception, behind the tokens before it.
func TestFaultInStream(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three four five six"})))
	if _, code := own(t, s, s.Key, http.MethodPut, "/outcrop/fault-rules/r", `{"fault":"STREAM_BREAK","afterTokens":4}`); code != "" {
		t.Fatal(code)
	}
	out, err := s.Runtime().ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{
		ModelId:  aws.String(faultClaude),
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hi"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	st := out.GetStream()
	defer st.Close()
	var text strings.Builder
	for ev := range st.Events() {
		if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			text.WriteString(d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value)
		}
	}
	if e := (*types.ModelStreamErrorException)(nil); !errors.As(st.Err(), &e) || text.String() != "one two three four" {
		t.Errorf("%q, then %v", text.String(), st.Err())
	}
	if _, err := s.Runtime().InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{
		ModelId: aws.String(faultTitan), Body: []byte(`{"inputText":"a"}`), ContentType: aws.String("application/json"),
	}); !errors.As(err, new(*types.ModelErrorException)) {
		t.Errorf("an embedding: %v", err)
	}
}

// reporting is a scripted engine with processes.
type reporting struct {
	*scripted.Engine
	all []engine.Process
}

func (r reporting) Processes() []engine.Process { return r.all }

func TestListModelProcesses(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := apptest.Start(t, apptest.Engine(reporting{scripted.New(), []engine.Process{
		{Weights: "a", Mode: engine.Chat, State: engine.Loading, Progress: 0.25, Since: since, PID: 42, Estimate: 300 << 20, Slots: 4, Waiting: 3, Restarts: 1, Build: "b1", Err: "it crashed"},
		{Weights: "b", Mode: engine.Embed, State: engine.Cold, Since: since, Slots: 1},
	}}))
	out, code := own(t, s, s.Key, http.MethodGet, "/outcrop/model-processes", "")
	if code != "" {
		t.Fatal(code)
	}
	got, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"processes":[` +
		`{"build":"b1","busySlots":0,"failure":"it crashed","memoryEstimateBytes":314572800,"mode":"chat","pinned":false,"processId":42,"progress":0.25,"queueLength":3,"replica":0,"restarts":1,"safeMode":false,"since":"2026-01-02T03:04:05Z","slots":4,"state":"LOADING","weightsId":"a"},` +
		`{"busySlots":0,"mode":"embed","pinned":false,"queueLength":0,"replica":0,"restarts":0,"safeMode":false,"since":"2026-01-02T03:04:05Z","slots":1,"state":"COLD","weightsId":"b"}]}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if _, code := own(t, s, s.NewKey(t, "222233334444", keys.SigV4), http.MethodGet, "/outcrop/model-processes", ""); code != "AccessDeniedException" {
		t.Errorf("another account: %q", code)
	}
}
