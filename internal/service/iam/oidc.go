package iam

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

func (s *Service) oidcRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateOpenIDConnectProvider, on(func(c *call.Call, in *api.CreateOpenIDConnectProviderInput) string {
			resource := (&identity.OIDCProvider{Account: c.Principal.Account, Issuer: identity.Issuer(text(in.Url))}).ARN()
			tagNew(c, in.Tags, "iam:TagOpenIDConnectProvider", resource)
			return resource
		}), s.createOIDCProvider),
		service.BindResource(api.OpGetOpenIDConnectProvider, on(func(c *call.Call, in *api.GetOpenIDConnectProviderInput) string {
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.getOIDCProvider),
		service.Bind(api.OpListOpenIDConnectProviders, s.listOIDCProviders),
		service.BindResource(api.OpDeleteOpenIDConnectProvider, on(func(c *call.Call, in *api.DeleteOpenIDConnectProviderInput) string {
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.deleteOIDCProvider),
		service.BindResource(api.OpUpdateOpenIDConnectProviderThumbprint, on(func(c *call.Call, in *api.UpdateOpenIDConnectProviderThumbprintInput) string {
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.updateOIDCThumbprint),
		service.BindResource(api.OpAddClientIDToOpenIDConnectProvider, on(func(c *call.Call, in *api.AddClientIDToOpenIDConnectProviderInput) string {
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.addOIDCClientID),
		service.BindResource(api.OpRemoveClientIDFromOpenIDConnectProvider, on(func(c *call.Call, in *api.RemoveClientIDFromOpenIDConnectProviderInput) string {
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.removeOIDCClientID),
		service.BindResource(api.OpTagOpenIDConnectProvider, on(func(c *call.Call, in *api.TagOpenIDConnectProviderInput) string {
			requestTags(c, in.Tags)
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.tagOIDCProvider),
		service.BindResource(api.OpUntagOpenIDConnectProvider, on(func(c *call.Call, in *api.UntagOpenIDConnectProviderInput) string {
			c.SetKey(keyTagKeys, in.TagKeys...)
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.untagOIDCProvider),
		service.BindResource(api.OpListOpenIDConnectProviderTags, on(func(c *call.Call, in *api.ListOpenIDConnectProviderTagsInput) string {
			return s.providerARN(c, in.OpenIDConnectProviderArn)
		}), s.listOIDCProviderTags),
	}
}

// providerARN is the ARN that a call about a provider is decided on.
func (s *Service) providerARN(c *call.Call, providerARN *string) string {
	if p := s.dir.OIDCProviderByARN(c.Principal.Account, text(providerARN)); p != nil {
		entityKeys(c, p.Tags, "")
	}
	return text(providerARN)
}

func (s *Service) provider(c *call.Call, providerARN *string) (*identity.OIDCProvider, error) {
	if p := s.dir.OIDCProviderByARN(c.Principal.Account, text(providerARN)); p != nil {
		return p, nil
	}
	return nil, noEntity("OpenIDConnect Provider not found for arn %s", text(providerARN))
}

func (s *Service) createOIDCProvider(ctx context.Context, c *call.Call, in *api.CreateOpenIDConnectProviderInput) (*api.CreateOpenIDConnectProviderOutput, error) {
	p, err := s.dir.CreateOIDCProvider(ctx, c.Principal.Account, identity.NewOIDCProvider{
		URL: text(in.Url), ClientIDs: in.ClientIDList, Thumbprints: in.ThumbprintList, Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: new(p.ARN()), Tags: apiTags(p.Tags)}, nil
}

func (s *Service) getOIDCProvider(_ context.Context, c *call.Call, in *api.GetOpenIDConnectProviderInput) (*api.GetOpenIDConnectProviderOutput, error) {
	p, err := s.provider(c, in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	return &api.GetOpenIDConnectProviderOutput{
		Url: new(p.Issuer), ClientIDList: p.ClientIDs, ThumbprintList: p.Thumbprints, CreateDate: new(p.Created), Tags: apiTags(p.Tags),
	}, nil
}

func (s *Service) listOIDCProviders(_ context.Context, c *call.Call, _ *api.ListOpenIDConnectProvidersInput) (*api.ListOpenIDConnectProvidersOutput, error) {
	return &api.ListOpenIDConnectProvidersOutput{
		OpenIDConnectProviderList: mapped(s.dir.OIDCProviders(c.Principal.Account), func(p *identity.OIDCProvider) api.OpenIDConnectProviderListEntry {
			return api.OpenIDConnectProviderListEntry{Arn: new(p.ARN())}
		}),
	}, nil
}

func (s *Service) deleteOIDCProvider(ctx context.Context, c *call.Call, in *api.DeleteOpenIDConnectProviderInput) (*api.DeleteOpenIDConnectProviderOutput, error) {
	if err := s.dir.DeleteOIDCProvider(ctx, c.Principal.Account, text(in.OpenIDConnectProviderArn)); err != nil {
		return nil, err
	}
	return &api.DeleteOpenIDConnectProviderOutput{}, nil
}

func (s *Service) updateOIDCThumbprint(ctx context.Context, c *call.Call, in *api.UpdateOpenIDConnectProviderThumbprintInput) (*api.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	if err := s.dir.SetOIDCThumbprints(ctx, c.Principal.Account, text(in.OpenIDConnectProviderArn), in.ThumbprintList); err != nil {
		return nil, err
	}
	return &api.UpdateOpenIDConnectProviderThumbprintOutput{}, nil
}

func (s *Service) addOIDCClientID(ctx context.Context, c *call.Call, in *api.AddClientIDToOpenIDConnectProviderInput) (*api.AddClientIDToOpenIDConnectProviderOutput, error) {
	if err := s.dir.AddOIDCClientID(ctx, c.Principal.Account, text(in.OpenIDConnectProviderArn), text(in.ClientID)); err != nil {
		return nil, err
	}
	return &api.AddClientIDToOpenIDConnectProviderOutput{}, nil
}

func (s *Service) removeOIDCClientID(ctx context.Context, c *call.Call, in *api.RemoveClientIDFromOpenIDConnectProviderInput) (*api.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	if err := s.dir.RemoveOIDCClientID(ctx, c.Principal.Account, text(in.OpenIDConnectProviderArn), text(in.ClientID)); err != nil {
		return nil, err
	}
	return &api.RemoveClientIDFromOpenIDConnectProviderOutput{}, nil
}

func (s *Service) tagOIDCProvider(ctx context.Context, c *call.Call, in *api.TagOpenIDConnectProviderInput) (*api.TagOpenIDConnectProviderOutput, error) {
	if err := s.dir.TagOIDCProvider(ctx, c.Principal.Account, text(in.OpenIDConnectProviderArn), tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	return &api.TagOpenIDConnectProviderOutput{}, nil
}

func (s *Service) untagOIDCProvider(ctx context.Context, c *call.Call, in *api.UntagOpenIDConnectProviderInput) (*api.UntagOpenIDConnectProviderOutput, error) {
	if err := s.dir.UntagOIDCProvider(ctx, c.Principal.Account, text(in.OpenIDConnectProviderArn), in.TagKeys); err != nil {
		return nil, err
	}
	return &api.UntagOpenIDConnectProviderOutput{}, nil
}

func (s *Service) listOIDCProviderTags(_ context.Context, c *call.Call, in *api.ListOpenIDConnectProviderTagsInput) (*api.ListOpenIDConnectProviderTagsOutput, error) {
	p, err := s.provider(c, in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	items, marker, truncated, err := tagPage(p.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListOpenIDConnectProviderTagsOutput{Tags: items, Marker: marker, IsTruncated: truncated}, nil
}
