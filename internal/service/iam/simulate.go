package iam

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

const (
	maxSimulated  = 1000      // actions of one simulation, and resources
	maxPolicies   = 100       // policies that a simulation brings along
	maxEvaluated  = 20_000    // decisions of one answer; the rest comes with the next page
	maxReading    = 64 << 20  // bytes of policies that are read for one answer
	maxReadOnce   = 128 << 20 // bytes of policies that are read for one action
	everything    = "*"
	sourceIAM     = api.PolicySourceType("IAM Policy")
	sourceTarget  = api.PolicySourceType("Resource Policy")
	detailIAM     = "IAM Policy"
	detailTarget  = "Resource Policy"
	inputPolicy   = "PolicyInputList."
	inputBoundary = "PermissionsBoundaryPolicyInputList.1"
	inputTarget   = "ResourcePolicy"
)

func (s *Service) simulateRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpSimulatePrincipalPolicy, on(func(_ *call.Call, in *api.SimulatePrincipalPolicyInput) string {
			return text(in.PolicySourceArn)
		}), s.simulatePrincipal),
		service.Bind(api.OpSimulateCustomPolicy, s.simulateCustom),
		service.BindResource(api.OpGetContextKeysForPrincipalPolicy, on(func(_ *call.Call, in *api.GetContextKeysForPrincipalPolicyInput) string {
			return text(in.PolicySourceArn)
		}), s.contextKeysOfPrincipal),
		service.Bind(api.OpGetContextKeysForCustomPolicy, s.contextKeysOfCustom),
	}
}

// simulation is what a simulation is made of.
type simulation struct {
	caller   call.Principal // zero: an identity without a name
	policies access.Policies
	ids      map[*policy.Document]string // what the answer calls a policy
	target   access.Resource
	keys     map[string][]string

	actions, resources []string
}

func newSimulation() *simulation {
	return &simulation{ids: make(map[*policy.Document]string), keys: unknownKeys()}
}

// unknownKeys are the condition keys that a real request would have and a
// simulated one has only if the caller gives them a value.
func unknownKeys() map[string][]string {
	return map[string][]string{
		"aws:currenttime": nil, "aws:epochtime": nil, "aws:multifactorauthpresent": nil, "aws:multifactorauthage": nil,
		"aws:securetransport": nil, "aws:sourceip": nil, "aws:tokenissuetime": nil,
	}
}

// parsed reads policies that come with a call. Errors: InvalidInput 400 that names
// the policy, statement and element.
func parsed(field string, texts []string, kind policy.Kind) ([]*policy.Document, error) {
	if len(texts) > maxPolicies {
		return nil, badInput("%s: at most %d policies are allowed", field, maxPolicies)
	}
	out := make([]*policy.Document, len(texts))
	for i, t := range texts {
		d, err := policy.Parse([]byte(t), kind)
		if err != nil {
			if bad, ok := errors.AsType[*policy.Error](err); ok {
				return nil, badInput("%s.member.%d: %s", field, i+1, bad)
			}
			return nil, err
		}
		out[i] = d
	}
	return out, nil
}

// inputs adds the policies that a call brings along: identity policies and a
// boundary.
func (m *simulation) inputs(identityTexts, boundary []string) error {
	docs, err := parsed("PolicyInputList", identityTexts, policy.Identity)
	if err != nil {
		return err
	}
	for i, d := range docs {
		m.ids[d] = inputPolicy + strconv.Itoa(i+1)
	}
	m.policies.Identity = append(m.policies.Identity, docs...)
	if len(boundary) > 1 {
		return badInput("PermissionsBoundaryPolicyInputList: at most one policy is allowed")
	}
	docs, err = parsed("PermissionsBoundaryPolicyInputList", boundary, policy.Boundary)
	for _, d := range docs {
		m.ids[d], m.policies.Boundary = inputBoundary, d
	}
	return err
}

