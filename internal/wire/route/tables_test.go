package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagent"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagentruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

func real(t testing.TB) (*Matcher, []*awsapi.Service) {
	t.Helper()
	services := []*awsapi.Service{&bedrock.Model, &bedrockruntime.Model, &bedrockagent.Model, &bedrockagentruntime.Model, &accessanalyzer.Model, &sts.Model}
	m, err := New(services...)
	if err != nil {
		t.Fatal(err)
	}
	return m, services[:5]
}

// nasty are label values that must survive one encoding and one decoding.
// Values that equal a literal of the tables stand among them.
func nasty() []string {
	return []string{
		"plain", "anthropic.claude-3-sonnet-20240229-v1:0", "a b", "a+b", "a%2Fb", "%", "%25", "?q=1", "#f", "a;b", "a&b=c",
		"grüße", "日本語", "…", "...", "a..b", "~", "{x}", "\"", "\\", "<>", "@", "a/b", "/", "a//b", "invoke", "aliases", "tags", "stop", "export",
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		"arn:aws:bedrock:us-east-1:123456789012:agent-alias/AAAAAAAAAA/BBBBBBBBBB",
		"arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.titan-text-lite-v1:0:4k/abcdefghijkl",
		"arn:", "arn:/x", strings.Repeat("x", 2048), strings.Repeat("€", 682),
	}
}

func TestEveryOperationRoundTrips(t *testing.T) {
	t.Parallel()
	m, services := real(t)
	for _, s := range services {
		for i := range s.Operations {
			op := &s.Operations[i]
			n := strings.Count(op.URI, "{")
			for j := range nasty() {
				labels := make([]string, n)
				for k := range labels {
					labels[k] = nasty()[(j+k*7)%len(nasty())]
				}
				path := pathOf(op.URI, labels)
				got, err := m.Match(op.Method, path)
				if err != nil {
					t.Fatalf("%s %s: %v", op.Method, path, err)
				}
				wantOp := op
				if strings.HasPrefix(op.URI, tagsPrefix) && s.Name != agentService {
					continue // told apart by the ARN, see TestTagSiblings
				}
				if literal := literalOf(services, op.Method, path); literal != nil {
					wantOp = literal
				}
				if got.Operation != wantOp || wantOp == op && !slices.Equal(got.Labels(), labels) {
					t.Fatalf("%s %s: got %s %q, want %s %q", op.Method, path, got.Operation.Name, got.Labels(), op.Name, labels)
				}
			}
		}
	}
}

// literalOf returns the operation whose template is path itself, if any: it
// wins over an operation with a label.
func literalOf(services []*awsapi.Service, method, path string) *awsapi.Operation {
	for _, s := range services {
		for i := range s.Operations {
			if s.Operations[i].Method == method && s.Operations[i].URI == path {
				return &s.Operations[i]
			}
		}
	}
	return nil
}

// TestEveryOperationTakesBareARNs sends each label as an ARN whose slashes and
// colons are not encoded.
func TestEveryOperationTakesBareARNs(t *testing.T) {
	t.Parallel()
	m, services := real(t)
	const value = "arn:aws:bedrock:us-east-1:123456789012:thing/part/other"
	for _, s := range services {
		for i := range s.Operations {
			op := &s.Operations[i]
			var path []string
			var want []string
			for _, seg := range strings.Split(op.URI, "/") {
				if strings.HasPrefix(seg, "{") {
					seg = value
					want = append(want, value)
				}
				path = append(path, seg)
			}
			got, err := m.Match(op.Method, strings.Join(path, "/"))
			if err != nil || got.Operation.Name != op.Name || !slices.Equal(got.Labels(), want) {
				t.Errorf("%s %s: %v %q, %v", op.Method, op.URI, got.Operation, got.Labels(), err)
			}
		}
	}
}

func TestTagSiblings(t *testing.T) {
	t.Parallel()
	m, _ := real(t)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		for resource, want := range map[string]string{
			"bedrock:us-east-1:123456789012:session/0f8fad5b-d9cb-469f-a165-70867728950e": runtimeService,
			"bedrock:us-east-1:123456789012:agent/ABCDEFGHIJ":                             agentService,
			"bedrock:us-east-1:123456789012:sessions/x":                                   agentService,
			"bedrock:us-east-1:123456789012:flow/ABCDEFGHIJ/alias/KLMNOPQRST":             agentService,
			"access-analyzer:us-east-1:123456789012:analyzer/a":                           analyzerService,
			"access-analyzer:us-east-1:123456789012:session/a":                            analyzerService,
		} {
			got, err := m.Match(method, pathOf("/tags/{arn}", []string{"arn:aws:" + resource}))
			if err != nil || got.Service.Name != want {
				t.Errorf("%s %s: %v, %v; want %s", method, resource, got.Service, err, want)
			}
		}
	}
}

func BenchmarkMatchRealTables(b *testing.B) {
	m, _ := real(b)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Match("POST", "/model/anthropic.claude-v2:1/converse")
	}
}
