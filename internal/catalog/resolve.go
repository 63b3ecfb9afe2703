package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Profiles finds application inference profiles.
type Profiles interface {
	// LookupProfile returns the ARN that a profile was copied from: a foundation
	// model or a system inference profile. It fails with profile.ErrNotFound when
	// the account has no such profile in the region.
	LookupProfile(ctx context.Context, account, region, id string) (sourceARN string, err error)
}

// StoredProfiles finds application inference profiles in a store.
func StoredProfiles(s profile.Store) Profiles { return storedProfiles{s} }

type storedProfiles struct{ store profile.Store }

// LookupProfile implements Profiles.
func (s storedProfiles) LookupProfile(ctx context.Context, account, region, id string) (string, error) {
	p, err := s.store.GetProfile(ctx, account, region, id)
	return p.ModelSource, err
}

// Resolve finds what a caller wrote as model id of an inference.
//
// It takes the id of a model, such an id with a size variant ("...:200k"), the
// id of an inference profile, the ARN of each and of a prompt router, the name or
// ARN of provisioned throughput, and an alias. Ids that are not listed resolve by
// pattern. An ARN must name the region of the request, and the account of the
// caller where it has one; only application profiles may be another account's,
// which shares them by a resource policy.
//
// The target is shared by all who are handed it, of later calls too; it is nil with
// an error.
//
// Errors: ValidationException for a malformed or unknown identifier, as the
// live service answers; ResourceNotFoundException for an ARN of a kind that
// holds nothing here, for an application profile or provisioned throughput that
// does not exist and for a model past its end of life; those of Provisioned, as
// Unusable.
func (c *Catalog) Resolve(ctx context.Context, modelID, region, account string) (*Target, error) {
	m, err := arn.ParseModel(c.meant(modelID))
	foreign := m.ARN.Account != "" && m.ARN.Account != account
	if err != nil || m.IsARN() && m.ARN.Region != region || foreign && m.Kind != arn.KindApplicationProfile {
		return nil, invalidModel()
	}
	switch m.Kind {
	case arn.KindFoundationModel, arn.KindSystemProfile:
		return c.remembered(&m, region, account)
	case arn.KindApplicationProfile:
		return c.applicationProfile(ctx, &m, region, account)
	case arn.KindPromptRouter, arn.KindDefaultPromptRouter:
		return c.router(ctx, &m, region, account)
	case arn.KindProvisionedModel, arn.KindProvisionedName:
		return c.provisionedModel(&m, region, account)
	}
	return nil, apierr.NotFound("The %s %s does not exist.", m.Kind, m.ID)
}

// target resolves a model or a system profile.
func (c *Catalog) target(m *arn.Model, region, account string) (*Target, error) {
	model, ok := c.find(m.ID, region)
	if !ok || m.Geo != "" && !(slices.Contains(model.Profiles, m.Geo) && geographyCovers(m.Geo, region)) {
		return nil, invalidModel()
	}
	if c.ended(&model) {
		return nil, endOfLife()
	}
	if m.Geo == "" && !model.InRegion(region) {
		return nil, throughProfile(model.ID)
	}
	t := &Target{
		Model:    model,
		Weights:  c.weights[c.byWeight[model.Weights]],
		ModelARN: arn.FoundationModel(region, model.ID),
		Regions:  []string{region},
	}
	if m.Geo == "" {
		t.Resources = []string{t.ModelARN}
		return t, nil
	}
	t.through(arn.InferenceProfile(region, account, m.Geo+"."+model.ID))
	for _, r := range c.spread(m.Geo, region) {
		t.Destinations = append(t.Destinations, arn.FoundationModel(r, model.ID))
		if r != region {
			t.Regions = append(t.Regions, r)
		}
	}
	return t, nil
}

// applicationProfile resolves the model behind an application profile.
func (c *Catalog) applicationProfile(ctx context.Context, m *arn.Model, region, account string) (*Target, error) {
	source, err := "", profile.ErrNotFound
	owner := account
	if m.IsARN() {
		owner = m.ARN.Account
	}
	if c.profiles != nil {
		source, err = c.profiles.LookupProfile(ctx, owner, region, m.ID)
	}
	if errors.Is(err, profile.ErrNotFound) {
		if m.IsARN() {
			return nil, apierr.NotFound("The %s %s does not exist.", m.Kind, m.ID)
		}
		// Any word of 12 characters looks like such an id.
		return c.provisionedModel(m, region, account)
	}
	if err != nil {
		return nil, err
	}
	s, err := arn.ParseModel(source)
	if err != nil || s.Kind != arn.KindFoundationModel && s.Kind != arn.KindSystemProfile {
		return nil, invalidModel()
	}
	t, err := c.target(&s, region, account)
	if err != nil {
		return nil, err
	}
	if t.ProfileARN == "" {
		t.Destinations = []string{t.ModelARN}
	}
	t.through(arn.ApplicationInferenceProfile(region, owner, m.ID))
	return t, nil
}

// through makes the target one that is reached by a profile.
func (t *Target) through(profile string) {
	t.ProfileARN = profile
	t.Resources = []string{profile}
}

// find returns the entry for a model id: the listed one, the one that the id is
// a size variant of, or what a pattern makes of it. Region "" means any.
func (c *Catalog) find(id, region string) (Model, bool) {
	m, ok := c.lookup(id)
	if !ok || !m.offered(region) {
		return Model{}, false
	}
	return c.aged(m), true
}

func (c *Catalog) lookup(id string) (Model, bool) {
	if i, ok := c.byID[id]; ok {
		return c.models[i], true
	}
	if base, size, ok := cutLast(id); ok && isSize(size) {
		id = base
		if i, ok := c.byID[id]; ok {
			return c.models[i], true
		}
		// AWS numbers the variants of some ids that have no number themselves:
		// "amazon.titan-text-lite-v1:0:4k".
		if base, number, ok := cutLast(id); ok && digits(number) {
			if i, ok := c.byID[base]; ok {
				return c.models[i], true
			}
		}
	}
	for _, p := range c.prefixes {
		if rest, ok := strings.CutPrefix(id, p.text); ok && strings.ContainsAny(rest, "0123456789") {
			return c.patterns[p.pattern].model(id), true
		}
	}
	return Model{}, false
}

// ended reports whether the model's end of life has come.
func (c *Catalog) ended(m *Model) bool {
	end := m.Lifecycle.EndOfLife
	return !end.IsZero() && !c.now().Before(end)
}

// endOfLife is what the live service answers to the id of a model that has ended.
func endOfLife() error {
	return apierr.NotFound("This model version has reached the end of its life.")
}

// aged is the model as it is today: LEGACY from its date on.
func (c *Catalog) aged(m Model) Model {
	if from := m.Lifecycle.Legacy; !from.IsZero() && !c.now().Before(from) {
		m.Lifecycle.Status = Legacy
	}
	return m
}

// invalidModel is what the live service answers to an identifier that it cannot
// read or does not know.
func invalidModel() error {
	return apierr.Validation("The provided model identifier is invalid.")
}

// cutLast cuts an id at its last colon.
func cutLast(id string) (before, after string, ok bool) {
	i := strings.LastIndexByte(id, ':')
	if i < 0 {
		return "", "", false
	}
	return id[:i], id[i+1:], true
}

// isSize reports whether the last part of an id names a context size ("200k",
// "512") or the multimodal variant ("mm") rather than a version.
func isSize(s string) bool {
	if k, ok := strings.CutSuffix(s, "k"); ok {
		return digits(k)
	}
	return s == "mm" || len(s) > 2 && digits(s)
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
