package actions_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
)

func TestFind(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]awsapi.Access{
		"bedrock:InvokeModel":           awsapi.AccessRead,
		"BEDROCK:invokemodel":           awsapi.AccessRead,
		"bedrock:CallWithBearerToken":   awsapi.AccessRead, // no operation has this name
		"iam:PassRole":                  awsapi.AccessWrite,
		"iam:ListUsers":                 awsapi.AccessList,
		"iam:AttachRolePolicy":          awsapi.AccessPermissions,
		"sts:TagSession":                awsapi.AccessTagging,
		"organizations:AttachPolicy":    awsapi.AccessPermissions,
		"access-analyzer:ListAnalyzers": awsapi.AccessList,
	} {
		p, a := actions.Find(name)
		if p == nil || a == nil || a.Access != want {
			t.Errorf("%s: %v, want %v", name, a, want)
		}
	}
	if p, a := actions.Find("iam:Fly"); p == nil || a != nil {
		t.Errorf("iam:Fly is %v of %v", a, p)
	}
	for _, name := range []string{"", "nest:Fly", "iam", ":"} {
		if p, a := actions.Find(name); a != nil || p != nil && p.Name != "iam" {
			t.Errorf("%q is %v of %v", name, a, p)
		}
	}
}

// What an action names must stand in the tables of its prefix or in the global
// one, and an action that changes more than tags must not be told as less.
func TestTablesAgree(t *testing.T) {
	t.Parallel()
	global := actions.Of(actions.Global)
	known := func(p *actions.Prefix, keys []string) {
		for _, k := range keys {
			same := func(o actions.Key) bool { return o.Name == k }
			if !slices.ContainsFunc(p.Keys, same) && !slices.ContainsFunc(global.Keys, same) {
				t.Errorf("%s: condition key %s is in no table", p.Name, k)
			}
		}
	}
	if !slices.IsSortedFunc(actions.Prefixes(), func(a, b *actions.Prefix) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("prefixes are not sorted")
	}
	for _, p := range actions.Prefixes() {
		if (len(p.Actions) == 0) != (p == global) {
			t.Errorf("%s has %d actions", p.Name, len(p.Actions))
		}
		for _, a := range p.Actions {
			if a.Access == awsapi.AccessUnknown {
				t.Errorf("%s:%s has no level of access", p.Name, a.Name)
			}
			for _, r := range a.Resources {
				if p.Resource(r) == nil {
					t.Errorf("%s:%s: unknown resource type %s", p.Name, a.Name, r)
				}
			}
			known(p, a.Keys)
		}
		for _, r := range p.Resources {
			if !strings.HasPrefix(r.ARN, "arn:${Partition}:") {
				t.Errorf("%s: %s has the ARN %q", p.Name, r.Name, r.ARN)
			}
			known(p, r.Keys)
		}
		for _, k := range p.Keys {
			if !k.Is(strings.ToUpper(k.Name)) {
				t.Errorf("%s is no case of itself", k.Name)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ prefix, name, want, typ string }{
		{"aws", "AWS:sourceip", "aws:SourceIp", "IPAddress"},
		{"aws", "aws:PrincipalTag/team", "aws:PrincipalTag/${TagKey}", "String"},
		{"aws", "aws:principaltag/a/b", "aws:PrincipalTag/${TagKey}", "String"},
		{"aws", "aws:PrincipalTag/", "", ""},
		{"aws", "aws:PrincipalTag", "", ""},
		{"aws", "aws:SourceIpX", "", ""},
		{"bedrock", "bedrock:guardrailidentifier", "bedrock:GuardrailIdentifier", "ARN"},
		{"bedrock", "bedrock:none", "", ""},
		{"iam", "iam:PassedToService", "iam:PassedToService", "String"},
		{"sts", "sts:ExternalId", "sts:ExternalId", "String"},
	} {
		k := actions.Of(c.prefix).Key(c.name)
		if k == nil {
			k = new(actions.Key)
		}
		if k.Name != c.want || k.Type != c.typ {
			t.Errorf("%s: %+v, want %s of type %s", c.name, k, c.want, c.typ)
		}
	}
	k := actions.Key{Name: "agent.${Domain}.x:${K}"}
	for name, want := range map[string]bool{"AGENT.a.X:k": true, "agent.a.x:": false, "agent..x:k": false, "agent.a.y:k": false, "agent.": false} {
		if k.Is(name) != want {
			t.Errorf("%s: want %t", name, want)
		}
	}
}
