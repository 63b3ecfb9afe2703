package iam

import (
	"context"
	"errors"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) keyRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateAccessKey, on(func(c *call.Call, in *api.CreateAccessKeyInput) string {
			return s.userARN(c, in.UserName)
		}), s.createAccessKey),
		service.BindResource(api.OpListAccessKeys, on(func(c *call.Call, in *api.ListAccessKeysInput) string {
			return s.userARN(c, in.UserName)
		}), s.listAccessKeys),
		service.BindResource(api.OpUpdateAccessKey, on(func(c *call.Call, in *api.UpdateAccessKeyInput) string {
			return s.userARN(c, in.UserName)
		}), s.updateAccessKey),
		service.BindResource(api.OpDeleteAccessKey, on(func(c *call.Call, in *api.DeleteAccessKeyInput) string {
			return s.userARN(c, in.UserName)
		}), s.deleteAccessKey),
		service.BindResource(api.OpGetAccessKeyLastUsed, s.keyLastUsedResource, s.getAccessKeyLastUsed),
	}
}

func (s *Service) createAccessKey(ctx context.Context, c *call.Call, in *api.CreateAccessKeyInput) (*api.CreateAccessKeyOutput, error) {
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	k, err := s.dir.CreateAccessKey(ctx, c.Principal.Account, name, c.Region)
	if err != nil {
		return nil, err
	}
	return &api.CreateAccessKeyOutput{AccessKey: &api.AccessKey{
		UserName: maybe(name), AccessKeyId: new(k.ID), Status: new(api.StatusType(k.Status)),
		SecretAccessKey: new(string(k.Secret.Reveal())), CreateDate: new(k.Created.Truncate(time.Second)),
	}}, nil
}

func (s *Service) listAccessKeys(ctx context.Context, c *call.Call, in *api.ListAccessKeysInput) (*api.ListAccessKeysOutput, error) {
	acct := c.Principal.Account
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	owner := ""
	if name != "" {
		u := s.dir.User(acct, name)
		if u == nil {
			return nil, noUser(name)
		}
		owner = u.ID
	}
	all, err := s.dir.AccessKeys(ctx, acct, owner)
	if err != nil {
		return nil, err
	}
	items, marker, truncated, err := cut(all, position, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAccessKeysOutput{
		AccessKeyMetadata: mapped(items, func(k keys.Key) api.AccessKeyMetadata {
			return api.AccessKeyMetadata{
				UserName: maybe(name), AccessKeyId: new(k.ID), Status: new(api.StatusType(k.Status)), CreateDate: new(k.Created.Truncate(time.Second)),
			}
		}),
		Marker: marker, IsTruncated: truncated,
	}, nil
}

func (s *Service) updateAccessKey(ctx context.Context, c *call.Call, in *api.UpdateAccessKeyInput) (*api.UpdateAccessKeyOutput, error) {
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	status := keys.Status(*in.Status)
	if status != keys.Active && status != keys.Inactive {
		return nil, invalid("Status: must be Active or Inactive")
	}
	if err := s.dir.SetAccessKeyStatus(ctx, c.Principal.Account, name, text(in.AccessKeyId), status); err != nil {
		return nil, err
	}
	return &api.UpdateAccessKeyOutput{}, nil
}

func (s *Service) deleteAccessKey(ctx context.Context, c *call.Call, in *api.DeleteAccessKeyInput) (*api.DeleteAccessKeyOutput, error) {
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	if err := s.dir.DeleteAccessKey(ctx, c.Principal.Account, name, text(in.AccessKeyId)); err != nil {
		return nil, err
	}
	return &api.DeleteAccessKeyOutput{}, nil
}

// keyLastUsedResource is the user whose key it is. A refusal tells neither the user
// nor that there is such a key.
func (s *Service) keyLastUsedResource(ctx context.Context, c *call.Call, in *api.GetAccessKeyLastUsedInput) ([]string, error) {
	k, err := s.dir.KeyOfAccount(ctx, c.Principal.Account, text(in.AccessKeyId))
	if _, none := errors.AsType[*apierr.Error](err); none {
		return []string{"*"}, nil // whether there is such a key is told to those who may know
	}
	if err != nil {
		return nil, err
	}
	if u := s.dir.UserByID(k.Account, k.Owner); u != nil {
		c.Says(u.ARN(), "*")
		return []string{s.userARN(c, new(u.Name))}, nil
	}
	root := "arn:aws:iam::" + k.Account + ":root"
	c.Says(root, "*")
	return []string{root}, nil
}

func (s *Service) getAccessKeyLastUsed(ctx context.Context, c *call.Call, in *api.GetAccessKeyLastUsedInput) (*api.GetAccessKeyLastUsedOutput, error) {
	k, err := s.dir.KeyOfAccount(ctx, c.Principal.Account, text(in.AccessKeyId))
	if err != nil {
		return nil, err
	}
	out := &api.GetAccessKeyLastUsedOutput{AccessKeyLastUsed: s.keyLastUsed(k)}
	if u := s.dir.UserByID(k.Account, k.Owner); u != nil {
		out.UserName = new(u.Name)
	}
	return out, nil
}