// request sets what is asked about: actions, resources, whose they are, and the
// context.
func (m *simulation) request(actionNames, resourceARNs []string, resourcePolicy, owner *string, entries []api.ContextEntry) error {
	if len(actionNames) == 0 || len(actionNames) > maxSimulated {
		return badInput("ActionNames: must have 1 to %d actions", maxSimulated)
	}
	if len(resourceARNs) > maxSimulated {
		return badInput("ResourceArns: at most %d resources are allowed", maxSimulated)
	}
	for i, a := range actionNames {
		if prefix, name, ok := strings.Cut(a, ":"); !ok || prefix == "" || name == "" || strings.ContainsAny(a, "*? ") {
			return badInput("ActionNames.member.%d: must be an action such as bedrock:InvokeModel, without wildcards", i+1)
		}
	}
	for i, r := range resourceARNs {
		if r != everything && !strings.HasPrefix(r, "arn:") {
			return badInput("ResourceArns.member.%d: must be an ARN or *", i+1)
		}
	}
	m.actions, m.resources = actionNames, resourceARNs
	m.target.Account = m.caller.Account
	if owner != nil {
		m.target.Account = *owner
		if a, err := arn.Parse(*owner); err == nil {
			m.target.Account = a.Account
		}
		if !arn.ValidAccount(m.target.Account) {
			return badInput("ResourceOwner: must be the number of an account, or an ARN of it")
		}
	}
	if resourcePolicy != nil {
		if m.caller.ARN == "" {
			return badInput("CallerArn: is required with ResourcePolicy")
		}
		docs, err := parsed("ResourcePolicy", []string{*resourcePolicy}, policy.Resource)
		if err != nil {
			return err
		}
		m.target.Policy = docs[0]
		m.ids[docs[0]] = inputTarget
	}
	for i, e := range entries {
		if text(e.ContextKeyName) == "" {
			return badInput("ContextEntries.member.%d.ContextKeyName: is required", i+1)
		}
		m.keys[strings.ToLower(*e.ContextKeyName)] = e.ContextKeyValues
	}
	return nil
}

// callerOf makes the principal that an ARN of a user or role names, for a caller of
// account acct, who learns nothing of another account's users. Errors: InvalidInput.
func (s *Service) callerOf(acct, callerARN string) (call.Principal, error) {
	a, err := arn.Parse(callerARN)
	kind, _, _ := strings.Cut(a.Resource, "/")
	if err != nil || a.Service != "iam" || !arn.ValidAccount(a.Account) || kind != "user" && kind != "role" {
		return call.Principal{}, badInput("CallerArn: must be the ARN of a user or role")
	}
	name := a.Resource[strings.LastIndexByte(a.Resource, '/')+1:]
	if kind == "role" {
		return rolePrincipal(a.Account, callerARN, "", name), nil
	}
	p := call.Principal{Type: call.User, Account: a.Account, ARN: callerARN, Name: name}
	if u := s.userOf(acct, callerARN); u != nil {
		p.UserID = u.ID
	}
	return p, nil
}

// rolePrincipal is a session of a role.
func rolePrincipal(acct, roleARN, id, name string) call.Principal {
	const session = "simulated"
	return call.Principal{
		Type: call.AssumedRole, Account: acct, ARN: "arn:aws:sts::" + acct + ":assumed-role/" + name + "/" + session, UserID: id + ":" + session,
		Session: &call.Session{RoleARN: roleARN, RoleID: id, RoleName: name, Name: session},
	}
}

