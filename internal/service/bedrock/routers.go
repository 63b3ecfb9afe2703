package bedrock

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/page"
)

// Routers keeps the prompt routers of accounts. promptrouter.Service implements it.
type Routers interface {
	Create(ctx context.Context, r promptrouter.Router, before func() error) error
	Lookup(account, region, id string) (promptrouter.Router, bool)
	List(account, region string) []promptrouter.Router
	Delete(ctx context.Context, account, region, id string) error
}

// routerType is the resource type of routers that accounts make, defaultType that of
// the installation's.
const (
	routerType  = "prompt-router"
	defaultType = "default-prompt-router"
)

func routerARN(r *promptrouter.Router) string {
	kind := routerType
	if r.Default {
		kind = defaultType
	}
	return arn.Bedrock(r.Region, r.Account, kind, r.ID)
}

// createRouterResources are the models that a new router chooses from. Tags are a
// permission of their own, decided together with it.
func (s *Service) createRouterResources(_ context.Context, c *call.Call, in *br.CreatePromptRouterInput) ([]string, error) {
	tagOnCreate(c, in.Tags, arn.Bedrock(c.Region, c.Principal.Account, routerType, "*"))
	names := targets(in.Models)
	if len(names) == 0 {
		return nil, apierr.Validation("models: required")
	}
	return names, nil
}

// targets are the ARNs of a router's models.
func targets(models []br.PromptRouterTargetModel) []string {
	names := make([]string, 0, len(models))
	for i := range models {
		names = append(names, text(models[i].ModelArn))
	}
	return names
}

// createRouter makes a prompt router.
//
// Errors: ValidationException, ResourceNotFoundException for models that are not
// there, ConflictException for a name that is taken, ServiceQuotaExceededException,
// TooManyTagsException.
func (s *Service) createRouter(ctx context.Context, c *call.Call, in *br.CreatePromptRouterInput) (*br.CreatePromptRouterOutput, error) {
	r := promptrouter.Router{
		Account: c.Principal.Account, Region: c.Region, ID: c.TokenID,
		Name: text(in.PromptRouterName), Description: text(in.Description),
		Models: targets(in.Models), Fallback: text(in.FallbackModel.ModelArn), Difference: *in.RoutingCriteria.ResponseQualityDifference,
	}
	if r.ID == "" {
		r.ID = promptrouter.NewID()
	}
	if err := s.routable(ctx, c, &r); err != nil {
		return nil, err
	}
	tags, err := resource.ReadTags(tagsOf(in.Tags))
	if err != nil {
		return nil, tagError(err)
	}
	name := routerARN(&r)
	err = s.cfg.Routers.Create(ctx, r, func() error { return s.cfg.Resources.Create(ctx, name, tags) })
	switch {
	case errors.Is(err, promptrouter.ErrExists):
		return nil, apierr.Conflict("promptRouterName: a prompt router named %s exists already", r.Name)
	case errors.Is(err, promptrouter.ErrMany):
		return nil, apierr.QuotaExceeded("An account may have %d prompt routers in a region. Delete one and try again.", promptrouter.MaxPerRegion)
	case err != nil:
		return nil, fmt.Errorf("make a prompt router: %w", err)
	}
	return &br.CreatePromptRouterOutput{PromptRouterArn: &name}, nil
}

// routable checks that a router can choose between its models: two that hold
// conversations, of one provider and family, one of them the fallback.
//
// Source: Bedrock user guide, "Understanding intelligent prompt routing": two models
// of the same family, one of which is the fallback.
func (s *Service) routable(ctx context.Context, c *call.Call, r *promptrouter.Router) error {
	switch {
	case len(r.Models) != promptrouter.Models || r.Models[0] == r.Models[1]:
		return apierr.Validation("models: want two different models")
	case !slices.Contains(r.Models, r.Fallback):
		return apierr.Validation("fallbackModel.modelArn: want one of models")
	}
	var found [promptrouter.Models]*catalog.Target
	for i, name := range r.Models {
		m, err := arn.ParseModel(name)
		switch {
		case err != nil || !m.IsARN() || m.Kind != arn.KindFoundationModel && m.Kind != arn.KindSystemProfile && m.Kind != arn.KindApplicationProfile:
			return apierr.Validation("models.%d.modelArn: want the ARN of a foundation model or of an inference profile", i)
		case m.ARN.Region != c.Region:
			return apierr.Validation("models.%d.modelArn: the ARN is of region %s, the request of region %s", i, m.ARN.Region, c.Region)
		case m.ARN.Account != "" && m.ARN.Account != c.Principal.Account:
			return apierr.Validation("models.%d.modelArn: the ARN is of another account", i)
		}
		if found[i], err = s.cfg.Catalog.Resolve(ctx, name, c.Region, c.Principal.Account); err != nil {
			return err
		}
		if t := found[i]; t.Weights.Mode != "chat" || !slices.Contains(t.Model.Output, "TEXT") {
			return apierr.Validation("models.%d.modelArn: %s holds no conversations", i, t.Model.ID)
		}
	}
	a, b := &found[0].Model, &found[1].Model
	switch {
	case a.ID == b.ID:
		return apierr.Validation("models: both are %s", a.ID)
	case a.Provider != b.Provider || a.Family != b.Family:
		return apierr.Validation("models: want two models of one family; %s and %s are of different ones", a.ID, b.ID)
	}
	return nil
}

func getRouterARN(in *br.GetPromptRouterInput) *string       { return in.PromptRouterArn }
func deleteRouterARN(in *br.DeletePromptRouterInput) *string { return in.PromptRouterArn }

