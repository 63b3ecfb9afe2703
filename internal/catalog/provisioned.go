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
	// or name in the region, and with the ARN and an error for the caller when it
	// serves nothing.
	LookupProvisioned(account, region, idOrName string) (name, model string, err error)
}

// Unusable is an error about a resource that is there and cannot be used: only who
// may use it is told why.
type Unusable struct {
	ARN string // of the resource
	Err error  // why
}

// Error implements error.
func (u *Unusable) Error() string { return u.Err.Error() }

// Unwrap returns why the resource cannot be used.
func (u *Unusable) Unwrap() error { return u.Err }

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
		return nil, unusable(name, err)
	}
	t, err := c.target(&arn.Model{Kind: arn.KindFoundationModel, ID: model}, region, account)
	if err != nil {
		return nil, unusable(name, err)
	}
	t.Reserved, t.Resources = name, []string{name}
	return t, nil
}

func unusable(name string, err error) error {
	if name == "" {
		return err
	}
	return &Unusable{ARN: name, Err: err}
}