// run answers for a page of the actions.
func (s *Service) run(ctx context.Context, m *simulation, marker *string, most *int32) ([]api.EvaluationResult, *string, *bool, error) {
	resources := max(1, len(m.resources))
	once := resources * m.size() // bytes of policies that are read for one action
	if once > maxReadOnce {
		return nil, nil, nil, badInput("PolicyInputList, ResourceArns: %d bytes of policies times %d resources are more than %d; simulate fewer at a time", m.size(), resources, maxReadOnce)
	}
	n := int32(max(1, min(maxEvaluated/resources, maxReading/max(1, once)))) // #nosec G115 -- at most maxEvaluated
	if most != nil {
		n = min(n, *most)
	}
	n = min(n, maxSimulated)
	if most == nil {
		n = min(n, defaultItems)
	}
	some, next, truncated, err := cut(m.actions, position, marker, &n)
	if err != nil {
		return nil, nil, nil, err
	}
	out := make([]api.EvaluationResult, 0, len(some))
	for _, action := range some {
		r, err := s.evaluate(ctx, m, action)
		if err != nil {
			return nil, nil, nil, err
		}
		out = append(out, r)
	}
	return out, next, truncated, nil
}

// evaluate simulates one action on all resources: the answer as a whole, which is
// the strictest, and for each resource.
func (s *Service) evaluate(ctx context.Context, m *simulation, action string) (api.EvaluationResult, error) {
	if len(m.resources) == 0 || len(m.resources) == 1 && m.resources[0] == everything {
		d, err := s.decide(ctx, m, action, everything)
		if err != nil {
			return api.EvaluationResult{}, err
		}
		return api.EvaluationResult{
			EvalActionName: new(action), EvalResourceName: new(everything), EvalDecision: new(decision(d.Outcome)),
			MatchedStatements: m.matched(d), MissingContextValues: m.missing(d),
			OrganizationsDecisionDetail: m.organization(d), PermissionsBoundaryDecisionDetail: m.boundary(d),
		}, nil
	}
	whole := api.EvaluationResult{EvalActionName: new(action), EvalResourceName: new(m.resources[0]), MatchedStatements: []api.Statement{}, MissingContextValues: []string{}}
	if len(m.resources) > 1 {
		whole.EvalResourceName = new(template(action))
	}
	worst := access.Allowed
	for _, r := range m.resources {
		if err := ctx.Err(); err != nil {
			return whole, err
		}
		d, err := s.decide(ctx, m, action, r)
		if err != nil {
			return whole, err
		}
		one := api.ResourceSpecificResult{
			EvalResourceName: new(r), EvalResourceDecision: new(decision(d.Outcome)), MatchedStatements: m.matched(d),
			MissingContextValues: m.missing(d), EvalDecisionDetails: m.details(d), PermissionsBoundaryDecisionDetail: m.boundary(d),
		}
		whole.ResourceSpecificResults = append(whole.ResourceSpecificResults, one)
		if whole.EvalDecision == nil || stricter(d.Outcome, worst) {
			worst = d.Outcome
			whole.EvalDecision, whole.EvalDecisionDetails = one.EvalResourceDecision, one.EvalDecisionDetails
			whole.OrganizationsDecisionDetail, whole.PermissionsBoundaryDecisionDetail = m.organization(d), one.PermissionsBoundaryDecisionDetail
		}
		if len(m.resources) == 1 {
			whole.MatchedStatements = one.MatchedStatements
		}
	}
	return whole, nil
}

// stricter orders outcomes: allowed, implicit deny, explicit deny.
func stricter(a, b access.Outcome) bool {
	rank := func(o access.Outcome) int {
		return slices.Index([]access.Outcome{access.Allowed, access.ImplicitDeny, access.ExplicitDeny}, o)
	}
	return rank(a) > rank(b)
}

// template is the form of the ARNs that an action works on, "*" when the tables do
// not know one.
func template(action string) string {
	prefix, name, _ := strings.Cut(action, ":")
	p := actions.Of(prefix)
	if p == nil {
		return everything
	}
	i := slices.IndexFunc(p.Actions, func(a actions.Action) bool { return strings.EqualFold(a.Name, name) })
	if i < 0 || len(p.Actions[i].Resources) == 0 {
		return everything
	}
	j := slices.IndexFunc(p.Resources, func(r actions.Resource) bool { return r.Name == p.Actions[i].Resources[0] })
	if j < 0 {
		return everything
	}
	return strings.ReplaceAll(p.Resources[j].ARN, "${Partition}", "aws")
}

