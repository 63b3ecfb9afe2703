package accessanalyzer

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
)

// maxPolicy is how many characters a policy may have that is checked: as many as
// the largest policy that is put anywhere.
const maxPolicy = policy.MaxResource

// reference is where AWS tells of the issues that ValidatePolicy finds.
const reference = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"

func (s *Service) validate(_ context.Context, _ *call.Call, in *api.ValidatePolicyInput) (*api.ValidatePolicyOutput, error) {
	if err := checkSize("policyDocument", *in.PolicyDocument); err != nil {
		return nil, err
	}
	kind := policy.Identity
	switch *in.PolicyType {
	case api.PolicyTypeServiceControlPolicy:
		kind = policy.ServiceControl
	case api.PolicyTypeResourcePolicy:
		kind = policy.Resource
	case api.PolicyTypeResourceControlPolicy:
		return nil, unsupported("policyType: resource control policies are not served here")
	}
	if t := in.ValidatePolicyResourceType; t != nil {
		if kind != policy.Resource {
			return nil, invalid("validatePolicyResourceType: goes with the policy type %s alone", api.PolicyTypeResourcePolicy)
		}
		if *t == api.ValidatePolicyResourceTypeAwsIamAssumeRolePolicyDocument {
			kind = policy.Trust
		}
	}
	var all []api.ValidatePolicyFinding
	for _, i := range analyze.Lint([]byte(*in.PolicyDocument), kind) {
		all = append(all, api.ValidatePolicyFinding{
			FindingDetails: &i.Text, FindingType: new(api.ValidatePolicyFindingType(i.Weight)), IssueCode: &i.Code, LearnMoreLink: new(learnMore(&i)),
			Locations: []api.Location{{Path: pathOf(i.Path), Span: &api.Span{Start: position(i.Begin), End: position(i.End)}}},
		})
	}
	out := &api.ValidatePolicyOutput{}
	var err error
	out.Findings, out.NextToken, err = cut(all, in.NextToken, in.MaxResults)
	return out, err
}

// learnMore is the address of AWS's words on an issue.
func learnMore(i *analyze.Issue) string {
	if i.Code == analyze.CodeWildcard {
		return reference
	}
	weight := strings.ToLower(strings.ReplaceAll(string(i.Weight), "_", "-"))
	if i.Weight == analyze.Warning {
		weight = "general-warning"
	}
	return reference + "#access-analyzer-reference-policy-checks-" + weight + "-" + strings.ToLower(strings.ReplaceAll(i.Code, "_", "-"))
}

func pathOf(path []any) []api.PathElement {
	out := []api.PathElement{}
	for _, p := range path {
		switch v := p.(type) {
		case string:
			out = append(out, api.PathElement{Value: &v})
		case int:
			out = append(out, api.PathElement{Index: new(int32(v))})
		}
	}
	return out
}

func position(p analyze.Position) *api.Position {
	return &api.Position{Line: new(int32(p.Line)), Column: new(int32(p.Column)), Offset: new(int32(p.Offset))}
}

func checkSize(field, document string) error {
	if utf8.RuneCountInString(document) > maxPolicy {
		return invalid("%s: has more than %d characters", field, maxPolicy)
	}
	return nil
}

// parse reads a policy that is to be checked. A trust policy is one of a resource,
// the role. Errors: InvalidParameterException.
func parse(field, document string, kinds ...policy.Kind) (*policy.Document, error) {
	if err := checkSize(field, document); err != nil {
		return nil, err
	}
	var first error
	for _, k := range kinds {
		d, err := policy.Parse([]byte(document), k)
		if err == nil {
			return d, nil
		}
		if first == nil {
			first = badParameter("%s: %v", field, err)
		}
	}
	return nil, first
}

// kindsOf are the kinds of policies that a type may be.
func kindsOf(t api.AccessCheckPolicyType) []policy.Kind {
	if t == api.AccessCheckPolicyTypeResourcePolicy {
		return []policy.Kind{policy.Resource, policy.Trust}
	}
	return []policy.Kind{policy.Identity}
}

func reasons(list []analyze.Reason) []api.ReasonSummary {
	out := []api.ReasonSummary{}
	for _, r := range list {
		v := api.ReasonSummary{Description: new(r.Text)}
		if r.Statement >= 0 {
			v.StatementIndex = new(int32(r.Statement))
			if r.Sid != "" {
				v.StatementId = new(r.Sid)
			}
		}
		out = append(out, v)
	}
	return out
}

func (s *Service) checkNoNewAccess(_ context.Context, _ *call.Call, in *api.CheckNoNewAccessInput) (*api.CheckNoNewAccessOutput, error) {
	kinds := kindsOf(*in.PolicyType)
	changed, err := parse("newPolicyDocument", *in.NewPolicyDocument, kinds...)
	if err != nil {
		return nil, err
	}
	old, err := parse("existingPolicyDocument", *in.ExistingPolicyDocument, kinds...)
	if err != nil {
		return nil, err
	}
	out := &api.CheckNoNewAccessOutput{
		Result: new(api.CheckNoNewAccessResultPass), Message: new("The new policy grants no access that the existing one does not grant."),
		Reasons: reasons(analyze.NewAccess(old, changed)),
	}
	if len(out.Reasons) > 0 {
		out.Result, out.Message = new(api.CheckNoNewAccessResultFail), new("The new policy may grant access that the existing one does not grant.")
	}
	return out, nil
}

func (s *Service) checkNotGranted(_ context.Context, _ *call.Call, in *api.CheckAccessNotGrantedInput) (*api.CheckAccessNotGrantedOutput, error) {
	d, err := parse("policyDocument", *in.PolicyDocument, kindsOf(*in.PolicyType)...)
	if err != nil {
		return nil, err
	}
	if len(in.Access) == 0 {
		return nil, invalid("access: want actions or resources")
	}
	var found []analyze.Reason
	for i, a := range in.Access {
		if len(a.Actions) == 0 && len(a.Resources) == 0 {
			return nil, invalid("access.%d: want actions or resources", i)
		}
		for j, name := range a.Actions {
			if _, action, ok := strings.Cut(name, ":"); name != "*" && (!ok || action == "") {
				return nil, badParameter("access.%d.actions.%d: an action is like bedrock:InvokeModel", i, j)
			}
		}
		found = append(found, analyze.Granted(d, analyze.Access{Actions: a.Actions, Resources: a.Resources})...)
	}
	out := &api.CheckAccessNotGrantedOutput{
		Result: new(api.CheckAccessNotGrantedResultPass), Message: new("The policy does not grant the access."), Reasons: reasons(found),
	}
	if len(found) > 0 {
		out.Result, out.Message = new(api.CheckAccessNotGrantedResultFail), new("The policy may grant some of the access.")
	}
	return out, nil
}

func (s *Service) checkNoPublic(_ context.Context, _ *call.Call, in *api.CheckNoPublicAccessInput) (*api.CheckNoPublicAccessOutput, error) {
	kind := policy.Resource
	if *in.ResourceType == api.AccessCheckResourceTypeAwsIamAssumeRolePolicyDocument {
		kind = policy.Trust
	}
	d, err := parse("policyDocument", *in.PolicyDocument, kind)
	if err != nil {
		return nil, err
	}
	out := &api.CheckNoPublicAccessOutput{
		Result: new(api.CheckNoPublicAccessResultPass), Message: new("The policy does not let in everybody."), Reasons: reasons(analyze.PublicAccess(d)),
	}
	if len(out.Reasons) > 0 {
		out.Result, out.Message = new(api.CheckNoPublicAccessResultFail), new("The policy lets in everybody.")
	}
	return out, nil
}
