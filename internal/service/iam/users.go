package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) userRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateUser, s.createUserResource, s.createUser),
		service.BindResource(api.OpGetUser, on(func(c *call.Call, in *api.GetUserInput) string {
			return s.userARN(c, in.UserName)
		}), s.getUser),
		service.Bind(api.OpListUsers, s.listUsers),
		service.BindResource(api.OpUpdateUser, s.updateUserResource, s.updateUser),
		service.BindResource(api.OpDeleteUser, on(func(c *call.Call, in *api.DeleteUserInput) string {
			return s.userARN(c, in.UserName)
		}), s.deleteUser),
	}
}

func (s *Service) createUserResource(_ context.Context, c *call.Call, in *api.CreateUserInput) ([]string, error) {
	resource := arnOf(c, "user", in.Path, in.UserName)
	if in.PermissionsBoundary != nil {
		c.SetKey(keyBoundary, *in.PermissionsBoundary)
	}
	tagNew(c, in.Tags, "iam:TagUser", resource)
	return []string{resource}, nil
}

func (s *Service) createUser(ctx context.Context, c *call.Call, in *api.CreateUserInput) (*api.CreateUserOutput, error) {
	u, err := s.dir.CreateUser(ctx, c.Principal.Account, identity.NewUser{
		Name: text(in.UserName), Path: text(in.Path), Boundary: text(in.PermissionsBoundary), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateUserOutput{User: fullUser(u)}, nil
}

// caller returns the name of the user that a call without UserName is about: the
// caller; "" when that is the root of the account.
//
// Errors: ValidationError for callers that are neither.
func caller(c *call.Call) (string, error) {
	switch c.Principal.Type {
	case call.User:
		return c.Principal.Name, nil
	case call.Root:
		return "", nil
	}
	return "", invalid("Must specify userName when calling with non-User credentials")
}

func userNamed(c *call.Call, name *string) (string, error) {
	if name != nil {
		return *name, nil
	}
	return caller(c)
}

func noUser(name string) error { return noEntity("The user with name %s cannot be found.", name) }

func (s *Service) getUser(_ context.Context, c *call.Call, in *api.GetUserInput) (*api.GetUserOutput, error) {
	acct := c.Principal.Account
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	if name == "" {
		root := &api.User{Path: new("/"), UserName: maybe(s.dir.Alias(acct)), UserId: new(acct), Arn: new(c.Principal.ARN)}
		if a := s.dir.Account(acct); a != nil {
			root.CreateDate = new(a.Created)
		}
		return &api.GetUserOutput{User: root}, nil
	}
	u := s.dir.User(acct, name)
	if u == nil {
		return nil, noUser(name)
	}
	return &api.GetUserOutput{User: fullUser(u)}, nil
}

func (s *Service) listUsers(_ context.Context, c *call.Call, in *api.ListUsersInput) (*api.ListUsersOutput, error) {
	all := kept(s.dir.Users(c.Principal.Account), func(u *identity.User) bool { return under(u.Path, in.PathPrefix) })
	items, marker, truncated, err := cut(all, userKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListUsersOutput{Users: mapped(items, apiUser), Marker: marker, IsTruncated: truncated}, nil
}

// updateUserResource asks for both names, so that nobody takes a name, or gives up
// one, that a policy keeps from him.
func (s *Service) updateUserResource(_ context.Context, c *call.Call, in *api.UpdateUserInput) ([]string, error) {
	from := s.userARN(c, in.UserName)
	if in.NewUserName == nil && in.NewPath == nil {
		return []string{from}, nil
	}
	name, path := text(in.UserName), "/"
	if u := s.dir.User(c.Principal.Account, name); u != nil {
		path = u.Path
	}
	if in.NewUserName != nil {
		name = *in.NewUserName
	}
	if in.NewPath != nil {
		path = *in.NewPath
	}
	return []string{from, arnOf(c, "user", &path, &name)}, nil
}

func (s *Service) updateUser(ctx context.Context, c *call.Call, in *api.UpdateUserInput) (*api.UpdateUserOutput, error) {
	if err := s.dir.RenameUser(ctx, c.Principal.Account, text(in.UserName), text(in.NewUserName), text(in.NewPath)); err != nil {
		return nil, err
	}
	return &api.UpdateUserOutput{}, nil
}

func (s *Service) deleteUser(ctx context.Context, c *call.Call, in *api.DeleteUserInput) (*api.DeleteUserOutput, error) {
	if err := s.dir.DeleteUser(ctx, c.Principal.Account, text(in.UserName)); err != nil {
		return nil, err
	}
	return &api.DeleteUserOutput{}, nil
}