func (s *Service) decide(ctx context.Context, m *simulation, action, resource string) (access.Decision, error) {
	return s.judge.Decide(ctx, access.Request{
		Principal: m.caller, Action: action, Resource: resource, Policies: &m.policies, Target: &m.target, Keys: m.keys,
	})
}

func decision(o access.Outcome) api.PolicyEvaluationDecisionType {
	switch o {
	case access.Allowed:
		return api.PolicyEvaluationDecisionTypeAllowed
	case access.ExplicitDeny:
		return api.PolicyEvaluationDecisionTypeExplicitDeny
	default:
		return api.PolicyEvaluationDecisionTypeImplicitDeny
	}
}

// matched lists the statements that decided. Service control policies are not
// shown, as at AWS; nor are boundaries that allow, since they grant nothing.
func (m *simulation) matched(d access.Decision) []api.Statement {
	out := []api.Statement{}
	for _, st := range d.Matched {
		if st.Kind == policy.ServiceControl || st.Kind == policy.Boundary && st.Effect == policy.Allow {
			continue
		}
		v := api.Statement{
			SourcePolicyId: new(m.ids[st.Document]), SourcePolicyType: new(sourceIAM),
			StartPosition: &api.Position{Line: count(st.Begin.Line), Column: count(st.Begin.Column)},
			EndPosition:   &api.Position{Line: count(st.End.Line), Column: count(st.End.Column)},
		}
		if st.Kind == policy.Resource {
			v.SourcePolicyType = new(sourceTarget)
		}
		out = append(out, v)
	}
	return out
}

// missing lists the context keys that policies read and nobody gave, but for those
// of service control policies.
func (m *simulation) missing(d access.Decision) []string {
	shown := map[string]bool{}
	for _, doc := range m.documents() {
		for _, name := range doc.ContextKeys() {
			shown[strings.ToLower(name)] = true
		}
	}
	return kept(d.Missing, func(name string) bool { return shown[strings.ToLower(name)] })
}

// size is how long the texts of all policies are together, in bytes.
func (m *simulation) size() int {
	n := 0
	for _, d := range m.documents() {
		n += len(d.Text())
	}
	return n
}

// documents are the policies whose details a caller may see.
func (m *simulation) documents() []*policy.Document {
	out := slices.Clone(m.policies.Identity)
	for _, d := range []*policy.Document{m.policies.Boundary, m.target.Policy} {
		if d != nil {
			out = append(out, d)
		}
	}
	return out
}

func (m *simulation) organization(d access.Decision) *api.OrganizationsDecisionDetail {
	o, ok := d.Layers[policy.ServiceControl]
	if !ok {
		return nil
	}
	return &api.OrganizationsDecisionDetail{AllowedByOrganizations: new(o == access.Allowed)}
}

func (m *simulation) boundary(d access.Decision) *api.PermissionsBoundaryDecisionDetail {
	o, ok := d.Layers[policy.Boundary]
	if !ok {
		return nil
	}
	return &api.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: new(o == access.Allowed)}
}

// details says what each side of a decision between two accounts came to; empty
// within one account.
func (m *simulation) details(d access.Decision) map[string]api.PolicyEvaluationDecisionType {
	out := map[string]api.PolicyEvaluationDecisionType{}
	if d.CrossAccount {
		out[detailIAM], out[detailTarget] = decision(d.Layers[policy.Identity]), decision(d.Layers[policy.Resource])
	}
	return out
}

