package sts_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

func tagsOf(pairs ...string) []api.Tag {
	var out []api.Tag
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, api.Tag{Key: new(pairs[i]), Value: new(pairs[i+1])})
	}
	return out
}

// carried tells what a session carries.
func carried(p call.Principal) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(p.Session.Tags)) {
		mark := ""
		if slices.Contains(p.Session.TransitiveTags, k) {
			mark = "*"
		}
		parts = append(parts, k+mark+"="+p.Session.Tags[k])
	}
	if id := p.Session.SourceIdentity; id != "" {
		parts = append(parts, "from "+id)
	}
	return strings.Join(parts, " ")
}

// Tags that are transitive and the source identity go through a chain of roles,
// and nothing in the chain can change them. A star marks transitive tags.
func TestChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", allowAll)
	first := w.role(t, home, "first", trusting(ana.ARN), allowAll, 0)
	second := w.role(t, home, "second", trusting("arn:aws:iam::"+home+":root"), allowAll, 0)
	third := w.role(t, other, "third", trusting(second.ARN()), allowAll, 0)
	untagged := w.role(t, home, "untagged", policyOf("Allow", `"sts:AssumeRole"`, `"Principal":{"AWS":"arn:aws:iam::`+home+`:root"}`), "", 0)
	byTag := w.role(t, home, "by-tag", policyOf("Allow", `["sts:AssumeRole","sts:TagSession"]`,
		`"Principal":{"AWS":"arn:aws:iam::`+home+`:root"},"Condition":{"StringEquals":{"aws:RequestTag/team":"core"}}`), "", 0)

	type wish struct {
		name       string
		tags       []api.Tag
		transitive []string
		identity   string
	}
	in := func(role string, x wish) *api.AssumeRoleInput {
		i := &api.AssumeRoleInput{RoleArn: new(role), Tags: x.tags, TransitiveTagKeys: x.transitive}
		if x.identity != "" {
			i.SourceIdentity = new(x.identity)
		}
		return i
	}
	var x table
	enter := func(by call.Principal, role string, wish wish) (p call.Principal, ok bool) {
		out, err := w.assume(t, by, in(role, wish))
		if err == nil {
			p = w.become(t, out.Credentials)
			if (out.SourceIdentity == nil) != (p.Session.SourceIdentity == "") {
				t.Errorf("%s: answered source identity %v", wish.name, out.SourceIdentity)
			}
		}
		x.row(err, carriedOr(p), "%s into %s: %s", by.ARN, role, wish.name)
		return p, err == nil
	}
	for _, begin := range []wish{
		{name: "nothing"},
		{name: "team=core", tags: tagsOf("team", "core")},
		{name: "team*=core class=internal", tags: tagsOf("team", "core", "class", "internal"), transitive: []string{"team"}},
		{name: "Team*=core, written TEAM", tags: tagsOf("Team", "core"), transitive: []string{"TEAM"}},
		{name: "from ana", identity: "ana"},
		{name: "team*=core from ana", tags: tagsOf("team", "core"), transitive: []string{"team"}, identity: "ana"},
		{name: "twice the same key", tags: tagsOf("team", "core", "TEAM", "x")},
		{name: "a key that AWS keeps", tags: tagsOf("aws:team", "core")},
		{name: "transitive without a tag", tags: tagsOf("team", "core"), transitive: []string{"class"}},
		{name: "a tag without a value", tags: []api.Tag{{Key: new("team")}}},
	} {
		p, ok := enter(ana, first.ARN(), begin)
		if !ok {
			continue
		}
		for _, next := range []wish{
			{name: "nothing"},
			{name: "team=other", tags: tagsOf("team", "other")},
			{name: "TEAM=other", tags: tagsOf("TEAM", "other")},
			{name: "class=secret", tags: tagsOf("class", "secret")},
			{name: "from ana", identity: "ana"},
			{name: "from bob", identity: "bob"},
		} {
			q, ok := enter(p, second.ARN(), next)
			if ok && !q.Session.Chained {
				t.Errorf("%s, %s: not chained", begin.name, next.name)
			}
			if ok && next.name == "nothing" {
				enter(q, third.ARN(), wish{name: "nothing"})
				enter(q, untagged.ARN(), wish{name: "nothing"})
				enter(q, byTag.ARN(), wish{name: "nothing"})
			}
		}
	}
	x.check(t, "chain")
}

func carriedOr(p call.Principal) string {
	if p.Session == nil {
		return ""
	}
	if text := carried(p); text != "" {
		return "carries " + text
	}
	return "carries nothing"
}

