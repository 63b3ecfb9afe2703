package app

import (
	"fmt"
	"slices"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

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
