package policy_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
)

// fifty are 50 policies of 5 statements each, with wildcards and conditions. Four
// of five statements are about the service of the request, and none decides early.
func fifty(tb testing.TB) []*policy.Document {
	var all []*policy.Document
	for i := range 50 {
		text := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Action": ["bedrock:Get*", "bedrock:List*"], "Resource": "*"},
			{"Effect": "Allow", "Action": "bedrock:Invoke*", "Resource": [
				"arn:aws:bedrock:*::foundation-model/meta.*-%d", "arn:aws:bedrock:*:*:*-profile/*.meta.*"]},
			{"Effect": "Deny", "Action": "bedrock:*Model*", "Resource": "arn:aws:bedrock:*::foundation-model/*",
				"Condition": {
					"StringNotLike": {"aws:PrincipalTag/Team": ["team-*", "${aws:ResourceTag/Team, 'none'}-%d"]},
					"Bool": {"aws:SecureTransport": "true"},
					"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}}},
			{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/%d",
				"Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}},
			{"Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "arn:aws:bedrock:*::foundation-model/*",
				"Condition": {
					"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"},
					"DateGreaterThan": {"aws:CurrentTime": "2025-01-01T00:00:00Z"},
					"NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}}]}`, i, i, i)
		d, err := policy.Parse([]byte(text), policy.Identity)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func question() *policy.Request {
	return &policy.Request{
		Principal: policy.Principal{ARN: "arn:aws:iam::111122223333:user/ann", Account: "111122223333"},
		Action:    "bedrock:InvokeModel", Resource: "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		Keys: policytest.Keys{
			"aws:principaltag/team": {"team-red"}, "aws:resourcetag/team": {"red"}, "aws:securetransport": {"true"},
			"aws:sourceip": {"10.1.2.3"}, "aws:principalarn": {"arn:aws:iam::111122223333:user/ann"},
			"aws:currenttime": {"2026-03-01T12:00:00Z"}, "aws:multifactorauthage": {"300"},
		},
	}
}

// decide evaluates all documents, as an authoriser does.
func decide(all []*policy.Document, r *policy.Request) policy.Effect {
	effect := policy.None
	for _, d := range all {
		effect = max(effect, d.Evaluate(r).Effect)
	}
	return effect
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	// Not parallel: AllocsPerRun counts the allocations of the whole process.
	all, r := fifty(t), question()
	if got := decide(all, r); got != policy.None {
		t.Fatalf("the benchmark ends early: %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { decide(all, r) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkEvaluate50(b *testing.B) {
	all, r := fifty(b), question()
	b.ReportAllocs()
	for b.Loop() {
		decide(all, r)
	}
}

func BenchmarkParse(b *testing.B) {
	text := slices.Clone(fifty(b)[0].Text())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse(text, policy.Identity); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMatchWorst is what a pattern made for the purpose can cost.
func BenchmarkMatchWorst(b *testing.B) {
	arn := "arn:aws:bedrock:us-east-1::" + strings.Repeat("a", 2000)
	for i, p := range worst() {
		b.Run(strconv.Itoa(i), func(b *testing.B) {
			for b.Loop() {
				policy.MatchResource("arn:aws:bedrock:us-east-1::"+p, arn)
			}
		})
	}
}
