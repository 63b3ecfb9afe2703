package catalog_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/provision"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// units are provisioned throughput by account, region and id or name.
type units map[string]struct{ arn, model string }

func (u units) LookupProvisioned(account, region, idOrName string) (name, model string, err error) {
	one, ok := u[account+"/"+region+"/"+idOrName]
	switch {
	case !ok:
		return "", "", provision.ErrNone
	case one.model == "":
		return "", "", apierr.ModelNotReady("not yet")
	}
	return one.arn, one.model, nil
}

func TestResolveProvisioned(t *testing.T) {
	t.Parallel()
	const mine = "arn:aws:bedrock:us-east-1:" + account + ":provisioned-model/abcdefghij12"
	one := struct{ arn, model string }{mine, haiku}
	c := newCatalog(t, catalog.Options{StandIns: true, Provisioned: units{
		account + "/us-east-1/abcdefghij12": one, account + "/us-east-1/my-units": one, account + "/us-east-1/twelveletter": one,
		account + "/us-east-1/early": {}, account + "/us-east-1/lost": {mine, "gone.model-v1:0"},
	}})
	// A bare word of twelve letters may be the id of an application profile too.
	for _, id := range []string{mine, "my-units", "twelveletter"} {
		got, err := c.Resolve(t.Context(), id, "us-east-1", account)
		if err != nil || got.Reserved != mine || !slices.Equal(got.Resources, []string{mine}) || got.Model.ID != haiku ||
			got.ModelARN != "arn:aws:bedrock:us-east-1::foundation-model/"+haiku || got.Destinations != nil || !slices.Equal(got.Regions, []string{"us-east-1"}) {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	if got, err := c.Resolve(t.Context(), haiku, "us-east-1", account); err != nil || got.Reserved != "" {
		t.Errorf("the model itself: %q, %v", got.Reserved, err)
	}
	for name, x := range map[string]struct{ id, region, account, code string }{
		"another account's ARN":  {mine, "us-east-1", other, apierr.CodeValidation},
		"another account's name": {"my-units", "us-east-1", other, apierr.CodeValidation},
		"another region's name":  {"my-units", "us-west-2", account, apierr.CodeValidation},
		"another region's ARN":   {mine, "us-west-2", account, apierr.CodeValidation},
		"not there":              {"arn:aws:bedrock:us-east-1:" + account + ":provisioned-model/abcdefghij34", "us-east-1", account, apierr.CodeResourceNotFound},
		"not ready":              {"early", "us-east-1", account, apierr.CodeModelNotReady},
		"its model went":         {"lost", "us-east-1", account, apierr.CodeValidation},
	} {
		_, err := c.Resolve(t.Context(), x.id, x.region, x.account)
		if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != x.code {
			t.Errorf("%s: %v, want %s", name, err, x.code)
		}
	}
}
