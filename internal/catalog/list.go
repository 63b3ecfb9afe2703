package catalog

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Filter selects models. Empty fields select everything.
type Filter struct {
	Region        string // models that this region offers
	Provider      string // whole provider name, in any case
	Customization string // FINE_TUNING, CONTINUED_PRE_TRAINING or DISTILLATION
	Output        string // TEXT, IMAGE or EMBEDDING
	Inference     string // ON_DEMAND or PROVISIONED
}

// List returns the listed models that fit, in the order of the catalogue. Models
// past their end of life are left out.
func (c *Catalog) List(f Filter) []Model {
	var out []Model
	for i := range c.models {
		m := &c.models[i]
		if !m.offered(f.Region) ||
			f.Provider != "" && !strings.EqualFold(f.Provider, m.Provider) ||
			f.Customization != "" && !slices.Contains(m.Customizations, f.Customization) ||
			f.Output != "" && !slices.Contains(m.Output, f.Output) ||
			c.ended(m) {
			continue
		}
		shown := c.aged(*m).shown(f.Region)
		if f.Inference != "" && !slices.Contains(shown.Inference, f.Inference) {
			continue
		}
		out = append(out, shown)
	}
	return out
}

// Get returns the model of an id or a foundation-model ARN in the given region,
// or wherever it is offered when region is "". Ids that resolve by pattern are
// found too.
//
// Errors: ValidationException for a malformed identifier,
// ResourceNotFoundException when there is no such model in the region.
func (c *Catalog) Get(id, region string) (Model, error) {
	m, err := arn.ParseModel(c.meant(id))
	if err != nil {
		return Model{}, invalidModel()
	}
	model, ok := Model{}, false
	if m.Kind == arn.KindFoundationModel && (!m.IsARN() || m.ARN.Region == region || region == "") {
		model, ok = c.find(m.ID, region)
	}
	if ok && c.ended(&model) {
		return Model{}, endOfLife()
	}
	if !ok {
		return Model{}, apierr.NotFound("Could not resolve the foundation model from the provided model identifier.")
	}
	return model.shown(region), nil
}

// Weights returns all weights, in the order of the catalogue.
func (c *Catalog) Weights() []Weights { return slices.Clone(c.weights) }

// WeightsByID returns the weights with the given id.
func (c *Catalog) WeightsByID(id string) (Weights, bool) {
	i, ok := c.byWeight[id]
	if !ok {
		return Weights{}, false
	}
	return c.weights[i], true
}

// StandIns returns the listed models that are served by other weights than they
// name, in the order of the catalogue.
func (c *Catalog) StandIns() []Model {
	return slices.DeleteFunc(slices.Clone(c.models), func(m Model) bool { return !m.StandIn })
}

// Patterns returns what answers for ids that are not listed.
func (c *Catalog) Patterns() []Pattern { return slices.Clone(c.patterns) }

// Profile is a system inference profile: a model under a geography.
type Profile struct {
	ID          string // e.g. "us.amazon.nova-lite-v1:0"
	Name        string // e.g. "US Nova Lite"
	Description string
	Model       Model
	// Regions are those of the geography that the installation serves, 1 to 5: where
	// the model may run.
	Regions []string
}

// SystemProfiles returns the profiles of the listed models that the region
// offers: first by geography, then in the order of the catalogue.
func (c *Catalog) SystemProfiles(region string) []Profile {
	var out []Profile
	for _, geo := range arn.Geographies() {
		if !geographyCovers(geo, region) {
			continue
		}
		for _, m := range c.List(Filter{Region: region}) {
			if slices.Contains(m.Profiles, geo) {
				out = append(out, c.systemProfile(geo, region, m))
			}
		}
	}
	return out
}

// SystemProfile returns the profile with the given id, also of a model that is
// not listed but resolves by pattern.
//
// Errors: ResourceNotFoundException when the region has no such profile.
func (c *Catalog) SystemProfile(id, region string) (Profile, error) {
	m, err := arn.ParseModel(id)
	if err == nil && m.Kind == arn.KindSystemProfile && geographyCovers(m.Geo, region) {
		model, ok := c.find(m.ID, region)
		if ok && slices.Contains(model.Profiles, m.Geo) && !c.ended(&model) {
			return c.systemProfile(m.Geo, region, model), nil
		}
	}
	return Profile{}, apierr.NotFound("The inference profile %s does not exist in this region.", id)
}

func (c *Catalog) systemProfile(geo, region string, m Model) Profile {
	area := strings.ToUpper(geo)
	if geo == "global" {
		area = "Global"
	}
	name := m.Name
	if m.Provider != "Amazon" && !strings.HasPrefix(name, m.Provider) {
		name = m.Provider + " " + name
	}
	return Profile{
		ID:          geo + "." + m.ID,
		Name:        area + " " + name,
		Description: "Offers " + name + " under one id in all regions of " + area + ".",
		Model:       m,
		Regions:     c.spread(geo, region),
	}
}

// geographyCovers reports whether profiles of the geography can be called from
// the region. Source: AWS documentation, supported regions of inference profiles.
func geographyCovers(geo, region string) bool {
	switch geo {
	case "us":
		return strings.HasPrefix(region, "us-") && !strings.HasPrefix(region, "us-gov-") || strings.HasPrefix(region, "ca-")
	case "eu":
		return strings.HasPrefix(region, "eu-")
	case "apac":
		return strings.HasPrefix(region, "ap-")
	case "jp", "au":
		return slices.Contains(geographyRegions(geo, ""), region)
	case "ca":
		return strings.HasPrefix(region, "ca-")
	case "us-gov":
		return strings.HasPrefix(region, "us-gov-")
	case "global":
		return arn.Partition(region) == arn.PartitionAWS
	}
	return false
}

// geographyRegions returns the regions that a profile of the geography spreads
// over, at most 5, the region of the request among them.
func geographyRegions(geo, region string) []string {
	var rs []string
	switch geo {
	case "us":
		rs = []string{"us-east-1", "us-east-2", "us-west-2"}
	case "eu":
		rs = []string{"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"}
	case "apac":
		rs = []string{"ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1"}
	case "jp":
		rs = []string{"ap-northeast-1", "ap-northeast-3"}
	case "au":
		rs = []string{"ap-southeast-2", "ap-southeast-4"}
	case "ca":
		rs = []string{"ca-central-1", "ca-west-1"}
	case "us-gov":
		rs = []string{"us-gov-east-1", "us-gov-west-1"}
	}
	if region != "" && !slices.Contains(rs, region) {
		rs = append([]string{region}, rs...)
	}
	return rs
}
