package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

// post signs a request for path and gives it to the gateway.
func (f *fixture) post(t *testing.T, method, path, body string) answer {
	t.Helper()
	r, _ := received(f.sign(t, method, "http://localhost"+path, []byte(body)), []byte(body))
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return read(t, w.Result())
}

func TestRouting(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, c := range []struct {
		name, method, path string
		status             int
		code               string
	}{
		{"no such path", "GET", "/nothing", 404, apierr.CodeUnknownOperation},
		{"root", "GET", "/", 404, apierr.CodeUnknownOperation},
		{"other method", "PATCH", "/model/m/converse", 404, apierr.CodeUnknownOperation},
		{"trailing slash", "POST", "/model/m/converse/", 404, apierr.CodeUnknownOperation},
		{"dot segment", "POST", "/model/../model/m/converse", 400, apierr.CodeValidation},
		{"escaped dot segment", "POST", "/model/%2e%2e/converse", 400, apierr.CodeValidation},
		{"empty segment", "POST", "/model//m/converse", 400, apierr.CodeValidation},
		{"control character", "POST", "/model/a%00b/converse", 400, apierr.CodeValidation},
		{"encoded ARN", "POST", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fanthropic.claude-v2/converse", 200, ""},
		{"bare ARN", "POST", "/model/arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2/converse", 200, ""},
		{"not implemented", "GET", "/guardrails", 501, apierr.CodeNotImplemented},
	} {
		if a := f.post(t, c.method, c.path, converseBody); a.status != c.status || a.code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, a.status, a.code, c.status, c.code)
		}
	}
}

func TestErrorForm(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.converse = func(_ context.Context, c *call.Call, _ *rt.ConverseInput) (*rt.ConverseOutput, error) {
		c.ModelID, c.ServedBy, c.StandIn = "anthropic.claude-v2", "smollm2", true
		e := apierr.ModelError("it failed: %s", `"quoted"`)
		e.OriginalStatus, e.Err = 500, errors.New("cause")
		return nil, e
	}
	s := f.listen(t)
	a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(converseBody)))
	if a.status != 424 || a.code != apierr.CodeModelError || a.body != `{"message":"it failed: \"quoted\"","originalStatusCode":500}` {
		t.Errorf("%d %s %s", a.status, a.code, a.body)
	}
	if got := a.header.Get("x-outcrop-served-by"); got != "smollm2; stand-in" {
		t.Errorf("served by %q", got)
	}
	if len(a.header.Get("x-amzn-RequestId")) != 36 || len(a.header.Values("x-amzn-ErrorType")) != 1 {
		t.Errorf("headers %v", a.header)
	}
}

// Whatever goes wrong inside, clients are told the same sentence.
func TestUnknownErrorsStayInside(t *testing.T) {
	t.Parallel()
	f := start(t)
	for name, fail := range map[string]func() error{
		"error":         func() error { return errors.New("/var/lib/secret") },
		"wrapped":       func() error { return fmt.Errorf("open: %w", errors.New("/var/lib/secret")) },
		"panic":         func() error { panic("/var/lib/secret") },
		"runtime panic": func() error { i := len(t.Name()); return []error{}[i] },
	} {
		f.converse = func(context.Context, *call.Call, *rt.ConverseInput) (*rt.ConverseOutput, error) { return nil, fail() }
		a := f.post(t, http.MethodPost, "/model/m/converse", converseBody)
		if a.status != 500 || a.code != apierr.CodeInternal || strings.Contains(a.body, "secret") {
			t.Errorf("%s: %d %s %s", name, a.status, a.code, a.body)
		}
		if rec := f.records.last(t); rec.Status != 500 || rec.ErrorCode != apierr.CodeInternal || rec.Account != account {
			t.Errorf("%s: record %+v", name, rec)
		}
	}
	if log := f.log.String(); !strings.Contains(log, "/var/lib/secret") || !strings.Contains(log, "index out of range") {
		t.Errorf("the log tells no causes: %s", log)
	}
}

