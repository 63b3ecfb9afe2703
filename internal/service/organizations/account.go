package organizations

import (
	"context"
	"slices"

	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
)

func statusOut(r *identity.AccountRequest) *api.CreateAccountStatus {
	out := &api.CreateAccountStatus{
		Id: new(r.ID), AccountName: new(r.Name), State: new(api.CreateAccountStateSucceeded),
		RequestedTimestamp: new(r.Requested), CompletedTimestamp: new(r.Completed),
	}
	if r.Failure != "" {
		out.State, out.FailureReason = new(api.CreateAccountStateFailed), new(api.CreateAccountFailureReason(r.Failure))
	} else {
		out.AccountId = new(r.Account)
	}
	return out
}

func (s *Service) createAccount(ctx context.Context, in *api.CreateAccountInput) (*api.CreateAccountOutput, error) {
	r, err := s.dir.CreateOrgAccount(ctx, identity.NewAccount{
		Name: deref(in.AccountName), Email: deref(in.Email), Role: deref(in.RoleName), Tags: tagsIn(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateAccountOutput{CreateAccountStatus: statusOut(r)}, nil
}

func (s *Service) describeCreateAccountStatus(_ context.Context, in *api.DescribeCreateAccountStatusInput) (*api.DescribeCreateAccountStatusOutput, error) {
	r, err := s.dir.AccountRequest(deref(in.CreateAccountRequestId))
	if err != nil {
		return nil, err
	}
	return &api.DescribeCreateAccountStatusOutput{CreateAccountStatus: statusOut(r)}, nil
}

func (s *Service) listCreateAccountStatus(_ context.Context, in *api.ListCreateAccountStatusInput) (*api.ListCreateAccountStatusOutput, error) {
	var all []*api.CreateAccountStatus
	for _, r := range s.dir.AccountRequests() {
		if v := statusOut(r); len(in.States) == 0 || slices.Contains(in.States, *v.State) {
			all = append(all, v)
		}
	}
	order := func(v *api.CreateAccountStatus) string {
		return v.RequestedTimestamp.UTC().Format("2006-01-02T15:04:05Z ") + *v.Id
	}
	some, next, err := cut(all, order, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListCreateAccountStatusOutput{NextToken: next, CreateAccountStatuses: []api.CreateAccountStatus{}}
	for _, v := range some {
		out.CreateAccountStatuses = append(out.CreateAccountStatuses, *v)
	}
	return out, nil
}

func (s *Service) accountOut(m *identity.Member) api.Account {
	out := api.Account{
		Id: new(m.Account), Arn: new(s.accountARN(m.Account)), Status: new(api.AccountStatusActive), State: new(api.AccountStateActive),
		JoinedMethod: new(api.AccountJoinedMethodCreated), JoinedTimestamp: new(m.Joined),
	}
	if m.Request == "" {
		out.JoinedMethod = new(api.AccountJoinedMethodInvited)
	}
	if a := s.dir.Account(m.Account); a != nil {
		out.Name, out.Email = new(a.Name), new(a.Email)
		if a.Status != identity.AccountActive {
			out.Status, out.State = new(api.AccountStatusSuspended), new(api.AccountStateClosed)
		}
	}
	return out
}

func (s *Service) describeAccount(_ context.Context, in *api.DescribeAccountInput) (*api.DescribeAccountOutput, error) {
	m := s.dir.OrgMember(deref(in.AccountId))
	if m == nil {
		return nil, notFound("AccountNotFoundException", "You specified an account that is not in the organization.")
	}
	return &api.DescribeAccountOutput{Account: new(s.accountOut(m))}, nil
}

func (s *Service) accountsBelow(parent string, token *string, most *int32) ([]api.Account, *string, error) {
	all, err := s.dir.OrgMembers(parent)
	if err != nil {
		return nil, nil, err
	}
	some, next, err := cut(all, func(m *identity.Member) string { return m.Account }, token, most)
	out := make([]api.Account, len(some))
	for i, m := range some {
		out[i] = s.accountOut(m)
	}
	return out, next, err
}

func (s *Service) listAccounts(_ context.Context, in *api.ListAccountsInput) (*api.ListAccountsOutput, error) {
	list, next, err := s.accountsBelow("", in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListAccountsOutput{Accounts: list, NextToken: next}, nil
}

func (s *Service) listAccountsForParent(_ context.Context, in *api.ListAccountsForParentInput) (*api.ListAccountsForParentOutput, error) {
	list, next, err := s.accountsBelow(deref(in.ParentId), in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListAccountsForParentOutput{Accounts: list, NextToken: next}, nil
}

func (s *Service) moveAccount(ctx context.Context, in *api.MoveAccountInput) (*api.MoveAccountOutput, error) {
	return &api.MoveAccountOutput{}, s.dir.MoveAccount(ctx, deref(in.AccountId), deref(in.SourceParentId), deref(in.DestinationParentId))
}

func (s *Service) closeAccount(ctx context.Context, in *api.CloseAccountInput) (*api.CloseAccountOutput, error) {
	return &api.CloseAccountOutput{}, s.dir.CloseAccount(ctx, deref(in.AccountId))
}
