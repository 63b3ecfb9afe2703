package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func allow(action, resource string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, action, resource)
}

func deny(action, resource string) string {
	return fmt.Sprintf(`{"Effect":"Deny","Action":%q,"Resource":%q}`, action, resource)
}

const (
	titan   = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-lite-v1"
	claude  = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
	foreign = "arn:aws:bedrock:us-east-1:444455556666:custom-model/x"
)

// TestSimulateCustomPolicy has one row for each kind of policy that takes part.
func TestSimulateCustomPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	invoke := []string{"bedrock:InvokeModel"}
	user := new("arn:aws:iam::" + acctA + ":user/ana")
	grant := new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + *user + `"},"Action":"bedrock:InvokeModel","Resource":"*"}]}`)
	for _, c := range []struct {
		name    string
		in      api.SimulateCustomPolicyInput
		want    string
		matched []string // ids of policies
		missing []string
		org     *bool
		bounded *bool
		details map[string]string
	}{
		{name: "nothing allows", in: api.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}}, want: "implicitDeny"},
		{name: "allowed", in: api.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("bedrock:*", "*"))}}, want: "allowed", matched: []string{"PolicyInputList.1"}},
		{
			name: "deny wins", in: api.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("bedrock:*", "*")), document(deny("bedrock:Invoke*", "*"))}},
			want: "explicitDeny", matched: []string{"PolicyInputList.2"},
		},
		{
			name: "boundary", in: api.SimulateCustomPolicyInput{
				PolicyInputList: []string{document(allow("bedrock:*", "*"))}, PermissionsBoundaryPolicyInputList: []string{document(allow("s3:*", "*"))},
			}, want: "implicitDeny", bounded: new(false),
		},
		{
			name: "boundary allows", in: api.SimulateCustomPolicyInput{
				PolicyInputList: []string{document(allow("bedrock:*", "*"))}, PermissionsBoundaryPolicyInputList: []string{document(allow("*", "*"))},
			}, want: "allowed", matched: []string{"PolicyInputList.1"}, bounded: new(true),
		},
		{
			name: "organisation refuses", in: api.SimulateCustomPolicyInput{
				PolicyInputList: []string{document(allow("bedrock:*", "*"))},
				OrderedOrganizationPolicyInputList: []api.OrderedOrganizationPolicyType{
					{ServiceControlPolicyInputList: []string{document(allow("*", "*"))}}, {ServiceControlPolicyInputList: []string{document(deny("bedrock:*", "*"))}},
				},
			}, want: "explicitDeny", org: new(false),
		},
		{
			name: "organisation allows at every level", in: api.SimulateCustomPolicyInput{
				PolicyInputList:                    []string{document(allow("bedrock:*", "*"))},
				OrderedOrganizationPolicyInputList: []api.OrderedOrganizationPolicyType{{ServiceControlPolicyInputList: []string{document(allow("*", "*"))}}},
			}, want: "allowed", matched: []string{"PolicyInputList.1"}, org: new(true),
		},
		{
			name: "a missing key", in: api.SimulateCustomPolicyInput{PolicyInputList: []string{document(
				`{"Effect":"Allow","Action":"bedrock:*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}`)}},
			want: "implicitDeny", missing: []string{"aws:MultiFactorAuthPresent"},
		},
		{
			name: "a key that was given", in: api.SimulateCustomPolicyInput{
				PolicyInputList: []string{document(`{"Effect":"Allow","Action":"bedrock:*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}`)},
				ContextEntries:  []api.ContextEntry{{ContextKeyName: new("aws:multifactorauthpresent"), ContextKeyValues: []string{"true"}, ContextKeyType: new(api.ContextKeyTypeEnumBoolean)}},
			}, want: "allowed", matched: []string{"PolicyInputList.1"},
		},
		{
			name: "another account without its policy", in: api.SimulateCustomPolicyInput{
				PolicyInputList: []string{document(allow("bedrock:*", "*"))}, CallerArn: user, ResourceArns: []string{foreign}, ResourceOwner: new(acctB),
			}, want: "implicitDeny", details: map[string]string{"IAM Policy": "allowed", "Resource Policy": "implicitDeny"},
		},
		{
			name: "another account with its policy", in: api.SimulateCustomPolicyInput{
				PolicyInputList: []string{document(allow("bedrock:*", "*"))}, CallerArn: user, ResourceArns: []string{foreign},
				ResourceOwner: new("arn:aws:iam::" + acctB + ":root"), ResourcePolicy: grant,
			}, want: "allowed", matched: []string{"ResourcePolicy", "PolicyInputList.1"}, details: map[string]string{"IAM Policy": "allowed", "Resource Policy": "allowed"},
		},
		{
			name: "the resource's policy alone within an account", in: api.SimulateCustomPolicyInput{
				PolicyInputList: []string{document(allow("s3:*", "*"))}, CallerArn: user, ResourceArns: []string{titan}, ResourcePolicy: grant,
			}, want: "allowed", matched: []string{"ResourcePolicy"}, details: map[string]string{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.in.ActionNames = invoke
			out, err := do(w.root(acctA), api.OpSimulateCustomPolicy, &c.in)
			must(t, err)
			if len(out.EvaluationResults) != 1 || *out.IsTruncated {
				t.Fatalf("%d results", len(out.EvaluationResults))
			}
			r := out.EvaluationResults[0]
			missing := r.MissingContextValues
			if len(r.ResourceSpecificResults) > 0 {
				missing = r.ResourceSpecificResults[0].MissingContextValues
			}
			var matched []string
			for _, s := range r.MatchedStatements {
				matched = append(matched, *s.SourcePolicyId)
				if *s.StartPosition.Line != 1 || *s.EndPosition.Column <= *s.StartPosition.Column {
					t.Errorf("position %d:%d to %d:%d", *s.StartPosition.Line, *s.StartPosition.Column, *s.EndPosition.Line, *s.EndPosition.Column)
				}
			}
			if string(*r.EvalDecision) != c.want || !slices.Equal(matched, c.matched) || !slices.Equal(missing, c.missing) {
				t.Errorf("%s by %v, missing %v; want %s by %v, missing %v", *r.EvalDecision, matched, missing, c.want, c.matched, c.missing)
			}
			if d := r.OrganizationsDecisionDetail; (d == nil) != (c.org == nil) || d != nil && *d.AllowedByOrganizations != *c.org {
				t.Errorf("organisation %+v", d)
			}
			if d := r.PermissionsBoundaryDecisionDetail; (d == nil) != (c.bounded == nil) || d != nil && *d.AllowedByPermissionsBoundary != *c.bounded {
				t.Errorf("boundary %+v", d)
			}
			if len(r.EvalDecisionDetails) != len(c.details) || (r.EvalDecisionDetails == nil) != (c.details == nil) {
				t.Errorf("details %v, want %v", r.EvalDecisionDetails, c.details)
			}
			for k, v := range c.details {
				if string(r.EvalDecisionDetails[k]) != v {
					t.Errorf("details %v, want %v", r.EvalDecisionDetails, c.details)
				}
			}
		})
	}
}

