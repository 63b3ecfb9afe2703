package sts

import (
	"context"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/session"
)

// ErrNotTrusted says that a role does not trust the service that wants to act as
// it, or that there is no such role.
var ErrNotTrusted = errors.New("sts: the role does not exist or does not trust the service")

// ForService makes a session of one hour of a role for a workload that a service
// runs, as EC2 does for instances and ECS for containers. The trust policy of the
// role must let one of the services, such as "ec2.amazonaws.com", assume it.
//
// Errors: ErrNotTrusted.
func (s *Service) ForService(ctx context.Context, role, name string, services ...string) (session.Credentials, error) {
	for _, service := range services {
		d, err := s.cfg.Access.Decide(ctx, access.Request{
			Principal: call.Principal{Type: call.AWSService, Name: service}, Action: "sts:AssumeRole", Resource: role,
			Keys: map[string][]string{"sts:rolesessionname": {name}}, Now: s.cfg.Now(),
		})
		if err != nil {
			return session.Credentials{}, fmt.Errorf("session of %s for %s: %w", role, service, err)
		}
		r := s.cfg.Directory.RoleByARN(role)
		if d.Outcome != access.Allowed || r == nil {
			continue
		}
		c, err := s.cfg.Sessions.IssueSized(s.session(r, name, defaultLife), 0)
		if err != nil {
			return session.Credentials{}, fmt.Errorf("session of %s for %s: %w", role, service, err)
		}
		return c, nil
	}
	return session.Credentials{}, ErrNotTrusted
}
