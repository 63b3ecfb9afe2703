package iam

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) accessedRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpGenerateServiceLastAccessedDetails, on(func(_ *call.Call, in *api.GenerateServiceLastAccessedDetailsInput) string {
			return text(in.Arn)
		}), s.generateAccessed),
		service.Bind(api.OpGetServiceLastAccessedDetails, s.getAccessed),
		service.Bind(api.OpGetServiceLastAccessedDetailsWithEntities, s.getAccessedEntities),
		service.BindResource(api.OpListPoliciesGrantingServiceAccess, on(func(_ *call.Call, in *api.ListPoliciesGrantingServiceAccessInput) string {
			return text(in.Arn)
		}), s.listGranting),
	}
}

// who is a principal whose uses are told: a user or a role.
type who struct {
	arn, id, name, path string
	kind                api.PolicyOwnerEntityType
	uses                []identity.ServiceUse
}

// subject is what service-last-accessed details were asked about: the principals
// behind an ARN, and the policies that say what they may use.
type subject struct {
	who      []who
	policies []*policy.Document
}

func (s *Service) userWho(u *identity.User) who {
	return who{u.ARN(), u.ID, u.Name, u.Path, api.PolicyOwnerEntityTypeUser, s.dir.ServiceUses(u.Account, u.ID)}
}

func (s *Service) roleWho(r *identity.Role) who {
	return who{r.ARN(), r.ID, r.Name, r.Path, api.PolicyOwnerEntityTypeRole, s.dir.ServiceUses(r.Account, r.ID)}
}

// subjectOf finds what an ARN of an account names. Errors: NoSuchEntity.
func (s *Service) subjectOf(acct, arn string) (*subject, error) {
	v := new(subject)
	if u := s.userOf(acct, arn); u != nil {
		v.who = append(v.who, s.userWho(u))
		v.policies = s.documents(acct, &u.Grants)
		for _, g := range s.dir.GroupsOf(u) {
			v.policies = append(v.policies, s.documents(acct, &g.Grants)...)
		}
		return v, nil
	}
	if r := s.dir.RoleByARN(arn); r != nil && r.Account == acct {
		v.who = append(v.who, s.roleWho(r))
		v.policies = s.documents(acct, &r.Grants)
		return v, nil
	}
	for _, g := range s.dir.Groups(acct) {
		if g.ARN() == arn {
			for _, u := range s.dir.GroupMembers(g) {
				v.who = append(v.who, s.userWho(u))
			}
			v.policies = s.documents(acct, &g.Grants)
			return v, nil
		}
	}
	if p := s.dir.Policy(acct, arn); p != nil {
		v.policies = []*policy.Document{p.Document()}
		for _, u := range s.dir.Users(acct) {
			if s.hasPolicy(u, arn) {
				v.who = append(v.who, s.userWho(u))
			}
		}
		for _, r := range s.dir.Roles(acct) {
			if slices.Contains(r.Attached, arn) {
				v.who = append(v.who, s.roleWho(r))
			}
		}
		return v, nil
	}
	return nil, noEntity("ARN %s does not exist.", arn)
}

// hasPolicy tells whether a managed policy is attached to a user or one of the
// user's groups.
func (s *Service) hasPolicy(u *identity.User, arn string) bool {
	return slices.Contains(u.Attached, arn) ||
		slices.ContainsFunc(s.dir.GroupsOf(u), func(g *identity.Group) bool { return slices.Contains(g.Attached, arn) })
}

// documents are the policies of an identity.
func (s *Service) documents(acct string, g *identity.Grants) []*policy.Document {
	out := make([]*policy.Document, 0, len(g.Inline)+len(g.Attached))
	for i := range g.Inline {
		out = append(out, g.Inline[i].Document())
	}
	for _, a := range g.Attached {
		if p := s.dir.Policy(acct, a); p != nil {
			out = append(out, p.Document())
		}
	}
	return out
}

