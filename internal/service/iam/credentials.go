package iam

import (
	"context"
	"strconv"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// The condition keys of service-specific credentials, by which a policy bounds
// their lives or forbids them.
const (
	keyCredentialService = "iam:servicespecificcredentialservicename"
	keyCredentialAge     = "iam:servicespecificcredentialagedays"
)

func (s *Service) credentialRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateServiceSpecificCredential, on(func(c *call.Call, in *api.CreateServiceSpecificCredentialInput) string {
			c.SetKey(keyCredentialService, text(in.ServiceName))
			if in.CredentialAgeDays != nil {
				c.SetKey(keyCredentialAge, strconv.Itoa(int(*in.CredentialAgeDays)))
			}
			return s.userARN(c, in.UserName)
		}), s.createCredential),
		service.BindResource(api.OpListServiceSpecificCredentials, on(func(c *call.Call, in *api.ListServiceSpecificCredentialsInput) string {
			if in.AllUsers != nil && *in.AllUsers {
				return arnOf(c, "user", nil, new("*"))
			}
			return s.userARN(c, in.UserName)
		}), s.listCredentials),
		service.BindResource(api.OpUpdateServiceSpecificCredential, on(func(c *call.Call, in *api.UpdateServiceSpecificCredentialInput) string {
			return s.userARN(c, in.UserName)
		}), s.updateCredential),
		service.BindResource(api.OpResetServiceSpecificCredential, on(func(c *call.Call, in *api.ResetServiceSpecificCredentialInput) string {
			c.SetKey(keyCredentialService, identity.BedrockService)
			return s.userARN(c, in.UserName)
		}), s.resetCredential),
		service.BindResource(api.OpDeleteServiceSpecificCredential, on(func(c *call.Call, in *api.DeleteServiceSpecificCredentialInput) string {
			return s.userARN(c, in.UserName)
		}), s.deleteCredential),
	}
}

// apiCredential is a new credential with its key, which is shown this once.
func apiCredential(v identity.Credential, made keys.Created) *api.ServiceSpecificCredential {
	out := &api.ServiceSpecificCredential{
		CreateDate: new(v.Created), ServiceName: new(identity.BedrockService), ServiceCredentialAlias: new(v.Alias),
		ServiceCredentialSecret: new(string(made.Secret.Reveal())), ServiceSpecificCredentialId: new(v.ID),
		UserName: new(v.User.Name), Status: new(api.StatusType(v.Status)),
	}
	if !v.Expires.IsZero() {
		out.ExpirationDate = new(v.Expires)
	}
	return out
}

func apiCredentialMetadata(v identity.Credential) api.ServiceSpecificCredentialMetadata {
	out := api.ServiceSpecificCredentialMetadata{
		UserName: new(v.User.Name), Status: new(api.StatusType(v.Status)), ServiceCredentialAlias: new(v.Alias), CreateDate: new(v.Created),
		ServiceSpecificCredentialId: new(v.ID), ServiceName: new(identity.BedrockService),
	}
	if !v.Expires.IsZero() {
		out.ExpirationDate = new(v.Expires)
	}
	return out
}

func (s *Service) createCredential(ctx context.Context, c *call.Call, in *api.CreateServiceSpecificCredentialInput) (*api.CreateServiceSpecificCredentialOutput, error) {
	days := 0
	if in.CredentialAgeDays != nil {
		days = int(*in.CredentialAgeDays)
	}
	v, made, err := s.dir.CreateCredential(ctx, c.Principal.Account, text(in.UserName), text(in.ServiceName), days, c.Region)
	if err != nil {
		return nil, err
	}
	return &api.CreateServiceSpecificCredentialOutput{ServiceSpecificCredential: apiCredential(v, made)}, nil
}

func (s *Service) listCredentials(ctx context.Context, c *call.Call, in *api.ListServiceSpecificCredentialsInput) (*api.ListServiceSpecificCredentialsOutput, error) {
	acct := c.Principal.Account
	everyone := in.AllUsers != nil && *in.AllUsers
	if everyone && in.UserName != nil {
		return nil, invalid("AllUsers: cannot stand beside UserName")
	}
	var all []identity.Credential
	var err error
	if everyone {
		all, err = s.dir.AllCredentials(ctx, acct)
	} else if name, nameErr := userNamed(c, in.UserName); nameErr != nil {
		return nil, nameErr
	} else if name != "" { // the root of an account has none
		u := s.dir.User(acct, name)
		if u == nil {
			return nil, noUser(name)
		}
		all, err = s.dir.Credentials(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	if in.ServiceName != nil && *in.ServiceName != identity.BedrockService {
		all = nil
	}
	items, marker, truncated, err := cut(all, position, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListServiceSpecificCredentialsOutput{
		ServiceSpecificCredentials: mapped(items, apiCredentialMetadata), Marker: marker, IsTruncated: truncated,
	}, nil
}

func (s *Service) updateCredential(ctx context.Context, c *call.Call, in *api.UpdateServiceSpecificCredentialInput) (*api.UpdateServiceSpecificCredentialOutput, error) {
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	status := keys.Status(*in.Status)
	if status != keys.Active && status != keys.Inactive {
		return nil, invalid("Status: must be Active or Inactive")
	}
	if err := s.dir.SetCredentialStatus(ctx, c.Principal.Account, name, text(in.ServiceSpecificCredentialId), status); err != nil {
		return nil, err
	}
	return &api.UpdateServiceSpecificCredentialOutput{}, nil
}

func (s *Service) resetCredential(ctx context.Context, c *call.Call, in *api.ResetServiceSpecificCredentialInput) (*api.ResetServiceSpecificCredentialOutput, error) {
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	v, made, err := s.dir.ResetCredential(ctx, c.Principal.Account, name, text(in.ServiceSpecificCredentialId), c.Region)
	if err != nil {
		return nil, err
	}
	return &api.ResetServiceSpecificCredentialOutput{ServiceSpecificCredential: apiCredential(v, made)}, nil
}

func (s *Service) deleteCredential(ctx context.Context, c *call.Call, in *api.DeleteServiceSpecificCredentialInput) (*api.DeleteServiceSpecificCredentialOutput, error) {
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	if err := s.dir.DeleteCredential(ctx, c.Principal.Account, name, text(in.ServiceSpecificCredentialId)); err != nil {
		return nil, err
	}
	return &api.DeleteServiceSpecificCredentialOutput{}, nil
}
