package route

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// service makes a table from lines of "Name METHOD /template".
func service(name string, lines ...string) *awsapi.Service {
	s := &awsapi.Service{Name: name, Protocol: "rest-json"}
	for _, l := range lines {
		f := strings.Fields(l)
		s.Operations = append(s.Operations, awsapi.Operation{Name: f[0], Method: f[1], URI: f[2]})
	}
	return s
}

// small is a table with every trap of the real ones.
func small(t testing.TB) *Matcher {
	t.Helper()
	m, err := New(
		service("bedrock-runtime",
			"InvokeModel POST /model/{modelId}/invoke",
			"Converse POST /model/{modelId}/converse",
			"ApplyGuardrail POST /guardrail/{id}/version/{v}/apply",
			"ListAsyncInvokes GET /async-invoke",
			"GetAsyncInvoke GET /async-invoke/{arn}",
		),
		service("bedrock",
			"GetFoundationModel GET /foundation-models/{id}",
			"CreateCustomModel POST /custom-models/create-custom-model",
			"GetCustomModel GET /custom-models/{id}",
			"GetPolicy GET /policies/{arn}",
			"ExportPolicy GET /policies/{arn}/export",
			"GetWorkflow GET /policies/{arn}/build-workflows/{id}",
		),
		service("bedrock-agent",
			"ListAgents POST /agents/",
			"PrepareAgent POST /agents/{agentId}/",
			"ListAliases POST /agents/{agentId}/agentaliases/",
			"ValidateFlow POST /flows/validate-definition",
			"PrepareFlow POST /flows/{id}/",
			"GetFlow GET /flows/{id}/",
			"GetFlowAlias GET /flows/{id}/aliases/{alias}",
			"TagResource POST /tags/{arn}",
		),
		service("bedrock-agent-runtime",
			"InvokeInlineAgent POST /agents/{sessionId}",
			"GetMemory GET /agents/{agentId}/agentAliases/{alias}/memories",
			"InvokeFlow POST /flows/{id}/aliases/{alias}",
			"TagResource POST /tags/{arn}",
		),
		&awsapi.Service{Name: "sts", Protocol: "query", Operations: []awsapi.Operation{{Name: "GetCallerIdentity", Method: "POST", URI: "/"}}},
		service("objects", "Get GET /objects/{bucket}/{key+}", "Meta GET /objects/{bucket}/{key+}/meta"),
	)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatch(t *testing.T) {
	t.Parallel()
	m := small(t)
	for path, want := range map[string]string{
		"POST /model/anthropic.claude-v2/invoke":      "bedrock-runtime.InvokeModel anthropic.claude-v2",
		"POST /model/anthropic.claude-v2%3A1/invoke":  "bedrock-runtime.InvokeModel anthropic.claude-v2:1",
		"POST /model/anthropic.claude-v2:1/converse":  "bedrock-runtime.Converse anthropic.claude-v2:1",
		"POST /model/a%252Fb/invoke":                  "bedrock-runtime.InvokeModel a%2Fb",
		"POST /model/invoke/invoke":                   "bedrock-runtime.InvokeModel invoke",
		"POST /model/a+b/invoke":                      "bedrock-runtime.InvokeModel a+b",
		"POST /model/%E2%82%AC/invoke":                "bedrock-runtime.InvokeModel €",
		"POST /%6Dodel/x/invoke":                      "bedrock-runtime.InvokeModel x",
		"POST /model/a...b/invoke":                    "bedrock-runtime.InvokeModel a...b",
		"POST /model/.../invoke":                      "bedrock-runtime.InvokeModel ...",
		"POST /guardrail/g/version/1/apply":           "bedrock-runtime.ApplyGuardrail g 1",
		"GET /async-invoke":                           "bedrock-runtime.ListAsyncInvokes",
		"POST /custom-models/create-custom-model":     "bedrock.CreateCustomModel",
		"GET /custom-models/create-custom-model":      "bedrock.GetCustomModel create-custom-model",
		"POST /agents/":                               "bedrock-agent.ListAgents",
		"POST /agents/A/":                             "bedrock-agent.PrepareAgent A",
		"POST /agents/A":                              "bedrock-agent-runtime.InvokeInlineAgent A",
		"POST /agents/A/agentaliases/":                "bedrock-agent.ListAliases A",
		"GET /agents/A/agentAliases/B/memories":       "bedrock-agent-runtime.GetMemory A B",
		"POST /flows/validate-definition":             "bedrock-agent.ValidateFlow",
		"POST /flows/validate-definition/":            "bedrock-agent.PrepareFlow validate-definition",
		"GET /flows/F/":                               "bedrock-agent.GetFlow F",
		"GET /flows/F/aliases/A":                      "bedrock-agent.GetFlowAlias F A",
		"POST /flows/F/aliases/A":                     "bedrock-agent-runtime.InvokeFlow F A",
		"GET /objects/b/k":                            "objects.Get b k",
		"GET /objects/b/k/l/m":                        "objects.Get b k/l/m",
		"GET /objects/b/k/l/meta":                     "objects.Meta b k/l",
		"GET /async-invoke/arn:a:b:c:d:async-invoke/": "404",

		// One encoded segment, or bare slashes and colons.
		"POST /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fanthropic.claude-v2/invoke": "bedrock-runtime.InvokeModel arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		"POST /model/arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2/invoke":             "bedrock-runtime.InvokeModel arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		"POST /model/arn:aws:bedrock:us-east-1::foundation-model/a.b%3A0/converse":                       "bedrock-runtime.Converse arn:aws:bedrock:us-east-1::foundation-model/a.b:0",
		"POST /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Acustom-model/base/id/invoke":                  "bedrock-runtime.InvokeModel arn:aws:bedrock:us-east-1:1:custom-model/base/id",
		"POST /model/arn:aws:x:::m/invoke/invoke":                                                        "bedrock-runtime.InvokeModel arn:aws:x:::m/invoke",
		"GET /foundation-models/arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2":         "bedrock.GetFoundationModel arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		"GET /policies/arn:aws:bedrock:r:1:policy/p":                                                     "bedrock.GetPolicy arn:aws:bedrock:r:1:policy/p",
		"GET /policies/arn:aws:bedrock:r:1:policy/p/export":                                              "bedrock.ExportPolicy arn:aws:bedrock:r:1:policy/p",
		"GET /policies/arn:aws:bedrock:r:1:policy/p/build-workflows/w":                                   "bedrock.GetWorkflow arn:aws:bedrock:r:1:policy/p w",
		"GET /flows/arn:aws:bedrock:us-east-1:1:flow/F/aliases/arn:aws:bedrock:us-east-1:1:flow/F/A":     "bedrock-agent.GetFlowAlias arn:aws:bedrock:us-east-1:1:flow/F arn:aws:bedrock:us-east-1:1:flow/F/A",
		"GET /flows/arn:aws:bedrock:us-east-1:1:flow/F/":                                                 "bedrock-agent.GetFlow arn:aws:bedrock:us-east-1:1:flow/F",
		"POST /model/foundation-model/anthropic.claude-v2/invoke":                                        "404", // several segments, but no ARN

		// Siblings, told apart by the ARN.
		"POST /tags/arn:aws:bedrock:us-east-1:123456789012:agent/A":                       "bedrock-agent.TagResource arn:aws:bedrock:us-east-1:123456789012:agent/A",
		"POST /tags/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aagent-alias%2FA%2FB": "bedrock-agent.TagResource arn:aws:bedrock:us-east-1:123456789012:agent-alias/A/B",
		"POST /tags/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Asession%2FS":         "bedrock-agent-runtime.TagResource arn:aws:bedrock:us-east-1:123456789012:session/S",
		"POST /tags/arn:aws:bedrock:us-east-1:123456789012:session/S":                     "bedrock-agent-runtime.TagResource arn:aws:bedrock:us-east-1:123456789012:session/S",
		"POST /tags/nonsense": "bedrock-agent.TagResource nonsense",

		"POST /":                             "404",
		"GET /model/x/invoke":                "404",
		"POST /model/x/invoke/":              "404",
		"POST /model/x":                      "404",
		"POST /Model/x/invoke":               "404",
		"post /model/x/invoke":               "404",
		"POST /agents":                       "404",
		"GET /async-invoke/":                 "404",
		"POST /model%2Fx/invoke":             "404",
		"POST /m" + strings.Repeat("/x", 40): "404",

		"POST ":                                      "400",
		"POST model/x/invoke":                        "400",
		"POST *":                                     "400",
		"POST //model/x/invoke":                      "400",
		"POST /model//invoke":                        "400",
		"POST /model/x/invoke//":                     "400",
		"POST /model/./invoke":                       "400",
		"POST /model/../invoke":                      "400",
		"POST /model/%2e/invoke":                     "400",
		"POST /model/%2E./invoke":                    "400",
		"POST /model/x/invoke/..":                    "400",
		"POST /model/a%2F..%2Fb/invoke":              "400",
		"POST /model/a%2F./invoke":                   "400",
		"POST /model/a%2/invoke":                     "400",
		"POST /model/a%/invoke":                      "400",
		"POST /model/a%zz/invoke":                    "400",
		"POST /model/a%00/invoke":                    "400",
		"POST /model/a%0A/invoke":                    "400",
		"POST /model/a%7f/invoke":                    "400",
		"POST /model/%FF/invoke":                     "400",
		"POST /nowhere/%ZZ":                          "400",
		"POST /m" + strings.Repeat("/x", 40) + "/..": "400",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			method, p, _ := strings.Cut(path, " ")
			if got := describe(m.Match(method, p)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// describe renders a result of Match as the tables above spell it.
func describe(m Match, err error) string {
	if err == nil {
		return strings.TrimSpace(m.Service.Name + "." + m.Operation.Name + " " + strings.Join(m.Labels(), " "))
	}
	e, ok := errors.AsType[*apierr.Error](err)
	switch {
	case ok && e.Code == apierr.CodeValidation && e.Status == 400:
		return "400"
	case ok && e.Code == apierr.CodeUnknownOperation && e.Status == 404:
		return "404"
	}
	return err.Error()
}

func TestWrongMethodSaysSo(t *testing.T) {
	t.Parallel()
	_, wrong := small(t).Match("PUT", "/model/x/invoke")
	_, unknown := small(t).Match("PUT", "/model/x/nothing")
	if wrong == nil || unknown == nil || wrong.Error() == unknown.Error() {
		t.Errorf("wrong method %v, unknown path %v", wrong, unknown)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, ops := range map[string][]string{
		"same template":     {"A GET /a/{x}", "B GET /a/{y}"},
		"no slash":          {"A GET a"},
		"fixed query":       {"A GET /a?b"},
		"empty segment":     {"A GET /a//b"},
		"partial label":     {"A GET /a/{x}.json"},
		"empty label":       {"A GET /a/{}"},
		"greedy and plain":  {"A GET /a/{x+}/b", "B GET /a/{x}"},
		"many labels":       {"A GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}"},
		"escape in literal": {"A GET /a%20b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(service("s", ops...)); err == nil {
				t.Errorf("%q accepted", ops)
			}
		})
	}
	tag := "T GET /tags/{arn}"
	if _, err := New(service(agentService, tag), service("other", tag)); err == nil {
		t.Error("tag operations of unrelated services accepted")
	}
	if _, err := New(service(agentService, tag), service(runtimeService, tag), service(agentService, tag)); err == nil {
		t.Error("three tag operations accepted")
	}
}

func TestMatchAllocations(t *testing.T) { // not parallel: it counts the process's allocations
	m := small(t)
	for path, want := range map[string]float64{
		"/model/anthropic.claude-v2:1/invoke":                                         0,
		"/guardrail/abc/version/1/apply":                                              0,
		"/model/anthropic.claude-v2%3A1/invoke":                                       1,
		"/model/arn:aws:bedrock:us-east-1::foundation-model/a.b/invoke":               1,
		"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fa.b/converse": 1,
	} {
		if got := testing.AllocsPerRun(100, func() { _, _ = m.Match("POST", path) }); got != want {
			t.Errorf("%s: %v allocations, want %v", path, got, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	m := small(f) // its greedy labels and short templates reach more than the real tables
	f.Add("POST", "/model/arn%3Aaws%3Ax%2Fy/invoke")
	f.Add("GET", "/policies/arn:aws:b:r:1:p/q/build-workflows/w")
	f.Add("GET", "/flows/arn:/arn:/aliases/arn:/x")
	f.Add("POST", "/agents/%2e%2e/")
	f.Fuzz(func(t *testing.T, method, path string) {
		got, err := m.Match(method, path)
		if err != nil {
			if s := describe(got, err); s != "400" && s != "404" {
				t.Fatal(err)
			}
			return
		}
		if got.Operation.Method != method {
			t.Fatalf("%s %s gives %s", method, path, got.Operation.Name)
		}
		if strings.HasSuffix(path, "/") != strings.HasSuffix(got.Operation.URI, "/") {
			t.Fatalf("%s: slash ignored, %s", path, got.Operation.URI)
		}
		if n := strings.Count(got.Operation.URI, "{"); n != len(got.Labels()) {
			t.Fatalf("%s: %d labels for %s", path, len(got.Labels()), got.Operation.URI)
		}
		for _, l := range got.Labels() {
			for piece := range strings.SplitSeq(l, "/") {
				if piece == "." || piece == ".." {
					t.Fatalf("%s: label %q", path, l)
				}
			}
		}
		// The canonical spelling of the same request finds the same operation.
		again, err := m.Match(method, pathOf(got.Operation.URI, got.Labels()))
		if err != nil || again.Operation != got.Operation || !slices.Equal(again.Labels(), got.Labels()) {
			t.Fatalf("%s: %v %q, then %v %q, %v", path, got.Operation.Name, got.Labels(), again.Operation, again.Labels(), err)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	m := small(b)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Match("POST", "/model/anthropic.claude-v2:1/converse")
	}
}

// pathOf fills template with labels, in order, each percent-encoded with nothing
// but letters, digits and "-._~" left as they are. It is the inverse of Match
// and spells a path as the AWS SDK for Python does.
func pathOf(template string, labels []string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i, seg := range strings.Split(template, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if !strings.HasPrefix(seg, "{") || len(labels) == 0 {
			b.WriteString(seg)
			continue
		}
		for _, c := range []byte(labels[0]) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
				b.WriteByte(c)
			default:
				b.WriteByte('%')
				b.WriteByte(hex[c>>4])
				b.WriteByte(hex[c&15])
			}
		}
		labels = labels[1:]
	}
	return b.String()
}