// routerResource is the router that an input names.
func routerResource[In any](name func(*In) *string) func(context.Context, *call.Call, *In) ([]string, error) {
	return func(_ context.Context, c *call.Call, in *In) ([]string, error) {
		if _, err := parseRouter(c, name(in)); err != nil {
			return nil, err
		}
		return []string{*name(in)}, nil
	}
}

// parseRouter reads the ARN of a router of the caller's account in the request's
// region.
func parseRouter(c *call.Call, name *string) (arn.Model, error) {
	if name == nil {
		return arn.Model{}, apierr.Validation("promptRouterArn: required")
	}
	m, err := arn.ParseModel(*name)
	switch {
	case err != nil || m.Kind != arn.KindPromptRouter && m.Kind != arn.KindDefaultPromptRouter:
		return m, apierr.Validation("promptRouterArn: want the ARN of a prompt router")
	case m.ARN.Region != c.Region || m.ARN.Account != c.Principal.Account:
		return m, noRouter(*name)
	}
	return m, nil
}

func noRouter(name string) error {
	return apierr.NotFound("The prompt router %s does not exist in this account and region.", name)
}

func (s *Service) getRouter(_ context.Context, c *call.Call, in *br.GetPromptRouterInput) (*br.GetPromptRouterOutput, error) {
	m, err := parseRouter(c, in.PromptRouterArn)
	if err != nil {
		return nil, err
	}
	if m.Kind == arn.KindPromptRouter {
		if r, ok := s.cfg.Routers.Lookup(c.Principal.Account, c.Region, m.ID); ok {
			return new(br.GetPromptRouterOutput(routerSummary(&r))), nil
		}
		return nil, noRouter(*in.PromptRouterArn)
	}
	for _, r := range s.cfg.Catalog.DefaultRouters(c.Region, c.Principal.Account) {
		if r.ID == m.ID {
			return new(br.GetPromptRouterOutput(routerSummary(&r))), nil
		}
	}
	return nil, noRouter(*in.PromptRouterArn)
}

func (s *Service) deleteRouter(ctx context.Context, c *call.Call, in *br.DeletePromptRouterInput) (*br.DeletePromptRouterOutput, error) {
	m, err := parseRouter(c, in.PromptRouterArn)
	if err != nil {
		return nil, err
	}
	if m.Kind == arn.KindDefaultPromptRouter {
		return nil, apierr.Validation("promptRouterArn: %s is a default prompt router; only those that an account made can be deleted", *in.PromptRouterArn)
	}
	err = s.cfg.Routers.Delete(ctx, c.Principal.Account, c.Region, m.ID)
	switch {
	case errors.Is(err, promptrouter.ErrNone):
		return nil, noRouter(*in.PromptRouterArn)
	case err != nil:
		return nil, fmt.Errorf("delete a prompt router: %w", err)
	}
	if err := s.cfg.Resources.Forget(ctx, *in.PromptRouterArn); err != nil {
		return nil, fmt.Errorf("forget the tags of a prompt router: %w", err)
	}
	return &br.DeletePromptRouterOutput{}, nil
}

// listRouters lists the default routers in the order of the catalogue, then the
// account's own, oldest first.
func (s *Service) listRouters(_ context.Context, c *call.Call, in *br.ListPromptRoutersInput) (*br.ListPromptRoutersOutput, error) {
	size := defaultPage
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	kind := text(in.Type)
	var all []promptrouter.Router
	if kind != string(br.PromptRouterTypeCustom) {
		all = s.cfg.Catalog.DefaultRouters(c.Region, c.Principal.Account)
	}
	if kind != string(br.PromptRouterTypeDefault) {
		all = append(all, s.cfg.Routers.List(c.Principal.Account, c.Region)...)
	}
	// A token names the last router shown by its place in the order, so that one
	// which was deleted meanwhile breaks no list.
	some, next, err := page.Sorted(all, place, listOf(c, "routers"+kind), text(in.NextToken), size)
	if err != nil {
		return nil, badToken()
	}
	out := &br.ListPromptRoutersOutput{PromptRouterSummaries: []br.PromptRouterSummary{}}
	for i := range some {
		out.PromptRouterSummaries = append(out.PromptRouterSummaries, routerSummary(&some[i]))
	}
	if next != "" {
		out.NextToken = &next
	}
	return out, nil
}

// place is where a router stands in lists, as text that is ordered as they are.
// Default routers come first, in the order of the catalogue.
func place(i int, r *promptrouter.Router) string {
	if r.Default {
		return fmt.Sprintf("d%06d", i)
	}
	return fmt.Sprintf("m%020d%s", r.Created.UnixMilli(), r.ID)
}

func routerSummary(r *promptrouter.Router) br.PromptRouterSummary {
	out := br.PromptRouterSummary{
		PromptRouterName: &r.Name, PromptRouterArn: new(routerARN(r)),
		RoutingCriteria: &br.RoutingCriteria{ResponseQualityDifference: &r.Difference},
		CreatedAt:       date(r.Created), UpdatedAt: date(r.Updated),
		FallbackModel: &br.PromptRouterTargetModel{ModelArn: &r.Fallback},
		Status:        new(br.PromptRouterStatusAvailable), Type: new(br.PromptRouterTypeCustom),
	}
	if r.Description != "" {
		out.Description = &r.Description
	}
	if r.Default {
		out.Type = new(br.PromptRouterTypeDefault)
	}
	for _, name := range r.Models {
		out.Models = append(out.Models, br.PromptRouterTargetModel{ModelArn: new(name)})
	}
	return out
}
