package accessanalyzer

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
)

func (s *Service) create(ctx context.Context, c *call.Call, in *api.CreateAnalyzerInput) (*api.CreateAnalyzerOutput, error) {
	a := analyze.Registered{Account: c.Principal.Account, Region: c.Region, Name: *in.AnalyzerName, Type: string(*in.Type)}
	switch *in.Type {
	case api.TypeAccount:
		if in.Configuration != nil {
			return nil, invalid("configuration: an analyzer of the type %s has none", *in.Type)
		}
	case api.TypeAccountUnusedAccess:
		var err error
		if a.Days, err = daysOf(in.Configuration); err != nil {
			return nil, err
		}
	default:
		return nil, unsupported("type: %s is not served here, but %s and %s", *in.Type, api.TypeAccount, api.TypeAccountUnusedAccess)
	}
	if len(in.ArchiveRules) > 0 {
		return nil, unsupported("archiveRules: are not served here")
	}
	tags, err := resource.ReadTags(tagsOf(in.Tags))
	if err != nil {
		return nil, tagError(err)
	}
	made, err := s.cfg.Registry.Create(ctx, a)
	switch {
	case errors.Is(err, analyze.ErrExists):
		return nil, about(apierr.New("ConflictException", http.StatusConflict, "An analyzer named %s exists already in this region.", a.Name), "Analyzer", a.Name)
	case errors.Is(err, analyze.ErrQuota):
		return nil, about(apierr.New("ServiceQuotaExceededException", http.StatusPaymentRequired, "An account may have one analyzer of the type %s in a region.", a.Type), "Analyzer", a.Name)
	case err != nil:
		return nil, err
	}
	if err := s.cfg.Tags.Create(ctx, made.ARN(), tags); err != nil {
		return nil, errors.Join(tagError(err), s.cfg.Registry.Delete(ctx, a.Account, a.Region, a.Name))
	}
	return &api.CreateAnalyzerOutput{Arn: new(made.ARN())}, nil
}

// daysOf reads the configuration of an analyzer of unused access.
func daysOf(in *api.AnalyzerConfiguration) (int, error) {
	if in == nil || in.UnusedAccess == nil {
		if in != nil {
			return 0, invalid("configuration: want unusedAccess")
		}
		return analyze.DefaultDays, nil
	}
	if r := in.UnusedAccess.AnalysisRule; r != nil && len(r.Exclusions) > 0 {
		return 0, unsupported("configuration.unusedAccess.analysisRule: exclusions are not served here")
	}
	if in.UnusedAccess.UnusedAccessAge == nil {
		return analyze.DefaultDays, nil
	}
	days := int(*in.UnusedAccess.UnusedAccessAge)
	if days < 1 || days > analyze.MaxDays {
		return 0, invalid("configuration.unusedAccess.unusedAccessAge: must be 1 to %d", analyze.MaxDays)
	}
	return days, nil
}

func configuration(a *analyze.Registered) *api.AnalyzerConfiguration {
	if a.Type != analyze.OfUnusedAccess {
		return nil
	}
	return &api.AnalyzerConfiguration{UnusedAccess: &api.UnusedAccessConfiguration{UnusedAccessAge: new(int32(a.Days))}}
}

func (s *Service) summary(a *analyze.Registered) *api.AnalyzerSummary {
	return &api.AnalyzerSummary{
		Arn: new(a.ARN()), Name: &a.Name, Type: new(api.Type(a.Type)), CreatedAt: &a.Created, Status: new(api.AnalyzerStatusActive),
		LastResourceAnalyzedAt: new(s.cfg.Now().UTC()), Tags: maps.Clone(s.cfg.Tags.Tags(a.ARN())), Configuration: configuration(a),
	}
}

// analyzer finds an analyzer of the caller by its name.
func (s *Service) analyzer(c *call.Call, name string) (*analyze.Registered, error) {
	a, err := s.cfg.Registry.Analyzer(c.Principal.Account, c.Region, name)
	if err != nil {
		return nil, noAnalyzer(name)
	}
	return a, nil
}