func (s *Service) generateAccessed(ctx context.Context, c *call.Call, in *api.GenerateServiceLastAccessedDetailsInput) (*api.GenerateServiceLastAccessedDetailsOutput, error) {
	if _, err := s.subjectOf(c.Principal.Account, text(in.Arn)); err != nil {
		return nil, err
	}
	actionLevel := in.Granularity != nil && *in.Granularity == api.AccessAdvisorUsageGranularityTypeActionLevel
	j, err := s.dir.CreateAccessJob(ctx, c.Principal.Account, text(in.Arn), actionLevel)
	if err != nil {
		return nil, err
	}
	return &api.GenerateServiceLastAccessedDetailsOutput{JobId: new(j.ID)}, nil
}

// job returns a job and what it is about; nil for what is gone since.
func (s *Service) job(c *call.Call, id *string) (*identity.AccessJob, *subject, error) {
	j, err := s.dir.AccessJob(c.Principal.Account, text(id))
	if err != nil {
		return nil, nil, err
	}
	v, err := s.subjectOf(c.Principal.Account, j.ARN)
	if err != nil {
		v = nil
	}
	return j, v, nil
}

func goneSubject(j *identity.AccessJob) *api.ErrorDetails {
	return &api.ErrorDetails{Code: new("NoSuchEntity"), Message: new("ARN " + j.ARN + " does not exist.")}
}

func (s *Service) getAccessed(_ context.Context, c *call.Call, in *api.GetServiceLastAccessedDetailsInput) (*api.GetServiceLastAccessedDetailsOutput, error) {
	j, v, err := s.job(c, in.JobId)
	if err != nil {
		return nil, err
	}
	out := &api.GetServiceLastAccessedDetailsOutput{
		JobStatus: new(api.JobStatusTypeCompleted), JobType: new(api.AccessAdvisorUsageGranularityTypeServiceLevel),
		JobCreationDate: new(j.Created), JobCompletionDate: new(j.Created), ServicesLastAccessed: []api.ServiceLastAccessed{},
	}
	if j.Actions {
		out.JobType = new(api.AccessAdvisorUsageGranularityTypeActionLevel)
	}
	if v == nil {
		out.JobStatus, out.Error = new(api.JobStatusTypeFailed), goneSubject(j)
		return out, nil
	}
	all := v.services(j.Actions)
	key := func(_ int, a api.ServiceLastAccessed) string { return *a.ServiceNamespace }
	out.ServicesLastAccessed, out.Marker, out.IsTruncated, err = cut(all, key, in.Marker, in.MaxItems)
	return out, err
}

// services lists the services that the policies of v allow something of or that
// its principals used, by namespace.
func (v *subject) services(actionLevel bool) []api.ServiceLastAccessed {
	var out []api.ServiceLastAccessed
	for _, name := range v.namespaces() {
		a := api.ServiceLastAccessed{ServiceName: new(serviceName(name)), ServiceNamespace: new(name), TotalAuthenticatedEntities: new(int32(0))}
		var last time.Time
		for _, w := range v.who {
			u := w.use(name)
			if u == nil {
				continue
			}
			*a.TotalAuthenticatedEntities++
			if u.At.After(last) {
				last = u.At
				a.LastAuthenticated, a.LastAuthenticatedEntity, a.LastAuthenticatedRegion = new(u.At), new(w.arn), maybe(u.Region)
			}
		}
		if actionLevel {
			a.TrackedActionsLastAccessed = v.actions(name)
		}
		out = append(out, a)
	}
	return out
}

// use is what w used of a service, or nil.
func (w *who) use(service string) *identity.ServiceUse {
	if i := slices.IndexFunc(w.uses, func(u identity.ServiceUse) bool { return u.Service == service }); i >= 0 {
		return &w.uses[i]
	}
	return nil
}