// Once an engine was asked, a cause may hold a prompt: the log tells its type.
func TestCausesAfterInference(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.converse = func(_ context.Context, c *call.Call, _ *rt.ConverseInput) (*rt.ConverseOutput, error) {
		c.Inferred = true
		return nil, apierr.ModelError("failed").WithCause(fmt.Errorf("bad prompt: %w", errors.New("my dear diary")))
	}
	f.post(t, http.MethodPost, "/model/m/converse", converseBody)
	if log := f.log.String(); strings.Contains(log, "diary") || strings.Contains(log, "bad prompt") || !strings.Contains(log, "*fmt.wrapError: *errors.errorString") {
		t.Errorf("log: %s", log)
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.converse = func(_ context.Context, c *call.Call, _ *rt.ConverseInput) (*rt.ConverseOutput, error) {
		c.ModelID, c.ServedBy = "m", "weights"
		c.Usage = llm.Usage{InputTokens: 3, OutputTokens: 4, ReusedTokens: 1}
		return &rt.ConverseOutput{}, nil
	}
	f.post(t, http.MethodPost, "/model/m/converse", converseBody)
	got := f.records.last(t)
	if got.RequestID == "" || got.Time.IsZero() {
		t.Errorf("record %+v", got)
	}
	want := meter.Record{
		RequestID: got.RequestID, Time: got.Time, DurationMS: got.DurationMS,
		Account: account, Region: "us-east-1", Principal: "arn:aws:iam::" + account + ":root", AccessKeyID: f.key.ID,
		Service: "bedrock-runtime", Operation: "Converse", ModelID: "m", ServedBy: "weights",
		InputTokens: 3, OutputTokens: 4, ReusedTokens: 1, Status: 200,
	}
	if got != want {
		t.Errorf("record %+v\nwant   %+v", got, want)
	}
}

func TestInvokeHeaders(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.invoke = func(_ context.Context, c *call.Call, in *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
		c.Inferred, c.ServedBy = true, "weights"
		c.Usage = llm.Usage{InputTokens: 3, OutputTokens: 4}
		c.Latency = 5_400_000
		return &rt.InvokeModelOutput{Body: in.Body, ContentType: new("application/json")}, nil
	}
	s := f.listen(t)
	a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/invoke", []byte(`{"a":1}`)))
	for name, want := range map[string]string{
		"X-Amzn-Bedrock-Invocation-Latency": "5", "X-Amzn-Bedrock-Input-Token-Count": "3", "X-Amzn-Bedrock-Output-Token-Count": "4",
		"X-Outcrop-Served-By": "weights", "Content-Type": "application/json", "Content-Length": "7",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a.body != `{"a":1}` {
		t.Errorf("body %s", a.body)
	}
}

// TestCacheHeaders checks that what a cache point covers is told apart.
func TestCacheHeaders(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.invoke = func(_ context.Context, c *call.Call, in *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
		c.Inferred = true
		c.Usage = llm.Usage{InputTokens: 30, OutputTokens: 4, CacheRead: 20, CacheWrite: 7}
		return &rt.InvokeModelOutput{
			Body: in.Body, ContentType: new("application/json"),
			ServiceTier: new(rt.ServiceTierTypeFlex), PerformanceConfigLatency: new(rt.PerformanceConfigLatencyStandard),
		}, nil
	}
	s := f.listen(t)
	a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/invoke", []byte(`{}`)))
	for name, want := range map[string]string{
		"X-Amzn-Bedrock-Input-Token-Count": "3", "X-Amzn-Bedrock-Output-Token-Count": "4",
		"X-Amzn-Bedrock-Cache-Read-Input-Token-Count": "20", "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": "7",
		"X-Amzn-Bedrock-Service-Tier": "flex", "X-Amzn-Bedrock-PerformanceConfig-Latency": "standard",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Authorisation comes after the resources are known and before validation, so a
// stranger to a resource learns nothing of how a request would be judged.
func TestOrder(t *testing.T) {
	t.Parallel()
	var seen []string
	resources := func(_ context.Context, c *call.Call, _ *rt.ConverseInput) ([]string, error) {
		seen = append(seen, "resources for "+c.Principal.Account)
		return []string{"arn:aws:bedrock:us-east-1:999999999999:provisioned-model/x"}, nil
	}
	f := start(t, func(c *gateway.Config) {
		c.Routes = []service.Route{service.BindResource(rt.OpConverse, resources, func(context.Context, *call.Call, *rt.ConverseInput) (*rt.ConverseOutput, error) {
			seen = append(seen, "served")
			return nil, nil
		})}
	})
	a := f.post(t, http.MethodPost, "/model/m/converse", `{"messages":[{"role":"nobody"}]}`)
	if a.code != denied || len(seen) != 1 || seen[0] != "resources for "+account {
		t.Errorf("%s after %v", a.code, seen)
	}
	if a := f.post(t, http.MethodPost, "/model/m/converse", `{"messages":[{"role":`); a.code != apierr.CodeSerialization || len(seen) != 1 {
		t.Errorf("%s after %v", a.code, seen)
	}
}

func TestValidation(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.post(t, http.MethodPost, "/model/m/converse", `{"messages":[{"role":"nobody","content":[{"text":"a"}]}]}`)
	if a.code != apierr.CodeValidation || !strings.Contains(a.message, "role") || f.handled() != 0 {
		t.Errorf("%s %s, %d handled", a.code, a.message, f.handled())
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := gateway.New(gateway.Config{Services: services(), Routes: []service.Route{
		{Service: &rt.Model, Operation: rt.OpConverse.Operation}, {Service: &rt.Model, Operation: rt.OpConverse.Operation},
	}}); err == nil || !strings.Contains(err.Error(), "Converse") {
		t.Errorf("an operation bound twice: %v", err)
	}
	if _, err := gateway.New(gateway.Config{Services: append(services(), services()...)}); err == nil {
		t.Error("a service twice was accepted")
	}
}

// The store of records may fail; the call has still been answered.
func TestMeterFails(t *testing.T) {
	t.Parallel()
	f := start(t, func(c *gateway.Config) { c.Meter = brokenMeter{} })
	if a := f.post(t, http.MethodPost, "/model/m/converse", converseBody); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	if !strings.Contains(f.log.String(), "usage record not stored") {
		t.Error("nothing in the log")
	}
}

type brokenMeter struct{}

func (brokenMeter) Ready() bool { return true }

func (brokenMeter) Add(meter.Record) error { return errors.New("full") }

// The request id is spelt as AWS spells it.
func TestHeaderSpelling(t *testing.T) {
	t.Parallel()
	f := start(t)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/foundation-models", nil))
	if len(requestIDs(w.Header())) != 1 || len(w.Header()[restjson.HeaderErrorType]) != 1 {
		t.Errorf("headers %v", w.Header())
	}
}

// While no record can be kept, known callers are told so at once, and strangers
// hear no more than ever.
func TestMeterNotReady(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.records.full.Store(true)
	a := f.post(t, http.MethodPost, "/model/m/converse", converseBody)
	if a.status != 503 || a.code != apierr.CodeServiceUnavailable || f.handled() != 0 || f.records.count() != 0 {
		t.Errorf("%d %s, %d handled, %d records; want 503 and none", a.status, a.code, f.handled(), f.records.count())
	}
	f.records.full.Store(false)
	if a := f.post(t, http.MethodPost, "/model/m/converse", converseBody); a.status != 200 || f.records.count() != 1 {
		t.Errorf("after that: %d, %d records", a.status, f.records.count())
	}
}
