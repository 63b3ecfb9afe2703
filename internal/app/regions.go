package app

import (
	"fmt"
	"slices"

	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// region stands in where nobody names one: the first of those that are served.
func (c *Config) region() string {
	if len(c.Regions) > 0 {
		return c.Regions[0]
	}
	return gateway.DefaultRegion
}

// checkRegions checks the list of regions that are served.
func checkRegions(regions []string) error {
	for i, r := range regions {
		if !arn.ValidRegion(r) {
			return fmt.Errorf("regions: %q has not the form of an AWS region, e.g. eu-central-1", r)
		}
		if slices.Contains(regions[:i], r) {
			return fmt.Errorf("regions: %s stands twice", r)
		}
	}
	return nil
}
