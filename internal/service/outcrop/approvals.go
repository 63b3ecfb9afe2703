package outcrop

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
	"github.com/outcrop/outcrop/internal/wire/page"
)

const (
	defaultElevation = time.Hour
	defaultPage      = 100
)

func (s *Service) createRequest(ctx context.Context, c *call.Call, in *api.CreateAccessRequestInput) (*api.CreateAccessRequestOutput, error) {
	role := s.cfg.Directory.RoleByARN(*in.RoleArn)
	if role == nil || role.Account != c.Principal.Account {
		return nil, apierr.NotFound("roleArn: there is no such role in this account")
	}
	if c.Principal.Session != nil && c.Principal.Session.Elevation != "" {
		return nil, apierr.AccessDenied("An elevated session cannot ask for another one.")
	}
	if in.SessionPolicy != nil {
		if _, err := policy.Parse([]byte(*in.SessionPolicy), policy.Session); err != nil {
			return nil, apierr.Validation("sessionPolicy: %v", err)
		}
	}
	duration := defaultElevation
	if in.DurationSeconds != nil {
		duration = time.Duration(*in.DurationSeconds) * time.Second
	}
	r, err := s.cfg.Approvals.Elevate(ctx, c, role.ARN(), *in.Reason, text(in.Ticket), text(in.SessionPolicy), duration)
	if err != nil {
		return nil, err
	}
	return &api.CreateAccessRequestOutput{AccessRequest: view(r)}, nil
}

func (s *Service) getRequest(_ context.Context, c *call.Call, in *api.GetAccessRequestInput) (*api.GetAccessRequestOutput, error) {
	r, err := s.cfg.Approvals.Get(c.Principal.Account, *in.RequestId)
	if err != nil {
		return nil, err
	}
	return &api.GetAccessRequestOutput{AccessRequest: view(r)}, nil
}

func (s *Service) listRequests(_ context.Context, c *call.Call, in *api.ListAccessRequestsInput) (*api.ListAccessRequestsOutput, error) {
	var state approval.State
	if in.State != nil {
		state = approval.State(*in.State)
	}
	var kind approval.Kind
	if in.Kind != nil {
		kind = approval.Kind(*in.Kind)
	}
	limit := defaultPage
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	key := func(_ int, r **approval.Request) string { return (*r).ID }
	requests, next, err := page.Named(s.cfg.Approvals.List(c.Principal.Account, state, kind), key, "", text(in.NextToken), limit)
	if err != nil || in.NextToken != nil && *in.NextToken == "" {
		return nil, apierr.Validation("nextToken: not a token that this operation returned")
	}
	out := &api.ListAccessRequestsOutput{AccessRequests: []api.AccessRequest{}, NextToken: some(next)}
	for _, r := range requests {
		out.AccessRequests = append(out.AccessRequests, *view(r))
	}
	return out, nil
}

// approve agrees to a request; a change is made at once.
func (s *Service) approve(ctx context.Context, c *call.Call, in *api.ApproveAccessRequestInput) (*api.ApproveAccessRequestOutput, error) {
	account := c.Principal.Account
	r, err := s.cfg.Approvals.Approve(ctx, account, *in.RequestId, text(in.Comment), &c.Principal)
	if err != nil {
		return nil, err
	}
	if r.Kind == approval.Change {
		failure := ""
		if err := s.cfg.Apply(ctx, r); err != nil {
			failure = apierr.From(err).Error()
		}
		// The change is made, or is not: its request has to say so.
		if r, err = s.cfg.Approvals.Finish(context.WithoutCancel(ctx), account, r.ID, failure); err != nil {
			return nil, err
		}
	}
	return &api.ApproveAccessRequestOutput{AccessRequest: view(r)}, nil
}

func (s *Service) reject(ctx context.Context, c *call.Call, in *api.RejectAccessRequestInput) (*api.RejectAccessRequestOutput, error) {
	r, err := s.cfg.Approvals.Reject(ctx, c.Principal.Account, *in.RequestId, text(in.Comment), &c.Principal)
	if err != nil {
		return nil, err
	}
	return &api.RejectAccessRequestOutput{AccessRequest: view(r)}, nil
}

func (s *Service) end(ctx context.Context, c *call.Call, in *api.EndAccessRequestInput) (*api.EndAccessRequestOutput, error) {
	r, err := s.cfg.Approvals.End(ctx, c.Principal.Account, *in.RequestId, text(in.Comment))
	if err != nil {
		return nil, err
	}
	return &api.EndAccessRequestOutput{AccessRequest: view(r)}, nil
}

