package accessanalyzer

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
)

// finding is a finding as the API tells it.
type finding struct {
	*analyze.Finding
	typ      api.FindingType
	resource api.ResourceType
	created  time.Time
	analyzed time.Time
	account  string
}

// findings are those of an analyzer, by their ids. Only what AWS's analyzers of the
// type look for is told; Outcrop's own review tells more.
func (s *Service) findings(ctx context.Context, a *analyze.Registered) ([]finding, error) {
	r, err := s.cfg.Analyzer.Review(ctx, a.Account, a.Days)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Second)
	var out []finding
	for i := range r.Findings {
		f := &r.Findings[i]
		typ, ok := typeOf(a.Type, f)
		if !ok {
			continue
		}
		created := f.Began
		if created.Before(a.Created) {
			created = a.Created
		}
		out = append(out, finding{f, typ, resourceType(f.Resource), created, now, a.Account})
	}
	slices.SortFunc(out, func(a, b finding) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// typeOf is the type of a finding for an analyzer of a type; ok is false for what
// such analyzers do not look for.
func typeOf(analyzer string, f *analyze.Finding) (t api.FindingType, ok bool) {
	if analyzer == analyze.OfExternalAccess {
		service := f.Type == analyze.ExternalAccess && strings.HasSuffix(f.Principals[0], ".amazonaws.com")
		return api.FindingTypeExternalAccess, f.Type == analyze.ExternalAccess && !service
	}
	switch f.Type {
	case analyze.UnusedRole:
		return api.FindingTypeUnusedIAMRole, true
	case analyze.UnusedAccessKey:
		return api.FindingTypeUnusedIAMUserAccessKey, strings.Contains(f.Resource, ":user/")
	case analyze.UnusedPermission:
		return api.FindingTypeUnusedPermission, true
	}
	return "", false
}

// resourceType names the type of a resource as CloudFormation does.
func resourceType(name string) api.ResourceType {
	a, err := arn.Parse(name)
	if err != nil {
		return ""
	}
	kind, _ := a.Split()
	switch {
	case a.Service == "iam" && kind == "role":
		return api.ResourceTypeAwsIamRole
	case a.Service == "iam":
		return api.ResourceTypeAwsIamUser
	}
	return api.ResourceType("AWS::" + words(a.Service) + "::" + words(kind))
}

// words writes a name with hyphens as one word: "FoundationModel".
func words(s string) string {
	var b strings.Builder
	for _, w := range strings.Split(s, "-") {
		if w != "" {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}

// attributes are what filters and orders go by. The names are AWS's.
func (f *finding) attributes() map[string][]string {
	all := map[string][]string{
		"id": {f.ID}, "findingType": {string(f.typ)}, "resource": {f.Resource}, "resourceType": {string(f.resource)},
		"resourceOwnerAccount": {f.account}, "status": {string(api.FindingStatusActive)},
		"createdAt": {f.created.Format(time.RFC3339)}, "updatedAt": {f.created.Format(time.RFC3339)}, "analyzedAt": {f.analyzed.Format(time.RFC3339)},
		"isPublic": nil, "error": nil, "principal.AWS": nil, "principal.Federated": nil, "action": nil,
	}
	if f.typ == api.FindingTypeExternalAccess {
		kind, who := principalOf(f.Principals[0])
		all["principal."+kind], all["isPublic"], all["action"] = []string{who}, []string{strconv.FormatBool(f.Public)}, f.Actions
	}
	return all
}

// passes tells whether a finding has what a filter asks for. Errors: an attribute
// that findings do not have.
func (f *finding) passes(filter map[string]api.Criterion) (bool, error) {
	all := f.attributes()
	for name, c := range filter {
		values, ok := all[name]
		if !ok {
			return false, invalid("filter.%s: findings have no such attribute", name)
		}
		in := func(list []string, is func(value, want string) bool) bool {
			return slices.ContainsFunc(values, func(v string) bool {
				return slices.ContainsFunc(list, func(w string) bool { return is(v, w) })
			})
		}
		equal := func(v, w string) bool { return v == w }
		if len(c.Eq) > 0 && !in(c.Eq, equal) || len(c.Neq) > 0 && in(c.Neq, equal) ||
			len(c.Contains) > 0 && !in(c.Contains, strings.Contains) || c.Exists != nil && *c.Exists != (len(values) > 0) {
			return false, nil
		}
	}
	return true, nil
}

func (s *Service) listFindings(ctx context.Context, c *call.Call, in *api.ListFindingsV2Input) (*api.ListFindingsV2Output, error) {
	a, err := s.analyzerByARN(c, *in.AnalyzerArn)
	if err != nil {
		return nil, err
	}
	all, err := s.findings(ctx, a)
	if err != nil {
		return nil, err
	}
	var chosen []finding
	for i := range all {
		ok, err := all[i].passes(in.Filter)
		if err != nil {
			return nil, err
		}
		if ok {
			chosen = append(chosen, all[i])
		}
	}
	if err := order(chosen, in.Sort); err != nil {
		return nil, err
	}
	some, next, err := cut(chosen, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListFindingsV2Output{Findings: []api.FindingSummaryV2{}, NextToken: next}
	for i := range some {
		f := &some[i]
		out.Findings = append(out.Findings, api.FindingSummaryV2{
			AnalyzedAt: &f.analyzed, CreatedAt: &f.created, UpdatedAt: &f.created, Id: &f.ID, Resource: &f.Resource,
			ResourceType: &f.resource, ResourceOwnerAccount: &f.account, Status: new(api.FindingStatusActive), FindingType: &f.typ,
		})
	}
	return out, nil
}

// order sorts findings by an attribute.
func order(all []finding, by *api.SortCriteria) error {
	if by == nil || by.AttributeName == nil {
		return nil
	}
	name := *by.AttributeName
	if _, ok := (&finding{Finding: &analyze.Finding{}}).attributes()[name]; !ok {
		return invalid("sort.attributeName: findings have no attribute %s", name)
	}
	down := by.OrderBy != nil && *by.OrderBy == api.OrderByDesc
	slices.SortStableFunc(all, func(a, b finding) int {
		n := slices.Compare(a.attributes()[name], b.attributes()[name])
		if down {
			return -n
		}
		return n
	})
	return nil
}

func (s *Service) getFinding(ctx context.Context, c *call.Call, in *api.GetFindingV2Input) (*api.GetFindingV2Output, error) {
	a, err := s.analyzerByARN(c, *in.AnalyzerArn)
	if err != nil {
		return nil, err
	}
	all, err := s.findings(ctx, a)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(f finding) bool { return f.ID == *in.Id })
	if i < 0 {
		return nil, about(apierr.NotFound("The analyzer has no finding %s.", *in.Id), "Finding", *in.Id)
	}
	f := &all[i]
	out := &api.GetFindingV2Output{
		AnalyzedAt: &f.analyzed, CreatedAt: &f.created, UpdatedAt: &f.created, Id: &f.ID, Resource: &f.Resource,
		ResourceType: &f.resource, ResourceOwnerAccount: &f.account, Status: new(api.FindingStatusActive), FindingType: &f.typ,
	}
	out.FindingDetails, out.NextToken, err = cut(details(f), in.NextToken, in.MaxResults)
	return out, err
}

// details are the details of a finding: of unused permissions one for each service.
func details(f *finding) []api.FindingDetails {
	switch f.typ {
	case api.FindingTypeExternalAccess:
		kind, who := principalOf(f.Principals[0])
		return []api.FindingDetails{{ExternalAccessDetails: &api.ExternalAccessDetails{
			Action: f.Actions, Condition: f.Conditions, IsPublic: &f.Public, Principal: map[string]string{kind: who},
			ResourceControlPolicyRestriction: new(api.ResourceControlPolicyRestrictionNotApplicable),
		}}}
	case api.FindingTypeUnusedIAMRole:
		return []api.FindingDetails{{UnusedIamRoleDetails: &api.UnusedIamRoleDetails{LastAccessed: date(f.LastUsed)}}}
	case api.FindingTypeUnusedIAMUserAccessKey:
		return []api.FindingDetails{{UnusedIamUserAccessKeyDetails: &api.UnusedIamUserAccessKeyDetails{AccessKeyId: &f.Key, LastAccessed: date(f.LastUsed)}}}
	}
	var out []api.FindingDetails
	for _, action := range f.Actions { // they are in order
		service, name, _ := strings.Cut(action, ":")
		if n := len(out); n == 0 || *out[n-1].UnusedPermissionDetails.ServiceNamespace != service {
			out = append(out, api.FindingDetails{UnusedPermissionDetails: &api.UnusedPermissionDetails{ServiceNamespace: &service}})
		}
		d := out[len(out)-1].UnusedPermissionDetails
		used := f.ActionsUsed[action]
		d.Actions = append(d.Actions, api.UnusedAction{Action: &name, LastAccessed: date(used)})
		if !used.IsZero() && (d.LastAccessed == nil || used.After(*d.LastAccessed)) {
			d.LastAccessed = &used
		}
	}
	return out
}

// principalOf names a principal as policies do.
func principalOf(name string) (kind, who string) {
	a, err := arn.Parse(name)
	switch {
	case err == nil && strings.HasPrefix(a.Resource, "oidc-provider/"), err == nil && strings.HasPrefix(a.Resource, "saml-provider/"):
		return "Federated", name
	case err == nil, name == "*", arn.ValidAccount(name), strings.HasPrefix(name, "o-"):
		return "AWS", name
	}
	return "Federated", name
}

func date(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