// namespaces are the services that take part: those that a policy allows something
// of, known by an action of theirs or named in the policy, and those in use.
func (v *subject) namespaces() []string {
	seen := map[string]bool{}
	for _, w := range v.who {
		for _, u := range w.uses {
			seen[u.Service] = true
		}
	}
	for _, p := range actions.Prefixes() {
		if p.Name != actions.Global && grantsAny(v.policies, p) {
			seen[p.Name] = true
		}
	}
	for _, d := range v.policies {
		for _, st := range d.Statements() {
			if st.Effect != policy.Allow {
				continue
			}
			for _, a := range st.Actions {
				if name, _, ok := strings.Cut(strings.ToLower(a), ":"); ok && !strings.ContainsAny(name, "*?") {
					seen[name] = true
				}
			}
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// grantsAny tells whether policies allow any action of a service.
func grantsAny(docs []*policy.Document, p *actions.Prefix) bool {
	return slices.ContainsFunc(p.Actions, func(a actions.Action) bool { return grants(docs, p.Name+":"+a.Name) })
}

// grants tells whether a statement of the policies allows an action on anything.
func grants(docs []*policy.Document, action string) bool {
	matches := func(pattern string) bool { return policy.MatchAction(pattern, action) }
	for _, d := range docs {
		for _, st := range d.Statements() {
			if st.Effect != policy.Allow {
				continue
			}
			if slices.ContainsFunc(st.Actions, matches) || len(st.NotActions) > 0 && !slices.ContainsFunc(st.NotActions, matches) {
				return true
			}
		}
	}
	return false
}

// actions lists the actions of a service that the policies allow or that were
// used, by name.
func (v *subject) actions(service string) []api.TrackedActionLastAccessed {
	all := map[string]*api.TrackedActionLastAccessed{}
	if p := actions.Of(service); p != nil {
		for _, a := range p.Actions {
			if grants(v.policies, p.Name+":"+a.Name) {
				all[a.Name] = &api.TrackedActionLastAccessed{ActionName: new(a.Name)}
			}
		}
	}
	for _, w := range v.who {
		u := w.use(service)
		if u == nil {
			continue
		}
		for name, at := range u.Actions {
			t := all[name]
			if t == nil {
				t = &api.TrackedActionLastAccessed{ActionName: new(name)}
				all[name] = t
			}
			if t.LastAccessedTime == nil || at.At.After(*t.LastAccessedTime) {
				t.LastAccessedTime, t.LastAccessedEntity, t.LastAccessedRegion = new(at.At), new(w.arn), maybe(at.Region)
			}
		}
	}
	out := make([]api.TrackedActionLastAccessed, 0, len(all))
	for _, t := range all {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b api.TrackedActionLastAccessed) int { return cmp.Compare(*a.ActionName, *b.ActionName) })
	return out
}

// serviceName is the name of a service as the console shows it; others go by
// their namespace.
func serviceName(namespace string) string {
	switch namespace {
	case "access-analyzer":
		return "IAM Access Analyzer"
	case "aws-marketplace":
		return "AWS Marketplace"
	case "bedrock":
		return "Amazon Bedrock"
	case "cloudwatch":
		return "Amazon CloudWatch"
	case "iam":
		return "AWS Identity and Access Management"
	case "kms":
		return "AWS Key Management Service"
	case "logs":
		return "Amazon CloudWatch Logs"
	case "organizations":
		return "AWS Organizations"
	case "s3":
		return "Amazon S3"
	case "sagemaker":
		return "Amazon SageMaker"
	case "sts":
		return "AWS Security Token Service"
	}
	return namespace
}

func (s *Service) getAccessedEntities(_ context.Context, c *call.Call, in *api.GetServiceLastAccessedDetailsWithEntitiesInput) (*api.GetServiceLastAccessedDetailsWithEntitiesOutput, error) {
	j, v, err := s.job(c, in.JobId)
	if err != nil {
		return nil, err
	}
	out := &api.GetServiceLastAccessedDetailsWithEntitiesOutput{
		JobStatus: new(api.JobStatusTypeCompleted), JobCreationDate: new(j.Created), JobCompletionDate: new(j.Created), EntityDetailsList: []api.EntityDetails{},
	}
	if v == nil {
		out.JobStatus, out.Error = new(api.JobStatusTypeFailed), goneSubject(j)
		return out, nil
	}
	all := mapped(v.who, func(w who) api.EntityDetails {
		e := api.EntityDetails{EntityInfo: &api.EntityInfo{Arn: new(w.arn), Name: new(w.name), Type: new(w.kind), Id: new(w.id), Path: new(w.path)}}
		if u := w.use(text(in.ServiceNamespace)); u != nil {
			e.LastAuthenticated = new(u.At)
		}
		return e
	})
	slices.SortFunc(all, func(a, b api.EntityDetails) int { return cmp.Compare(*a.EntityInfo.Arn, *b.EntityInfo.Arn) })
	key := func(_ int, e api.EntityDetails) string { return *e.EntityInfo.Arn }
	out.EntityDetailsList, out.Marker, out.IsTruncated, err = cut(all, key, in.Marker, in.MaxItems)
	return out, err
}

// listGranting lists, for each service, the policies of a user, group or role that
// allow something of it; those of a user's groups too.
func (s *Service) listGranting(_ context.Context, c *call.Call, in *api.ListPoliciesGrantingServiceAccessInput) (*api.ListPoliciesGrantingServiceAccessOutput, error) {
	acct := c.Principal.Account
	owners, err := s.owners(acct, text(in.Arn))
	if err != nil {
		return nil, err
	}
	all := mapped(in.ServiceNamespaces, func(name string) api.ListPoliciesGrantingServiceAccessEntry {
		e := api.ListPoliciesGrantingServiceAccessEntry{ServiceNamespace: new(name), Policies: []api.PolicyGrantingServiceAccess{}}
		for _, o := range owners {
			e.Policies = append(e.Policies, s.granting(acct, o, name)...)
		}
		return e
	})
	out := new(api.ListPoliciesGrantingServiceAccessOutput)
	out.PoliciesGrantingServiceAccess, out.Marker, out.IsTruncated, err = cut(all, position, in.Marker, nil)
	return out, err
}

// owner is an identity that policies belong to.
type owner struct {
	kind   api.PolicyOwnerEntityType
	name   string
	grants *identity.Grants
}

// owners are the identities whose policies bind what an ARN names. Errors:
// NoSuchEntity.
func (s *Service) owners(acct, arn string) ([]owner, error) {
	if u := s.userOf(acct, arn); u != nil {
		out := []owner{{api.PolicyOwnerEntityTypeUser, u.Name, &u.Grants}}
		for _, g := range s.dir.GroupsOf(u) {
			out = append(out, owner{api.PolicyOwnerEntityTypeGroup, g.Name, &g.Grants})
		}
		return out, nil
	}
	if r := s.dir.RoleByARN(arn); r != nil && r.Account == acct {
		return []owner{{api.PolicyOwnerEntityTypeRole, r.Name, &r.Grants}}, nil
	}
	for _, g := range s.dir.Groups(acct) {
		if g.ARN() == arn {
			return []owner{{api.PolicyOwnerEntityTypeGroup, g.Name, &g.Grants}}, nil
		}
	}
	return nil, noEntity("ARN %s does not exist.", arn)
}

// granting are the policies of an identity that allow something of a service.
func (s *Service) granting(acct string, o owner, namespace string) []api.PolicyGrantingServiceAccess {
	var out []api.PolicyGrantingServiceAccess
	for i := range o.grants.Inline {
		if in := &o.grants.Inline[i]; allowsService(in.Document(), namespace) {
			out = append(out, api.PolicyGrantingServiceAccess{
				PolicyName: new(in.Name), PolicyType: new(api.PolicyTypeInline), EntityType: new(o.kind), EntityName: new(o.name),
			})
		}
	}
	for _, arn := range o.grants.Attached {
		if p := s.dir.Policy(acct, arn); p != nil && allowsService(p.Document(), namespace) {
			out = append(out, api.PolicyGrantingServiceAccess{PolicyName: new(p.Name), PolicyType: new(api.PolicyTypeManaged), PolicyArn: new(arn)})
		}
	}
	return out
}

// allowsService tells whether a policy allows something of a service.
func allowsService(d *policy.Document, namespace string) bool {
	v := subject{policies: []*policy.Document{d}}
	return slices.Contains(v.namespaces(), strings.ToLower(namespace))
}
