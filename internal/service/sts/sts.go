// Package sts serves the part of AWS STS that tells a caller who it is.
package sts

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// Service serves the API. It has no state and is safe for concurrent use.
type Service struct{}

// New returns a Service.
func New() *Service { return &Service{} }

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{service.Bind(api.OpGetCallerIdentity, s.callerIdentity)}
}

// callerIdentity answers every authenticated caller; it needs no permission.
func (s *Service) callerIdentity(_ context.Context, c *call.Call, _ *api.GetCallerIdentityInput) (*api.GetCallerIdentityOutput, error) {
	return &api.GetCallerIdentityOutput{
		UserId:  new(c.Principal.UserID),
		Account: new(c.Principal.Account),
		Arn:     new(c.Principal.ARN),
	}, nil
}