// analyzerByARN finds an analyzer of the caller by its ARN.
func (s *Service) analyzerByARN(c *call.Call, name string) (*analyze.Registered, error) {
	p, err := arn.Parse(name)
	if err != nil || p.Service != "access-analyzer" || p.Account != c.Principal.Account || p.Region != c.Region {
		return nil, noAnalyzer(name)
	}
	id, ok := strings.CutPrefix(p.Resource, "analyzer/")
	if !ok {
		return nil, noAnalyzer(name)
	}
	a, err := s.cfg.Registry.Analyzer(p.Account, p.Region, id)
	if err != nil {
		return nil, noAnalyzer(name)
	}
	return a, nil
}

func (s *Service) get(_ context.Context, c *call.Call, in *api.GetAnalyzerInput) (*api.GetAnalyzerOutput, error) {
	a, err := s.analyzer(c, *in.AnalyzerName)
	if err != nil {
		return nil, err
	}
	return &api.GetAnalyzerOutput{Analyzer: s.summary(a)}, nil
}

func (s *Service) list(_ context.Context, c *call.Call, in *api.ListAnalyzersInput) (*api.ListAnalyzersOutput, error) {
	var all []api.AnalyzerSummary
	for _, a := range s.cfg.Registry.Analyzers(c.Principal.Account, c.Region) {
		if in.Type == nil || string(*in.Type) == a.Type {
			all = append(all, *s.summary(a))
		}
	}
	out := &api.ListAnalyzersOutput{}
	var err error
	out.Analyzers, out.NextToken, err = cut(all, in.NextToken, in.MaxResults)
	return out, err
}

func (s *Service) update(ctx context.Context, c *call.Call, in *api.UpdateAnalyzerInput) (*api.UpdateAnalyzerOutput, error) {
	a, err := s.analyzer(c, *in.AnalyzerName)
	if err != nil {
		return nil, err
	}
	if a.Type != analyze.OfUnusedAccess {
		return nil, invalid("configuration: an analyzer of the type %s has none", a.Type)
	}
	days, err := daysOf(in.Configuration)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Registry.SetDays(ctx, a.Account, a.Region, a.Name, days)
	if errors.Is(err, analyze.ErrNotFound) {
		return nil, noAnalyzer(a.Name)
	}
	if err != nil {
		return nil, err
	}
	changed := *a
	changed.Days = days
	return &api.UpdateAnalyzerOutput{Configuration: configuration(&changed)}, nil
}

func (s *Service) delete(ctx context.Context, c *call.Call, in *api.DeleteAnalyzerInput) (*api.DeleteAnalyzerOutput, error) {
	a, err := s.analyzer(c, *in.AnalyzerName)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Registry.Delete(ctx, a.Account, a.Region, a.Name)
	if errors.Is(err, analyze.ErrNotFound) {
		return nil, noAnalyzer(a.Name)
	}
	if err == nil {
		err = s.cfg.Tags.Forget(ctx, a.ARN())
	}
	if err != nil {
		return nil, err
	}
	return &api.DeleteAnalyzerOutput{}, nil
}

func (s *Service) tag(ctx context.Context, c *call.Call, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	a, err := s.analyzerByARN(c, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := resource.ReadTags(tagsOf(in.Tags))
	if err == nil {
		err = s.cfg.Tags.Tag(ctx, a.ARN(), tags)
	}
	if err != nil {
		return nil, tagError(err)
	}
	return &api.TagResourceOutput{}, nil
}

func (s *Service) untag(ctx context.Context, c *call.Call, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	a, err := s.analyzerByARN(c, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Tags.Untag(ctx, a.ARN(), in.TagKeys); err != nil {
		return nil, tagError(err)
	}
	return &api.UntagResourceOutput{}, nil
}

func (s *Service) listTags(_ context.Context, c *call.Call, in *api.ListTagsForResourceInput) (*api.ListTagsForResourceOutput, error) {
	a, err := s.analyzerByARN(c, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	out := &api.ListTagsForResourceOutput{Tags: map[string]string{}}
	maps.Copy(out.Tags, s.cfg.Tags.Tags(a.ARN()))
	return out, nil
}

// tagError turns an error of tags into one that the API models.
func tagError(err error) error {
	if errors.Is(err, resource.ErrTooManyTags) {
		return invalid("tags: a resource may have at most %d", resource.MaxTags)
	}
	if e, ok := errors.AsType[*apierr.Error](err); ok && e.Code == apierr.CodeValidation {
		return e.WithField("reason", string(api.ValidationExceptionReasonFieldValidationFailed))
	}
	return err
}