func (s *Service) simulateCustom(ctx context.Context, c *call.Call, in *api.SimulateCustomPolicyInput) (*api.SimulateCustomPolicyOutput, error) {
	m := newSimulation()
	if in.CallerArn != nil {
		p, err := s.callerOf(c.Principal.Account, *in.CallerArn)
		if err != nil {
			return nil, err
		}
		m.caller = p
	}
	if err := m.inputs(in.PolicyInputList, in.PermissionsBoundaryPolicyInputList); err != nil {
		return nil, err
	}
	for i, level := range in.OrderedOrganizationPolicyInputList {
		if len(level.ServiceControlPolicyInputList) == 0 {
			return nil, badInput("OrderedOrganizationPolicyInputList.member.%d: must have a service control policy", i+1)
		}
		docs, err := parsed("ServiceControlPolicyInputList", level.ServiceControlPolicyInputList, policy.ServiceControl)
		if err != nil {
			return nil, err
		}
		m.policies.Control = append(m.policies.Control, docs)
	}
	if err := m.request(in.ActionNames, in.ResourceArns, in.ResourcePolicy, in.ResourceOwner, in.ContextEntries); err != nil {
		return nil, err
	}
	results, marker, truncated, err := s.run(ctx, m, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.SimulateCustomPolicyOutput{EvaluationResults: results, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) simulatePrincipal(ctx context.Context, c *call.Call, in *api.SimulatePrincipalPolicyInput) (*api.SimulatePrincipalPolicyOutput, error) {
	m, err := s.principalSimulation(ctx, c.Principal.Account, text(in.PolicySourceArn), in.PolicyExclusionList)
	if err != nil {
		return nil, err
	}
	if in.CallerArn != nil {
		if m.caller, err = s.callerOf(c.Principal.Account, *in.CallerArn); err != nil {
			return nil, err
		}
	}
	if err := m.inputs(in.PolicyInputList, in.PermissionsBoundaryPolicyInputList); err != nil {
		return nil, err
	}
	if err := m.request(in.ActionNames, in.ResourceArns, in.ResourcePolicy, in.ResourceOwner, in.ContextEntries); err != nil {
		return nil, err
	}
	results, marker, truncated, err := s.run(ctx, m, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.SimulatePrincipalPolicyOutput{EvaluationResults: results, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) contextKeysOfPrincipal(ctx context.Context, c *call.Call, in *api.GetContextKeysForPrincipalPolicyInput) (*api.GetContextKeysForPrincipalPolicyOutput, error) {
	m, err := s.principalSimulation(ctx, c.Principal.Account, text(in.PolicySourceArn), nil)
	if err != nil {
		return nil, err
	}
	if err := m.inputs(in.PolicyInputList, nil); err != nil {
		return nil, err
	}
	return &api.GetContextKeysForPrincipalPolicyOutput{ContextKeyNames: contextKeys(m.documents())}, nil
}

func (s *Service) contextKeysOfCustom(_ context.Context, _ *call.Call, in *api.GetContextKeysForCustomPolicyInput) (*api.GetContextKeysForCustomPolicyOutput, error) {
	docs := make([]*policy.Document, 0, len(in.PolicyInputList))
	if len(in.PolicyInputList) > maxPolicies {
		return nil, badInput("PolicyInputList: at most %d policies are allowed", maxPolicies)
	}
	for i, t := range in.PolicyInputList {
		// Any policy may be asked about: one that names principals too.
		d, err := policy.Parse([]byte(t), policy.Identity)
		if err != nil {
			var again error
			if d, again = policy.Parse([]byte(t), policy.Resource); again != nil {
				return nil, badInput("PolicyInputList.member.%d: %s", i+1, err)
			}
		}
		docs = append(docs, d)
	}
	return &api.GetContextKeysForCustomPolicyOutput{ContextKeyNames: contextKeys(docs)}, nil
}

// contextKeys are the condition keys that policies read, sorted without regard to
// case.
func contextKeys(docs []*policy.Document) []string {
	seen := map[string]string{}
	for _, d := range docs {
		for _, name := range d.ContextKeys() {
			if low := strings.ToLower(name); seen[low] == "" {
				seen[low] = name
			}
		}
	}
	out := make([]string, 0, len(seen))
	for _, low := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, seen[low])
	}
	return out
}
