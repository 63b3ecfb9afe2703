package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// global are the services that have no regions: their clients sign for the first
// region of a partition, wherever they are.
//
// Source: AWS General Reference, endpoints of IAM, STS and Organizations; Outcrop's own
// API is about the whole installation.
func global(service string) bool {
	switch service {
	case "iam", "sts", "organizations", "outcrop":
		return true
	}
	return false
}

// globalRegion is the region that clients of global services sign for.
func globalRegion(partition string) string {
	switch partition {
	case arn.PartitionGov:
		return "us-gov-west-1"
	case arn.PartitionChina:
		return "cn-north-1"
	}
	return DefaultRegion
}

// unnamed is the region of a request that names none.
func (a *authenticator) unnamed() string {
	if len(a.regions) > 0 {
		return a.regions[0]
	}
	return DefaultRegion
}

// serves checks that the installation serves the region of a credential scope. The
// error is what AWS answers in a region that the scope does not name; it tells which
// ones are served.
func (a *authenticator) serves(region, service string) error {
	if len(a.regions) == 0 || slices.Contains(a.regions, region) ||
		global(service) && region == globalRegion(arn.Partition(region)) {
		return nil
	}
	return apierr.New(apierr.CodeInvalidSignature, http.StatusForbidden,
		"Credential should be scoped to a valid region, not '%s'. This server serves %s.", region, strings.Join(a.regions, ", "))
}
