package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) tagRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpTagUser, on(func(c *call.Call, in *api.TagUserInput) string {
			requestTags(c, in.Tags)
			return s.userARN(c, in.UserName)
		}), s.tagUser),
		service.BindResource(api.OpUntagUser, on(func(c *call.Call, in *api.UntagUserInput) string {
			c.SetKey(keyTagKeys, in.TagKeys...)
			return s.userARN(c, in.UserName)
		}), s.untagUser),
		service.BindResource(api.OpListUserTags, on(func(c *call.Call, in *api.ListUserTagsInput) string {
			return s.userARN(c, in.UserName)
		}), s.listUserTags),
		service.BindResource(api.OpTagRole, on(func(c *call.Call, in *api.TagRoleInput) string {
			requestTags(c, in.Tags)
			return s.roleARN(c, in.RoleName)
		}), s.tagRole),
		service.BindResource(api.OpUntagRole, on(func(c *call.Call, in *api.UntagRoleInput) string {
			c.SetKey(keyTagKeys, in.TagKeys...)
			return s.roleARN(c, in.RoleName)
		}), s.untagRole),
		service.BindResource(api.OpListRoleTags, on(func(c *call.Call, in *api.ListRoleTagsInput) string {
			return s.roleARN(c, in.RoleName)
		}), s.listRoleTags),
		service.BindResource(api.OpTagInstanceProfile, on(func(c *call.Call, in *api.TagInstanceProfileInput) string {
			requestTags(c, in.Tags)
			return s.profileARN(c, in.InstanceProfileName)
		}), s.tagInstanceProfile),
		service.BindResource(api.OpUntagInstanceProfile, on(func(c *call.Call, in *api.UntagInstanceProfileInput) string {
			c.SetKey(keyTagKeys, in.TagKeys...)
			return s.profileARN(c, in.InstanceProfileName)
		}), s.untagInstanceProfile),
		service.BindResource(api.OpListInstanceProfileTags, on(func(c *call.Call, in *api.ListInstanceProfileTagsInput) string {
			return s.profileARN(c, in.InstanceProfileName)
		}), s.listInstanceProfileTags),
		service.BindResource(api.OpTagPolicy, on(func(c *call.Call, in *api.TagPolicyInput) string {
			requestTags(c, in.Tags)
			return s.policyARN(c, in.PolicyArn)
		}), s.tagPolicy),
		service.BindResource(api.OpUntagPolicy, on(func(c *call.Call, in *api.UntagPolicyInput) string {
			c.SetKey(keyTagKeys, in.TagKeys...)
			return s.policyARN(c, in.PolicyArn)
		}), s.untagPolicy),
		service.BindResource(api.OpListPolicyTags, on(func(c *call.Call, in *api.ListPolicyTagsInput) string {
			return s.policyARN(c, in.PolicyArn)
		}), s.listPolicyTags),
	}
}

// tagPage returns one answer of the tags of an entity.
func tagPage(tags identity.Tags, marker *string, most *int32) (items []api.Tag, next *string, truncated *bool, err error) {
	return cut(apiTags(tags), position, marker, most)
}

func (s *Service) tagUser(ctx context.Context, c *call.Call, in *api.TagUserInput) (*api.TagUserOutput, error) {
	if err := s.dir.TagUser(ctx, c.Principal.Account, text(in.UserName), tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	return &api.TagUserOutput{}, nil
}

func (s *Service) untagUser(ctx context.Context, c *call.Call, in *api.UntagUserInput) (*api.UntagUserOutput, error) {
	if err := s.dir.UntagUser(ctx, c.Principal.Account, text(in.UserName), in.TagKeys); err != nil {
		return nil, err
	}
	return &api.UntagUserOutput{}, nil
}

func (s *Service) listUserTags(_ context.Context, c *call.Call, in *api.ListUserTagsInput) (*api.ListUserTagsOutput, error) {
	v := s.dir.User(c.Principal.Account, text(in.UserName))
	if v == nil {
		return nil, noUser(text(in.UserName))
	}
	items, marker, truncated, err := tagPage(v.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListUserTagsOutput{Tags: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) tagRole(ctx context.Context, c *call.Call, in *api.TagRoleInput) (*api.TagRoleOutput, error) {
	if err := s.dir.TagRole(ctx, c.Principal.Account, text(in.RoleName), tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	return &api.TagRoleOutput{}, nil
}

func (s *Service) untagRole(ctx context.Context, c *call.Call, in *api.UntagRoleInput) (*api.UntagRoleOutput, error) {
	if err := s.dir.UntagRole(ctx, c.Principal.Account, text(in.RoleName), in.TagKeys); err != nil {
		return nil, err
	}
	return &api.UntagRoleOutput{}, nil
}

func (s *Service) listRoleTags(_ context.Context, c *call.Call, in *api.ListRoleTagsInput) (*api.ListRoleTagsOutput, error) {
	v := s.dir.Role(c.Principal.Account, text(in.RoleName))
	if v == nil {
		return nil, noRole(text(in.RoleName))
	}
	items, marker, truncated, err := tagPage(v.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListRoleTagsOutput{Tags: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) tagInstanceProfile(ctx context.Context, c *call.Call, in *api.TagInstanceProfileInput) (*api.TagInstanceProfileOutput, error) {
	if err := s.dir.TagInstanceProfile(ctx, c.Principal.Account, text(in.InstanceProfileName), tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	return &api.TagInstanceProfileOutput{}, nil
}

func (s *Service) untagInstanceProfile(ctx context.Context, c *call.Call, in *api.UntagInstanceProfileInput) (*api.UntagInstanceProfileOutput, error) {
	if err := s.dir.UntagInstanceProfile(ctx, c.Principal.Account, text(in.InstanceProfileName), in.TagKeys); err != nil {
		return nil, err
	}
	return &api.UntagInstanceProfileOutput{}, nil
}

func (s *Service) listInstanceProfileTags(_ context.Context, c *call.Call, in *api.ListInstanceProfileTagsInput) (*api.ListInstanceProfileTagsOutput, error) {
	v := s.dir.InstanceProfile(c.Principal.Account, text(in.InstanceProfileName))
	if v == nil {
		return nil, noProfile(text(in.InstanceProfileName))
	}
	items, marker, truncated, err := tagPage(v.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListInstanceProfileTagsOutput{Tags: items, Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) tagPolicy(ctx context.Context, c *call.Call, in *api.TagPolicyInput) (*api.TagPolicyOutput, error) {
	if err := s.dir.TagPolicy(ctx, c.Principal.Account, text(in.PolicyArn), tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	return &api.TagPolicyOutput{}, nil
}

func (s *Service) untagPolicy(ctx context.Context, c *call.Call, in *api.UntagPolicyInput) (*api.UntagPolicyOutput, error) {
	if err := s.dir.UntagPolicy(ctx, c.Principal.Account, text(in.PolicyArn), in.TagKeys); err != nil {
		return nil, err
	}
	return &api.UntagPolicyOutput{}, nil
}

func (s *Service) listPolicyTags(_ context.Context, c *call.Call, in *api.ListPolicyTagsInput) (*api.ListPolicyTagsOutput, error) {
	v, err := s.policy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	items, marker, truncated, err := tagPage(v.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListPolicyTagsOutput{Tags: items, Marker: marker, IsTruncated: truncated}, nil
}
