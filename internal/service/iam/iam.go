// Package iam serves AWS IAM: users, groups, roles, policies and what belongs to
// them, over the directory of package identity.
//
// Every handler works in the account of its caller and finds nothing of another.
// Policy documents leave it as they were put; the codec of the protocol encodes
// them as the API does.
package iam

import (
	"slices"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
)

// Config is what a Service is made of.
type Config struct {
	Directory *identity.Directory // required
}

// Service serves the API. It is safe for concurrent use.
type Service struct {
	dir     *identity.Directory
	reports reports
	judge   *access.Authorizer // of simulations: every fact is injected
}

// New returns a Service over cfg.
func New(cfg Config) *Service {
	return &Service{dir: cfg.Directory, judge: access.New(access.Config{Now: cfg.Directory.Now})}
}

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return slices.Concat(
		s.userRoutes(), s.groupRoutes(), s.keyRoutes(), s.roleRoutes(), s.profileRoutes(), s.policyRoutes(), s.versionRoutes(),
		s.attachRoutes(), s.attachedRoutes(), s.inlineRoutes(), s.boundaryRoutes(), s.tagRoutes(), s.accountRoutes(),
		s.mfaRoutes(), s.credentialRoutes(), s.oidcRoutes(), s.linkedRoutes(), s.reportRoutes(), s.absentRoutes(), s.accessedRoutes(), s.simulateRoutes(),
	)
}