// TestSimulateResources: several resources make one result that is the strictest
// of them, with each of them in it.
func TestSimulateResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	out, err := do(w.root(acctA), api.OpSimulateCustomPolicy, &api.SimulateCustomPolicyInput{
		PolicyInputList: []string{document(allow("bedrock:InvokeModel", titan))},
		ActionNames:     []string{"bedrock:InvokeModel", "bedrock:GetFoundationModel"}, ResourceArns: []string{titan, claude},
	})
	must(t, err)
	if len(out.EvaluationResults) != 2 {
		t.Fatalf("%d results", len(out.EvaluationResults))
	}
	r := out.EvaluationResults[0]
	if *r.EvalDecision != "implicitDeny" || len(r.ResourceSpecificResults) != 2 || !strings.Contains(*r.EvalResourceName, "${") {
		t.Errorf("%s of %s with %d resources", *r.EvalDecision, *r.EvalResourceName, len(r.ResourceSpecificResults))
	}
	if a, b := r.ResourceSpecificResults[0], r.ResourceSpecificResults[1]; *a.EvalResourceDecision != "allowed" || *a.EvalResourceName != titan || *b.EvalResourceDecision != "implicitDeny" {
		t.Errorf("%+v, %+v", a, b)
	}
	var actions []string
	var marker *string
	for {
		out, err := do(w.root(acctA), api.OpSimulateCustomPolicy, &api.SimulateCustomPolicyInput{
			PolicyInputList: []string{document(allow("bedrock:*", "*"))},
			ActionNames:     []string{"bedrock:A", "bedrock:B", "bedrock:C"}, MaxItems: new(int32(2)), Marker: marker,
		})
		must(t, err)
		for _, r := range out.EvaluationResults {
			actions = append(actions, *r.EvalActionName)
		}
		if marker = out.Marker; marker == nil {
			break
		}
	}
	if !slices.Equal(actions, []string{"bedrock:A", "bedrock:B", "bedrock:C"}) {
		t.Errorf("pages of %v", actions)
	}
}

func TestSimulatePrincipalPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ana := w.user(t, "ana")
	_, err := w.dir.CreateGroup(ctx, acctA, "readers", "")
	must(t, err)
	must(t, w.dir.JoinGroup(ctx, acctA, "readers", "ana"))
	must(t, w.dir.AttachPolicy(ctx, acctA, identity.TypeGroup, "readers", readOnly))
	must(t, w.dir.PutInline(ctx, acctA, identity.TypeUser, "ana", "own", document(allow("bedrock:InvokeModel", titan))))
	must(t, w.dir.PutInline(ctx, acctA, identity.TypeUser, "ana", "tagged", document(
		`{"Effect":"Allow","Action":"bedrock:CreateGuardrail","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red","aws:RequestedRegion":"us-east-1"}}}`)))
	_, err = w.dir.CreateRole(ctx, acctA, identity.NewRole{Name: "app", Trust: trustA})
	must(t, err)
	must(t, w.dir.PutInline(ctx, acctA, identity.TypeRole, "app", "own", allowInvoke))
	simulate := func(in api.SimulatePrincipalPolicyInput) api.EvaluationResult {
		t.Helper()
		out, err := do(w.root(acctA), api.OpSimulatePrincipalPolicy, &in)
		must(t, err)
		return out.EvaluationResults[0]
	}
	source := new(ana.who.ARN)
	r := simulate(api.SimulatePrincipalPolicyInput{PolicySourceArn: source, ActionNames: []string{"bedrock:InvokeModel"}, ResourceArns: []string{titan}})
	if *r.EvalDecision != "allowed" || len(r.MatchedStatements) != 1 || *r.MatchedStatements[0].SourcePolicyId != "user_ana_own" || *r.MatchedStatements[0].SourcePolicyType != "IAM Policy" {
		t.Errorf("inline policy: %s %+v", *r.EvalDecision, r.MatchedStatements)
	}
	list := api.SimulatePrincipalPolicyInput{PolicySourceArn: source, ActionNames: []string{"bedrock:ListFoundationModels"}}
	if r = simulate(list); *r.EvalDecision != "allowed" || *r.MatchedStatements[0].SourcePolicyId != "AmazonBedrockReadOnly" {
		t.Errorf("policy of the group: %s %+v", *r.EvalDecision, r.MatchedStatements)
	}
	list.PolicyExclusionList = []api.PolicyIdentifier{{PolicyArn: new(readOnly)}}
	if r = simulate(list); *r.EvalDecision != "implicitDeny" {
		t.Errorf("without the policy of the group: %s", *r.EvalDecision)
	}
	list.PolicyExclusionList = []api.PolicyIdentifier{{PolicyType: new(api.PolicyIdentifierPolicyTypeAwsManaged)}}
	if r = simulate(list); *r.EvalDecision != "implicitDeny" {
		t.Errorf("without AWS managed policies: %s", *r.EvalDecision)
	}
	list.PolicyExclusionList = []api.PolicyIdentifier{{InlinePolicyIdentifier: &api.InlinePolicyIdentifierType{
		PolicyName: new("own"), AttachmentName: new("ana"), AttachmentType: new(api.AttachmentType("User")),
	}}}
	list.ActionNames, list.ResourceArns = []string{"bedrock:InvokeModel"}, []string{titan}
	if r = simulate(list); *r.EvalDecision != "implicitDeny" {
		t.Errorf("without an inline policy: %s", *r.EvalDecision)
	}
	must(t, w.dir.TagUser(ctx, acctA, "ana", identity.Tags{{Key: "team", Value: "red"}}))
	tagged := api.SimulatePrincipalPolicyInput{PolicySourceArn: source, ActionNames: []string{"bedrock:CreateGuardrail"}}
	if r = simulate(tagged); *r.EvalDecision != "implicitDeny" || !slices.Equal(r.MissingContextValues, []string{"aws:CalledViaLast", "aws:RequestedRegion"}) {
		t.Errorf("the region is missing: %s, %v", *r.EvalDecision, r.MissingContextValues)
	}
	tagged.ContextEntries = []api.ContextEntry{{ContextKeyName: new("aws:RequestedRegion"), ContextKeyValues: []string{"us-east-1"}}}
	if r = simulate(tagged); *r.EvalDecision != "allowed" {
		t.Errorf("with tag and region: %s", *r.EvalDecision)
	}
	must(t, w.dir.SetBoundary(ctx, acctA, identity.TypeUser, "ana", readOnly))
	own := api.SimulatePrincipalPolicyInput{PolicySourceArn: source, ActionNames: []string{"bedrock:InvokeModel"}, ResourceArns: []string{titan}}
	if r = simulate(own); *r.EvalDecision != "implicitDeny" || *r.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary {
		t.Errorf("beyond the boundary: %s", *r.EvalDecision)
	}
	own.PolicyExclusionList = []api.PolicyIdentifier{{PolicyType: new(api.PolicyIdentifierPolicyTypePermissionBoundary)}}
	if r = simulate(own); *r.EvalDecision != "allowed" {
		t.Errorf("without the boundary: %s", *r.EvalDecision)
	}
	role := api.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:iam::" + acctA + ":role/app"), ActionNames: []string{"bedrock:InvokeModel"}}
	if r = simulate(role); *r.EvalDecision != "allowed" || *r.MatchedStatements[0].SourcePolicyId != "role_app_own" {
		t.Errorf("role: %s %+v", *r.EvalDecision, r.MatchedStatements)
	}
	group := api.SimulatePrincipalPolicyInput{
		PolicySourceArn: new("arn:aws:iam::" + acctA + ":group/readers"), ActionNames: []string{"bedrock:GetFoundationModel"}, ResourceArns: []string{titan},
	}
	if r = simulate(group); *r.EvalDecision != "allowed" {
		t.Errorf("group: %s", *r.EvalDecision)
	}
	for name, arn := range map[string]string{
		"of another account": "arn:aws:iam::" + acctB + ":user/ana", "of none": "arn:aws:iam::" + acctA + ":user/nobody", "no ARN": strings.Repeat("x", 20),
	} {
		if _, err := do(w.root(acctA), api.OpSimulatePrincipalPolicy, &api.SimulatePrincipalPolicyInput{
			PolicySourceArn: new(arn), ActionNames: []string{"bedrock:InvokeModel"},
		}); code(t, err) != "NoSuchEntity" && code(t, err) != "AccessDeniedException" {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys, err := do(w.root(acctA), api.OpGetContextKeysForPrincipalPolicy, &api.GetContextKeysForPrincipalPolicyInput{
		PolicySourceArn: source, PolicyInputList: []string{document(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/${aws:username}"}`)},
	})
	must(t, err)
	if !slices.Equal(keys.ContextKeyNames, []string{"aws:CalledViaLast", "aws:PrincipalTag/team", "aws:RequestedRegion", "aws:username"}) {
		t.Errorf("context keys %v", keys.ContextKeyNames)
	}
}

// TestSimulateOrganization: what the organisation refuses is told, but not why.
func TestSimulateOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	must(t, w.dir.EnsureAccount(ctx, acctB))
	o, err := w.dir.CreateOrganization(ctx)
	must(t, err)
	u, err := w.dir.CreateUser(ctx, acctB, identity.NewUser{Name: "eve"})
	must(t, err)
	must(t, w.dir.PutInline(ctx, acctB, identity.TypeUser, "eve", "own", allowInvoke))
	p, err := w.dir.CreateControlPolicy(ctx, "region", "", document(
		`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}`), nil)
	must(t, err)
	in := api.SimulatePrincipalPolicyInput{PolicySourceArn: new(u.ARN()), ActionNames: []string{"bedrock:InvokeModel"}}
	out, err := do(w.root(acctB), api.OpSimulatePrincipalPolicy, &in)
	must(t, err)
	if r := out.EvaluationResults[0]; *r.EvalDecision != "allowed" || !*r.OrganizationsDecisionDetail.AllowedByOrganizations {
		t.Errorf("before: %s", *r.EvalDecision)
	}
	must(t, w.dir.AttachControlPolicy(ctx, p.ID, o.Root))
	if _, err = do(w.root(acctB), api.OpSimulatePrincipalPolicy, &in); code(t, err) != "AccessDeniedException" {
		t.Fatalf("the policy binds the caller too: %v", err)
	}
	in.ContextEntries = []api.ContextEntry{{ContextKeyName: new("aws:RequestedRegion"), ContextKeyValues: []string{"eu-west-1"}}}
	r := w.routes["SimulatePrincipalPolicy"]
	for want, in := range map[string]api.SimulatePrincipalPolicyInput{
		"allowed":      in,
		"explicitDeny": {PolicySourceArn: in.PolicySourceArn, ActionNames: in.ActionNames},
	} {
		served, err := r.Serve(ctx, callOf(w.root(acctB)), &in)
		must(t, err)
		got := served.(*api.SimulatePrincipalPolicyOutput).EvaluationResults[0]
		if string(*got.EvalDecision) != want || *got.OrganizationsDecisionDetail.AllowedByOrganizations != (want == "allowed") || len(got.MissingContextValues) != 0 {
			t.Errorf("%s, want %s, missing %v", *got.EvalDecision, want, got.MissingContextValues)
		}
		for _, m := range got.MatchedStatements {
			if *m.SourcePolicyId != "user_eve_own" {
				t.Errorf("%s is shown", *m.SourcePolicyId)
			}
		}
	}
}

func TestSimulateErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ok := []string{document(allow("*", "*"))}
	invoke := []string{"bedrock:InvokeModel"}
	for name, in := range map[string]api.SimulateCustomPolicyInput{
		"no action":              {PolicyInputList: ok},
		"an action with a star":  {PolicyInputList: ok, ActionNames: []string{"bedrock:*"}},
		"an action without name": {PolicyInputList: ok, ActionNames: []string{"bedrock"}},
		"no JSON":                {PolicyInputList: []string{"{"}, ActionNames: invoke},
		"a principal":            {PolicyInputList: []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`}, ActionNames: invoke},
		"two boundaries":         {PolicyInputList: ok, PermissionsBoundaryPolicyInputList: []string{ok[0], ok[0]}, ActionNames: invoke},
		"an empty level":         {PolicyInputList: ok, OrderedOrganizationPolicyInputList: []api.OrderedOrganizationPolicyType{{}}, ActionNames: invoke},
		"a resource policy for nobody": {
			PolicyInputList: ok, ResourcePolicy: new(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`), ActionNames: invoke,
		},
		"a caller that is none":   {PolicyInputList: ok, CallerArn: new("arn:aws:s3:::bucket"), ActionNames: invoke},
		"an owner that is none":   {PolicyInputList: ok, ResourceOwner: new("me"), ActionNames: invoke},
		"a resource that is none": {PolicyInputList: ok, ResourceArns: []string{"model"}, ActionNames: invoke},
		"too many actions":        {PolicyInputList: ok, ActionNames: slices.Repeat(invoke, 1001)},
		"too many resources":      {PolicyInputList: ok, ActionNames: invoke, ResourceArns: slices.Repeat([]string{titan}, 1001)},
		"too many policies":       {PolicyInputList: slices.Repeat(ok, 101), ActionNames: invoke},
		"a nameless context key":  {PolicyInputList: ok, ActionNames: invoke, ContextEntries: []api.ContextEntry{{ContextKeyValues: []string{"x"}}}},
	} {
		if _, err := do(w.root(acctA), api.OpSimulateCustomPolicy, &in); code(t, err) != "InvalidInput" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := do(w.root(acctA), api.OpGetContextKeysForCustomPolicy, &api.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{"x"}}); code(t, err) != "InvalidInput" {
		t.Errorf("context keys of no policy: %v", err)
	}
	out, err := do(w.root(acctA), api.OpGetContextKeysForCustomPolicy, &api.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}}`,
	}})
	if err != nil || !slices.Equal(out.ContextKeyNames, []string{"aws:PrincipalOrgID"}) {
		t.Errorf("context keys of a resource's policy: %v, %v", out, err)
	}
}

// TestSimulateSize: a simulation keeps no core busy for long. What is too much for
// one answer comes with the next, and what is too much for one action is refused.
func TestSimulateSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	many := make([]string, 2000)
	for i := range many {
		many[i] = allow("s3:*", "*")
	}
	in := api.SimulateCustomPolicyInput{PolicyInputList: slices.Repeat([]string{document(many...)}, 30), ResourceArns: []string{titan}}
	for i := range 100 {
		in.ActionNames = append(in.ActionNames, fmt.Sprintf("bedrock:Action%d", i))
	}
	out, err := do(w.root(acctA), api.OpSimulateCustomPolicy, &in)
	must(t, err)
	if n := len(out.EvaluationResults); n == 0 || n > 40 || !*out.IsTruncated || out.Marker == nil {
		t.Errorf("%d results in one answer", n)
	}
	in.ResourceArns = slices.Repeat([]string{titan}, 1000)
	refused(t, w.root(acctA), "InvalidInput", api.OpSimulateCustomPolicy, &in)
}
