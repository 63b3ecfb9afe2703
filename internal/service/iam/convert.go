package iam

import (
	"time"

	"github.com/outcrop/outcrop/internal/identity"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// The functions here make the API's types of the directory's.

func apiTags(tags identity.Tags) []api.Tag {
	if len(tags) == 0 {
		return nil
	}
	return mapped(tags, func(t identity.Tag) api.Tag { return api.Tag{Key: new(t.Key), Value: new(t.Value)} })
}

func apiBoundary(policyARN string) *api.AttachedPermissionsBoundary {
	if policyARN == "" {
		return nil
	}
	return &api.AttachedPermissionsBoundary{
		PermissionsBoundaryType: new(api.PermissionsBoundaryAttachmentTypePermissionsBoundaryPolicy), PermissionsBoundaryArn: new(policyARN),
	}
}

// apiUser is a user as lists show it: without tags and boundary.
func apiUser(u *identity.User) api.User {
	return api.User{Path: new(u.Path), UserName: new(u.Name), UserId: new(u.ID), Arn: new(u.ARN()), CreateDate: new(u.Created)}
}

func fullUser(u *identity.User) *api.User {
	v := apiUser(u)
	v.Tags, v.PermissionsBoundary = apiTags(u.Tags), apiBoundary(u.Boundary)
	return &v
}

func apiGroup(g *identity.Group) api.Group {
	return api.Group{Path: new(g.Path), GroupName: new(g.Name), GroupId: new(g.ID), Arn: new(g.ARN()), CreateDate: new(g.Created)}
}

// apiRole is a role as lists show it: without tags, boundary and last use.
func apiRole(r *identity.Role) api.Role {
	return api.Role{
		Path: new(r.Path), RoleName: new(r.Name), RoleId: new(r.ID), Arn: new(r.ARN()), CreateDate: new(r.Created),
		AssumeRolePolicyDocument: new(r.Trust), Description: maybe(r.Description),
		MaxSessionDuration: new(int32(r.MaxSession / time.Second)), // #nosec G115 -- at most 12 hours
	}
}

func (s *Service) fullRole(r *identity.Role) *api.Role {
	v := apiRole(r)
	v.Tags, v.PermissionsBoundary, v.RoleLastUsed = apiTags(r.Tags), apiBoundary(r.Boundary), s.roleLastUsed(r)
	return &v
}

func (s *Service) apiProfile(p *identity.InstanceProfile) api.InstanceProfile {
	v := api.InstanceProfile{
		Path: new(p.Path), InstanceProfileName: new(p.Name), InstanceProfileId: new(p.ID), Arn: new(p.ARN()), CreateDate: new(p.Created),
		Roles: []api.Role{},
	}
	if r := s.dir.RoleByID(p.Account, p.Role); r != nil {
		v.Roles = append(v.Roles, apiRole(r))
	}
	return v
}

// apiPolicy is a managed policy as lists show it: without description and tags.
func apiPolicy(p *identity.Policy, use identity.Usage) api.Policy {
	return api.Policy{
		PolicyName: new(p.Name), PolicyId: new(p.ID), Arn: new(p.ARN()), Path: new(p.Path), DefaultVersionId: new(p.Default),
		AttachmentCount: count(use.Attached), PermissionsBoundaryUsageCount: count(use.Bounds), IsAttachable: new(true),
		CreateDate: new(p.Created), UpdateDate: new(p.Updated),
	}
}

func fullPolicy(p *identity.Policy, use identity.Usage) *api.Policy {
	v := apiPolicy(p, use)
	v.Description, v.Tags = maybe(p.Description), apiTags(p.Tags)
	return &v
}

// apiVersion is a version of a managed policy as lists show it: without its text.
func apiVersion(p *identity.Policy, v identity.PolicyVersion) api.PolicyVersion {
	return api.PolicyVersion{VersionId: new(v.ID), IsDefaultVersion: new(v.ID == p.Default), CreateDate: new(v.Created)}
}

func fullVersion(p *identity.Policy, v identity.PolicyVersion) *api.PolicyVersion {
	out := apiVersion(p, v)
	out.Document = new(v.Text)
	return &out
}

func (s *Service) apiAttached(acct string, g *identity.Grants) []api.AttachedPolicy {
	out := make([]api.AttachedPolicy, 0, len(g.Attached))
	for _, a := range g.Attached {
		if p := s.dir.Policy(acct, a); p != nil {
			out = append(out, api.AttachedPolicy{PolicyName: new(p.Name), PolicyArn: new(a)})
		}
	}
	return out
}

func apiInline(g *identity.Grants) []api.PolicyDetail {
	return mapped(g.Inline, func(in identity.Inline) api.PolicyDetail {
		return api.PolicyDetail{PolicyName: new(in.Name), PolicyDocument: new(in.Text)}
	})
}
