package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) groupRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateGroup, on(func(c *call.Call, in *api.CreateGroupInput) string {
			return arnOf(c, "group", in.Path, in.GroupName)
		}), s.createGroup),
		service.BindResource(api.OpGetGroup, on(func(c *call.Call, in *api.GetGroupInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.getGroup),
		service.Bind(api.OpListGroups, s.listGroups),
		service.BindResource(api.OpUpdateGroup, s.updateGroupResource, s.updateGroup),
		service.BindResource(api.OpDeleteGroup, on(func(c *call.Call, in *api.DeleteGroupInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.deleteGroup),
		service.BindResource(api.OpAddUserToGroup, on(func(c *call.Call, in *api.AddUserToGroupInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.addUserToGroup),
		service.BindResource(api.OpRemoveUserFromGroup, on(func(c *call.Call, in *api.RemoveUserFromGroupInput) string {
			return s.groupARN(c, in.GroupName)
		}), s.removeUserFromGroup),
		service.BindResource(api.OpListGroupsForUser, on(func(c *call.Call, in *api.ListGroupsForUserInput) string {
			return s.userARN(c, in.UserName)
		}), s.listGroupsForUser),
	}
}

func (s *Service) createGroup(ctx context.Context, c *call.Call, in *api.CreateGroupInput) (*api.CreateGroupOutput, error) {
	g, err := s.dir.CreateGroup(ctx, c.Principal.Account, text(in.GroupName), text(in.Path))
	if err != nil {
		return nil, err
	}
	return &api.CreateGroupOutput{Group: new(apiGroup(g))}, nil
}

func (s *Service) getGroup(_ context.Context, c *call.Call, in *api.GetGroupInput) (*api.GetGroupOutput, error) {
	g := s.dir.Group(c.Principal.Account, text(in.GroupName))
	if g == nil {
		return nil, noEntity("The group with name %s cannot be found.", text(in.GroupName))
	}
	items, marker, truncated, err := cut(s.dir.GroupMembers(g), userKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.GetGroupOutput{Group: new(apiGroup(g)), Users: mapped(items, apiUser), Marker: marker, IsTruncated: truncated}, nil
}

func (s *Service) listGroups(_ context.Context, c *call.Call, in *api.ListGroupsInput) (*api.ListGroupsOutput, error) {
	all := kept(s.dir.Groups(c.Principal.Account), func(g *identity.Group) bool { return under(g.Path, in.PathPrefix) })
	items, marker, truncated, err := cut(all, groupKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListGroupsOutput{Groups: mapped(items, apiGroup), Marker: marker, IsTruncated: truncated}, nil
}

// updateGroupResource asks for both names, as updateUserResource.
func (s *Service) updateGroupResource(_ context.Context, c *call.Call, in *api.UpdateGroupInput) ([]string, error) {
	from := s.groupARN(c, in.GroupName)
	if in.NewGroupName == nil && in.NewPath == nil {
		return []string{from}, nil
	}
	name, path := text(in.GroupName), "/"
	if g := s.dir.Group(c.Principal.Account, name); g != nil {
		path = g.Path
	}
	if in.NewGroupName != nil {
		name = *in.NewGroupName
	}
	if in.NewPath != nil {
		path = *in.NewPath
	}
	return []string{from, arnOf(c, "group", &path, &name)}, nil
}

func (s *Service) updateGroup(ctx context.Context, c *call.Call, in *api.UpdateGroupInput) (*api.UpdateGroupOutput, error) {
	if err := s.dir.RenameGroup(ctx, c.Principal.Account, text(in.GroupName), text(in.NewGroupName), text(in.NewPath)); err != nil {
		return nil, err
	}
	return &api.UpdateGroupOutput{}, nil
}

func (s *Service) deleteGroup(ctx context.Context, c *call.Call, in *api.DeleteGroupInput) (*api.DeleteGroupOutput, error) {
	if err := s.dir.DeleteGroup(ctx, c.Principal.Account, text(in.GroupName)); err != nil {
		return nil, err
	}
	return &api.DeleteGroupOutput{}, nil
}

func (s *Service) addUserToGroup(ctx context.Context, c *call.Call, in *api.AddUserToGroupInput) (*api.AddUserToGroupOutput, error) {
	if err := s.dir.JoinGroup(ctx, c.Principal.Account, text(in.GroupName), text(in.UserName)); err != nil {
		return nil, err
	}
	return &api.AddUserToGroupOutput{}, nil
}

func (s *Service) removeUserFromGroup(ctx context.Context, c *call.Call, in *api.RemoveUserFromGroupInput) (*api.RemoveUserFromGroupOutput, error) {
	if err := s.dir.LeaveGroup(ctx, c.Principal.Account, text(in.GroupName), text(in.UserName)); err != nil {
		return nil, err
	}
	return &api.RemoveUserFromGroupOutput{}, nil
}

func (s *Service) listGroupsForUser(_ context.Context, c *call.Call, in *api.ListGroupsForUserInput) (*api.ListGroupsForUserOutput, error) {
	u := s.dir.User(c.Principal.Account, text(in.UserName))
	if u == nil {
		return nil, noUser(text(in.UserName))
	}
	items, marker, truncated, err := cut(s.dir.GroupsOf(u), position, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListGroupsForUserOutput{Groups: mapped(items, apiGroup), Marker: marker, IsTruncated: truncated}, nil
}