// start gives credentials for an approved elevation, until its end.
func (s *Service) start(ctx context.Context, c *call.Call, in *api.StartElevatedSessionInput) (*api.StartElevatedSessionOutput, error) {
	r, err := s.cfg.Approvals.Start(ctx, c.Principal.Account, *in.RequestId, &c.Principal)
	if err != nil {
		return nil, err
	}
	role := s.cfg.Directory.RoleByARN(r.RoleARN)
	if role == nil {
		return nil, apierr.NotFound("The role of access request %s exists no more.", r.ID)
	}
	name := r.ID
	p := call.Principal{
		Type: call.AssumedRole, Account: role.Account,
		ARN:    "arn:aws:sts::" + role.Account + ":assumed-role/" + role.Name + "/" + name,
		UserID: role.ID + ":" + name,
		Session: &call.Session{
			Issued: s.cfg.Now().UTC().Truncate(time.Second), Expires: r.Ends,
			RoleARN: role.ARN(), RoleID: role.ID, RoleName: role.Name, Name: name,
			Origin: c.Principal.Origin(), Elevation: r.ID,
		},
	}
	if c.Principal.Session != nil {
		p.Session.MFA, p.Session.SourceIdentity = c.Principal.Session.MFA, c.Principal.Session.SourceIdentity
	}
	if r.Policy != "" {
		p.Session.Policies = []string{r.Policy}
	}
	cred, err := s.cfg.Sessions.Issue(p)
	if err != nil {
		return nil, err
	}
	return &api.StartElevatedSessionOutput{
		AccessKeyId: &cred.AccessKeyID, SecretAccessKey: new(string(cred.Secret.Reveal())), SessionToken: &cred.Token, Expiration: &cred.Expires,
	}, nil
}

func (s *Service) getRule(_ context.Context, c *call.Call, _ *api.GetApprovalRuleInput) (*api.GetApprovalRuleOutput, error) {
	return &api.GetApprovalRuleOutput{Actions: list(s.cfg.Approvals.Rule(c.Principal.Account).Actions)}, nil
}

// putRule replaces the rule of the account. One that lets go of an action needs an
// approval itself: else whoever may not make a change alone would change the rule
// first.
func (s *Service) putRule(ctx context.Context, c *call.Call, in *api.PutApprovalRuleInput) (*api.PutApprovalRuleOutput, error) {
	for i, a := range in.Actions {
		if err := approvable(a); err != nil {
			return nil, apierr.Validation("actions.%d: %v", i, err)
		}
	}
	if c.ApprovedBy == "" && !(approval.Rule{Actions: in.Actions}).Covers(s.cfg.Approvals.Rule(c.Principal.Account)) {
		return nil, s.cfg.Approvals.Keep(ctx, c, nil, in)
	}
	r, err := s.cfg.Approvals.SetRule(ctx, c.Principal.Account, in.Actions)
	if err != nil {
		return nil, err
	}
	return &api.PutApprovalRuleOutput{Actions: list(r.Actions)}, nil
}

// approvable refuses actions that cannot wait for days: those of inference, of
// sessions, and of approvals themselves.
func approvable(action string) error {
	prefix, name, _ := strings.Cut(action, ":")
	switch {
	case prefix != "bedrock" && prefix != "iam" && prefix != "organizations":
		return errors.New("only actions of bedrock, iam and organizations can be held back")
	case strings.Contains(strings.TrimSuffix(name, "*"), "*"):
		return errors.New("a * may stand at the end only")
	case name == "*", strings.HasPrefix(name, "Invoke"), strings.HasPrefix(name, "I*"), strings.HasPrefix(name, "Get"), strings.HasPrefix(name, "List"), strings.HasPrefix(name, "Retrieve"), strings.HasPrefix(name, "CountTokens"):
		return errors.New("only actions that change something can be held back")
	case approval.Secret(action):
		return errors.New("what its calls ask or answer is for their callers alone, so they cannot wait for an approval")
	}
	return nil
}

// view is a request as the API shows it.
func view(r *approval.Request) *api.AccessRequest {
	v := &api.AccessRequest{
		RequestId: &r.ID, Kind: new(api.RequestKind(r.Kind)), State: new(api.RequestState(r.State)), Requester: &r.Requester.ARN,
		Reason: &r.Reason, Ticket: some(r.Ticket), RoleArn: some(r.RoleARN), SessionPolicy: some(r.Policy), Action: some(r.Action),
		Resources: r.Resources, Input: awsapi.Document(r.Input), Comment: some(r.Comment), Failure: some(r.Failure),
		CreatedAt: &r.Created, ExpiresAt: &r.Expires, DecidedAt: date(r.Decided), StartedAt: date(r.Started), EndsAt: date(r.Ends), EndedAt: date(r.End),
	}
	if r.Duration > 0 {
		v.DurationSeconds = new(int32(r.Duration / time.Second))
	}
	if r.Approver != nil {
		v.Approver = &r.Approver.ARN
	}
	return v
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func date(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// list is never nil: the API has no absent lists here.
func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
