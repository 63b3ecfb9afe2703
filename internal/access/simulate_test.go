package access_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/accesstest"
	"github.com/outcrop/outcrop/internal/access/policy"
)

// TestDecide looks at what simulators are told.
func TestDecide(t *testing.T) {
	t.Parallel()
	const conditional = `{"Version":"2012-10-17","Statement":[
	{"Sid":"a","Effect":"Allow","Action":"bedrock:*","Resource":"*"},
	{"Sid":"b","Effect":"Allow","Action":"bedrock:Get*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"${aws:PrincipalTag/Team}"}}},
	{"Sid":"c","Effect":"Deny","Action":"bedrock:GetGuardrail","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"false"}}}]}`
	const toOther = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + accesstest.Home + `"},"Action":"bedrock:*","Resource":"*"}}`
	const s3 = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	for _, c := range []struct {
		name   string
		change func(w *accesstest.World)
		keys   map[string][]string
		want   string // outcome, who decided, layers, matched, missing
	}{
		{"allowed", func(w *accesstest.World) {}, nil,
			"allowed by identity-based policy; identity-based policy allowed; a 1:38-2:66; aws:MultiFactorAuthPresent aws:PrincipalTag/Team aws:ResourceTag/Team"},
		{"injected keys", func(w *accesstest.World) {}, map[string][]string{"aws:resourcetag/team": {"red"}, "aws:principaltag/team": {"red"}},
			"allowed by identity-based policy; identity-based policy allowed; a 1:38-2:66 b 2:66-3:150; aws:MultiFactorAuthPresent"},
		{"denied", func(w *accesstest.World) {}, map[string][]string{"aws:multifactorauthpresent": {"false"}},
			"explicitDeny by identity-based policy; identity-based policy explicitDeny; c 3:150-4:136; aws:PrincipalTag/Team aws:ResourceTag/Team"},
		{"keys taken away", func(w *accesstest.World) { w.Principal = callers()["alice+session"] }, map[string][]string{"aws:multifactorauthpresent": nil},
			"allowed by identity-based policy; identity-based policy allowed; a 1:38-2:66; aws:MultiFactorAuthPresent aws:PrincipalTag/Team aws:ResourceTag/Team"},
		{"boundary", func(w *accesstest.World) { w.Boundary = s3 }, nil,
			"implicitDeny by permissions boundary; identity-based policy allowed, permissions boundary implicitDeny; ; aws:MultiFactorAuthPresent aws:PrincipalTag/Team aws:ResourceTag/Team"},
		{"organisation", func(w *accesstest.World) { w.Control = [][]string{{allowAll}, {s3}} }, nil,
			"implicitDeny by service control policy; service control policy implicitDeny, identity-based policy allowed; ; aws:MultiFactorAuthPresent aws:PrincipalTag/Team aws:ResourceTag/Team"},
		{"cross account", func(w *accesstest.World) {
			w.Resource, w.ResourcePolicy = targets["foreign"], toOther
		}, nil,
			"allowed by identity-based policy across accounts; resource-based policy allowed, identity-based policy allowed;  1:38-1:126 a 1:38-2:66; aws:MultiFactorAuthPresent aws:PrincipalTag/Team aws:ResourceTag/Team"},
		{"root", func(w *accesstest.World) { w.Principal, w.Identity = callers()["root"], nil }, nil,
			"allowed to the root; identity-based policy implicitDeny; ; "},
		{"nothing", func(w *accesstest.World) { w.Identity = nil }, nil,
			"implicitDeny by identity-based policy; identity-based policy implicitDeny; ; "},
		{"nobody in particular", func(w *accesstest.World) {
			w.Principal = world().Principal
			w.Principal.Account = ""
		}, nil,
			"allowed by identity-based policy; identity-based policy allowed; a 1:38-2:66; aws:MultiFactorAuthPresent aws:PrincipalTag/Team aws:ResourceTag/Team"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world()
			w.Identity = []string{conditional}
			c.change(w)
			w.Keys = c.keys
			if got := describe(decide(t, compile(t, w))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// describe writes a decision into a line.
func describe(d access.Decision) string {
	var b strings.Builder
	b.WriteString(d.Outcome.String())
	if d.Root {
		b.WriteString(" to the root")
	} else {
		b.WriteString(" by " + d.By.String())
	}
	if d.CrossAccount {
		b.WriteString(" across accounts")
	}
	b.WriteString("; ")
	order := []policy.Kind{policy.ServiceControl, policy.Resource, policy.Trust, policy.Identity, policy.Boundary, policy.Session, policy.Endpoint}
	var layers []string
	for _, k := range order {
		if slices.Contains(slices.Collect(maps.Keys(d.Layers)), k) {
			layers = append(layers, k.String()+" "+d.Layers[k].String())
		}
	}
	b.WriteString(strings.Join(layers, ", ") + "; ")
	for i, m := range d.Matched {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%s %d:%d-%d:%d", m.Sid, m.Begin.Line, m.Begin.Column, m.End.Line, m.End.Column)
	}
	b.WriteString("; " + strings.Join(d.Missing, " "))
	return b.String()
}

// TestPositions compares with the examples of the simulator in the AWS CLI
// reference.
func TestPositions(t *testing.T) {
	t.Parallel()
	const alone = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}`
	const list = `{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "dynamodb:*",
            "Resource": "*"

        }
    ]
}`
	for text, want := range map[string][2]access.Position{
		alone: {{Line: 1, Column: 38}, {Line: 1, Column: 167}},
		list:  {{Line: 3, Column: 19}, {Line: 9, Column: 10}},
	} {
		w := world()
		w.Identity, w.Action, w.Resource = []string{text}, "dynamodb:CreateBackup", "*"
		w.Keys = map[string][]string{"aws:currenttime": {"2019-04-25T11:00:00Z"}}
		d := decide(t, compile(t, w))
		if len(d.Matched) != 1 || d.Matched[0].Begin != want[0] || d.Matched[0].End != want[1] {
			t.Errorf("got %+v, want %v", d.Matched, want)
		}
	}
}
