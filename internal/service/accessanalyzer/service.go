// Package accessanalyzer serves the part of IAM Access Analyzer that reviews an
// account: analyzers of external and of unused access with their findings, checks
// of policies, and policies made from activity.
//
// Findings are computed when they are asked for, so they are never older than the
// question, and none is archived or resolved: what is put right is gone.
package accessanalyzer

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
	"github.com/outcrop/outcrop/internal/wire/page"
)

// Tags keeps the tags of resources by their ARNs. resource.Book implements it.
type Tags interface {
	Tags(arn string) map[string]string
	Create(ctx context.Context, arn string, tags map[string]string) error
	Forget(ctx context.Context, arn string) error
	Tag(ctx context.Context, arn string, tags map[string]string) error
	Untag(ctx context.Context, arn string, keys []string) error
}

// Config carries what a Service needs. All fields but Now are required.
type Config struct {
	Analyzer *analyze.Analyzer
	Registry *analyze.Registry
	Tags     Tags
	Now      func() time.Time // nil means time.Now
}

// Service serves the API. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg}
}

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateAnalyzer, func(_ context.Context, c *call.Call, in *api.CreateAnalyzerInput) ([]string, error) {
			resource.Requested(c, tagsOf(in.Tags))
			if len(in.Tags) > 0 {
				c.Need("access-analyzer:TagResource", named(c, in.AnalyzerName)...)
			}
			return named(c, in.AnalyzerName), nil
		}, s.create),
		service.BindResource(api.OpGetAnalyzer, func(_ context.Context, c *call.Call, in *api.GetAnalyzerInput) ([]string, error) {
			return named(c, in.AnalyzerName), nil
		}, s.get),
		service.Bind(api.OpListAnalyzers, s.list),
		service.BindResource(api.OpUpdateAnalyzer, func(_ context.Context, c *call.Call, in *api.UpdateAnalyzerInput) ([]string, error) {
			return named(c, in.AnalyzerName), nil
		}, s.update),
		service.BindResource(api.OpDeleteAnalyzer, func(_ context.Context, c *call.Call, in *api.DeleteAnalyzerInput) ([]string, error) {
			return named(c, in.AnalyzerName), nil
		}, s.delete),
		service.BindResource(api.OpListFindingsV2, func(_ context.Context, _ *call.Call, in *api.ListFindingsV2Input) ([]string, error) {
			return given(in.AnalyzerArn), nil
		}, s.listFindings),
		service.BindResource(api.OpGetFindingV2, func(_ context.Context, _ *call.Call, in *api.GetFindingV2Input) ([]string, error) {
			return given(in.AnalyzerArn), nil
		}, s.getFinding),
		service.Bind(api.OpValidatePolicy, s.validate),
		service.Bind(api.OpCheckNoNewAccess, s.checkNoNewAccess),
		service.Bind(api.OpCheckAccessNotGranted, s.checkNotGranted),
		service.Bind(api.OpCheckNoPublicAccess, s.checkNoPublic),
		service.Bind(api.OpStartPolicyGeneration, s.startGeneration),
		service.Bind(api.OpGetGeneratedPolicy, s.getGenerated),
		service.Bind(api.OpListPolicyGenerations, s.listGenerations),
		service.BindResource(api.OpTagResource, func(_ context.Context, c *call.Call, in *api.TagResourceInput) ([]string, error) {
			resource.Requested(c, tagsOf(in.Tags))
			return given(in.ResourceArn), nil
		}, s.tag),
		service.BindResource(api.OpUntagResource, func(_ context.Context, c *call.Call, in *api.UntagResourceInput) ([]string, error) {
			if len(in.TagKeys) > 0 {
				c.SetKey("aws:tagkeys", in.TagKeys...)
			}
			return given(in.ResourceArn), nil
		}, s.untag),
		service.BindResource(api.OpListTagsForResource, func(_ context.Context, _ *call.Call, in *api.ListTagsForResourceInput) ([]string, error) {
			return given(in.ResourceArn), nil
		}, s.listTags),
	}
}

// named is the ARN of the caller's analyzer of a name.
func named(c *call.Call, name *string) []string {
	if name == nil { // validation says so
		return nil
	}
	return []string{analyze.AnalyzerARN(c.Region, c.Principal.Account, *name)}
}

// given is an ARN as the caller wrote it.
func given(arn *string) []string {
	if arn == nil {
		return nil
	}
	return []string{*arn}
}

// tagsOf lists tags by their keys.
func tagsOf(in map[string]string) []resource.Tag {
	var out []resource.Tag
	for _, k := range slices.Sorted(maps.Keys(in)) {
		out = append(out, resource.Tag{Key: k, Value: in[k]})
	}
	return out
}

// The errors of the API, with the members that it models.

func invalid(format string, args ...any) *apierr.Error {
	return apierr.Validation(format, args...).WithField("reason", string(api.ValidationExceptionReasonFieldValidationFailed))
}

func unsupported(format string, args ...any) *apierr.Error {
	return apierr.Validation(format, args...).WithField("reason", string(api.ValidationExceptionReasonNotSupported))
}

func badParameter(format string, args ...any) *apierr.Error {
	return apierr.New("InvalidParameterException", http.StatusBadRequest, format, args...)
}

// about adds the resource that an error is about.
func about(e *apierr.Error, kind, id string) *apierr.Error {
	return e.WithField("resourceType", kind).WithField("resourceId", id)
}

func noAnalyzer(id string) *apierr.Error {
	return about(apierr.NotFound("There is no analyzer %s in this account and region.", id), "Analyzer", id)
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// cut returns the part of a list that a caller asked for, and the token of the next
// one. A token tells how many items came before.
func cut[T any](items []T, token *string, most *int32) ([]T, *string, error) {
	n, from := defaultPage, ""
	if most != nil {
		if *most < 1 || *most > maxPage {
			return nil, nil, invalid("maxResults: must be 1 to %d", maxPage)
		}
		n = int(*most)
	}
	if token != nil {
		from = *token
	}
	some, next, err := page.Sorted(items, func(i int, _ *T) string { return fmt.Sprintf("%06d", i) }, "", from, n)
	if err != nil || token != nil && from == "" {
		return nil, nil, invalid("nextToken: use the token that the operation answered with before")
	}
	if some == nil {
		some = []T{} // never absent
	}
	if next == "" {
		return some, nil, nil
	}
	return some, &next, nil
}
