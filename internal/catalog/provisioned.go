package catalog

import (
	"errors"

	"github.com/outcrop/outcrop/internal/provision"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Provisioned finds provisioned throughput.
type Provisioned interface {
	// LookupProvisioned returns the ARN of a throughput and the id of the model that
	// it serves. It fails with provision.ErrNone when the account has none of that id
	// or name in the region, and with an error for the caller when it serves nothing.
	LookupProvisioned(account, region, idOrName string) (name, model string, err error)
}

// provisionedModel resolves the ARN or the name of provisioned throughput. Its slots
// alone are used, so the call is decided over as one to the throughput.
func (c *Catalog) provisionedModel(m *arn.Model, region, account string) (*Target, error) {
	name, model, err := "", "", provision.ErrNone
	if c.provisioned != nil {
		name, model, err = c.provisioned.LookupProvisioned(account, region, m.ID)
	}
	if errors.Is(err, provision.ErrNone) {
		if m.IsARN() {
			return nil, apierr.NotFound("The %s %s does not exist.", m.Kind, m.ID)
		}
		return nil, invalidModel()
	}
	if err != nil {
		return nil, err
	}
	t, err := c.target(&arn.Model{Kind: arn.KindFoundationModel, ID: model}, region, account)
	if err != nil {
		return nil, err
	}
	t.Reserved, t.Resources = name, []string{name}
	return t, nil
}
