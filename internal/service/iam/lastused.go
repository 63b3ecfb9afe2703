package iam

import (
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// notUsed stands for service and region of a key that was never used.
const notUsed = "N/A"

func (s *Service) roleLastUsed(r *identity.Role) *api.RoleLastUsed {
	u, _ := s.dir.LastUse(r.Account, r.ID)
	if u.At.IsZero() {
		return &api.RoleLastUsed{}
	}
	return &api.RoleLastUsed{LastUsedDate: new(u.At), Region: maybe(u.Region)}
}

func (s *Service) keyLastUsed(k keys.Key) *api.AccessKeyLastUsed {
	u := s.dir.KeyUse(k)
	if u.At.IsZero() {
		return &api.AccessKeyLastUsed{ServiceName: new(notUsed), Region: new(notUsed)}
	}
	return &api.AccessKeyLastUsed{LastUsedDate: new(u.At), ServiceName: new(u.Service), Region: new(u.Region)}
}
