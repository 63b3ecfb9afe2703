package catalog

import (
	"slices"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// maxSpread is how many regions a profile spreads over at most.
//
// Source: shape InferenceProfileModels of the bedrock API.
const maxSpread = 5

// InRegion reports whether calls in a region may name the model itself. Elsewhere it
// is reached through its system inference profiles alone, where they cover the region.
func (m *Model) InRegion(region string) bool {
	return len(m.Regions) == 0 || slices.Contains(m.Regions, region)
}

// offered reports whether a region offers the model, directly or through a profile.
func (m *Model) offered(region string) bool {
	return region == "" || m.InRegion(region) ||
		slices.ContainsFunc(m.Profiles, func(geo string) bool { return geographyCovers(geo, region) })
}

// inferenceProfile is the inference type of a model that a region offers through
// profiles. It is no word of the API's model, but the live service sends it.
const inferenceProfile = "INFERENCE_PROFILE"

// shown is the model as a region's lists show it: with the types of inference that it
// has there.
func (m Model) shown(region string) Model {
	if region != "" && !m.InRegion(region) {
		m.Inference = []string{inferenceProfile}
	}
	return m
}

// throughProfile is what the live service answers to the bare id of a model that the
// region offers through profiles alone.
func throughProfile(id string) error {
	return apierr.Validation("Invocation of model ID %s with on-demand throughput isn\u2019t supported. Retry your request with the ID or ARN of an inference profile that contains this model.", id)
}

// spread returns the regions that a profile of a geography spreads over when it is
// called from region, which is "" for the geography itself: at most 5, and only those
// that the installation serves.
func (c *Catalog) spread(geo, region string) []string {
	rs := geographyRegions(geo, region)
	if len(c.regions) == 0 {
		return rs
	}
	if geo == "global" {
		rs = []string{region}
		for _, r := range c.regions {
			if r != region && arn.Partition(r) == arn.Partition(region) {
				rs = append(rs, r)
			}
		}
		return rs[:min(len(rs), maxSpread)]
	}
	return slices.DeleteFunc(slices.Clone(rs), func(r string) bool { return !slices.Contains(c.regions, r) })
}