// A role may ask for a source identity, allow only some, and forbid to set tags.
func TestSourceIdentityAndTagsNeedRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", "")
	trust := func(actions, cond string) string {
		return policyOf("Allow", actions, `"Principal":{"AWS":"`+ana.ARN+`"}`+cond)
	}
	var x table
	for i, test := range []struct{ name, trust string }{
		{"lets assume", trust(`"sts:AssumeRole"`, "")},
		{"lets assume and tag", trust(`["sts:AssumeRole","sts:TagSession"]`, "")},
		{"lets assume and set the source identity", trust(`["sts:AssumeRole","sts:SetSourceIdentity"]`, "")},
		{"lets all with source identity ana", trust(`["sts:*"]`, `,"Condition":{"StringEquals":{"sts:SourceIdentity":"ana"}}`)},
		{"lets all with tag keys team, class", trust(`["sts:*"]`, `,"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["team","class"]},"Null":{"aws:TagKeys":"false"}}`)},
		{"lets all with team core", trust(`["sts:*"]`, `,"Condition":{"StringEquals":{"aws:RequestTag/Team":"core"}}`)},
		{"lets all with transitive team", trust(`["sts:*"]`, `,"Condition":{"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":"team"}}`)},
	} {
		role := w.role(t, home, fmt.Sprintf("role-%d", i), test.trust, "", 0)
		for _, in := range []api.AssumeRoleInput{
			{},
			{SourceIdentity: new("ana")},
			{SourceIdentity: new("bob")},
			{Tags: tagsOf("team", "core")},
			{Tags: tagsOf("team", "core", "x", "y")},
			{Tags: tagsOf("team", "core"), TransitiveTagKeys: []string{"team"}},
		} {
			in.RoleArn = new(role.ARN())
			_, err := w.assume(t, ana, &in)
			sent := "nothing"
			switch {
			case in.SourceIdentity != nil:
				sent = "source identity " + *in.SourceIdentity
			case in.Tags != nil:
				sent = fmt.Sprintf("%d tags, %d transitive", len(in.Tags), len(in.TransitiveTagKeys))
			}
			x.row(err, "", "role %s, sent %s", test.name, sent)
		}
	}
	x.check(t, "rights")
}

// Session tags are tags of the principal, and win over those of the role.
func TestSessionTagsArePrincipalTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", assumeAny)
	role := w.role(t, home, "app", trusting(ana.ARN), policyOf("Allow", `"bedrock:InvokeModel"`, `"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"core"}}`), 0)
	for want, tags := range map[bool][]api.Tag{true: tagsOf("Team", "core"), false: tagsOf("team", "edge")} {
		out, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(role.ARN()), Tags: tags})
		must(t, err)
		if out.PackedPolicySize == nil || *out.PackedPolicySize < 1 {
			t.Errorf("PackedPolicySize %v", out.PackedPolicySize)
		}
		if got := w.may(t, w.become(t, out.Credentials), "bedrock:InvokeModel"); got != want {
			t.Errorf("tags %s: allowed %t", *tags[0].Value, got)
		}
	}
}

// A session has at most 50 tags, with those that it inherits.
func TestTooManyTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ana := w.user(t, home, "ana", allowAll)
	first, second := w.role(t, home, "first", trusting(ana.ARN), allowAll, 0), w.role(t, home, "second", trusting(home), allowAll, 0)
	many := func(prefix string, n int) (tags []api.Tag, keys []string) {
		for i := range n {
			key := fmt.Sprintf("%s%d", prefix, i)
			tags, keys = append(tags, tagsOf(key, "v")...), append(keys, key)
		}
		return tags, keys
	}
	tags, keys := many("a", 25)
	out, err := w.assume(t, ana, &api.AssumeRoleInput{RoleArn: new(first.ARN()), Tags: tags, TransitiveTagKeys: keys})
	must(t, err)
	p := w.become(t, out.Credentials)
	for n, want := range map[int]string{25: "", 26: "ValidationException", 51: "ValidationException"} {
		tags, _ := many("b", n)
		out, err := w.assume(t, p, &api.AssumeRoleInput{RoleArn: new(second.ARN()), Tags: tags})
		if want != "" {
			refused(t, err, want, "")
		} else if err != nil || len(w.become(t, out.Credentials).Session.Tags) != 50 {
			t.Errorf("%d more tags: %v", n, err)
		}
	}
}
