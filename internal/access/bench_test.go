package access_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/accesstest"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
)

// fifty is a role's session with 50 policies of 4 statements each, wildcards and
// conditions in all of them, below two levels of service control policies, through
// a listener with a policy. Only the last policy allows InvokeModel.
func fifty(tb testing.TB) (*access.Authorizer, *call.Call, call.Need) {
	tb.Helper()
	parse := func(kind policy.Kind, text string) *policy.Document {
		d, err := policy.Parse([]byte(text), kind)
		if err != nil {
			tb.Fatal(err)
		}
		return d
	}
	const all = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["us-east-1","us-west-2"]}}}]}`
	bound := access.Policies{
		Boundary: parse(policy.Boundary, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["bedrock:*","sts:*"],"Resource":"*"}}`),
		Control:  [][]*policy.Document{{parse(policy.ServiceControl, all)}, {parse(policy.ServiceControl, all)}},
		Tags:     map[string]string{"team": "blue", "class": "internal"},
	}
	for i := range 49 {
		bound.Identity = append(bound.Identity, parse(policy.Identity, fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
			{"Sid":"a","Effect":"Allow","Action":["bedrock:Get*","bedrock:List*"],"Resource":"*"},
			{"Sid":"b","Effect":"Allow","Action":"bedrock:Invoke*","Resource":"arn:aws:bedrock:*::foundation-model/provider%d.*","Condition":{"Bool":{"aws:SecureTransport":"true"}}},
			{"Sid":"c","Effect":"Deny","Action":["bedrock:*"],"Resource":"arn:aws:bedrock:*:*:guardrail/g%d-*","Condition":{"StringNotEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}},
			{"Sid":"d","Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.0.0/16"]},"StringEquals":{"aws:PrincipalTag/class":"class%d"}}}]}`, i, i, i)))
	}
	bound.Identity = append(bound.Identity, parse(policy.Identity, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:CallWithBearerToken"],"Resource":"*","Condition":{"StringLike":{"aws:PrincipalTag/team":"bl*"}}}]}`))
	a := access.New(access.Config{
		Principals: fixed{&bound},
		Seal:       func(plain []byte) string { return string(plain) },
	})
	c := &call.Call{
		Region:    "us-east-1",
		Principal: accesstest.Principals()[4],
		Source: call.Source{
			TLS: true, IP: netip.MustParseAddr("10.1.2.3"),
			EndpointPolicy: []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"bedrock:*","Resource":"*"}}`),
		},
	}
	c.Principal.Session.Tags = map[string]string{"team": "blue"}
	return a, c, call.Need{Action: "bedrock:InvokeModel", Resources: []string{"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"}}
}

// fixed binds everybody by the same policies.
type fixed struct{ policies *access.Policies }

func (f fixed) Policies(context.Context, *call.Principal) (*access.Policies, error) {
	return f.policies, nil
}

func BenchmarkAuthorize(b *testing.B) {
	a, c, n := fifty(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Authorize(b.Context(), c, n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthorizeDenied(b *testing.B) {
	a, c, n := fifty(b)
	n.Action = "bedrock:DeleteGuardrail"
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Authorize(b.Context(), c, n); err == nil {
			b.Fatal("allowed")
		}
	}
}

// TestAllocations holds the allow path to a small constant of allocations.
func TestAllocations(t *testing.T) {
	a, c, n := fifty(t)
	if err := a.Authorize(t.Context(), c, n); err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(200, func() {
		if err := a.Authorize(t.Context(), c, n); err != nil {
			t.Error(err)
		}
	})
	if got > 4 {
		t.Errorf("a decision with 50 policies allocates %v times", got)
	}
}

// BenchmarkLatency tells the 50th and the 99th percentile of decisions with 50
// policies; the bound that is held against is 200 us for the latter.
func BenchmarkLatency(b *testing.B) {
	a, c, n := fifty(b)
	took := make([]time.Duration, 0, 1<<16)
	for b.Loop() {
		begin := time.Now()
		if err := a.Authorize(b.Context(), c, n); err != nil {
			b.Fatal(err)
		}
		if d := time.Since(begin); len(took) < cap(took) { // the first ones are enough
			took = append(took, d)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-us")
}
