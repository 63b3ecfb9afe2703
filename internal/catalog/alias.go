package catalog

import (
	"fmt"
	"slices"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Alias is another name for a model. Who calls by it needs the permissions of the
// model and has its usage counted for it; lists of the API do not show it.
type Alias struct {
	// ID is a word of letters and digits with single hyphens or underscores between
	// them, at most 63 characters, or has the form of a model id; not the id of a model.
	ID    string `yaml:"id"`
	Model string `yaml:"model"` // id of a model or of a system inference profile
}

// maxAlias is the longest alias, in characters.
const maxAlias = 63

// check looks for mistakes of form. A word of twelve letters and digits could be the
// id of an account's inference profile.
func (a *Alias) check() error {
	m, err := arn.ParseModel(a.ID)
	switch {
	case err != nil, m.IsARN(), len(a.ID) > maxAlias, m.Kind != arn.KindProvisionedName && m.Kind != arn.KindFoundationModel:
		return fmt.Errorf("id: want a word of 1 to %d letters and digits with single hyphens or underscores between them, but not 12 small letters and digits; or provider.name", maxAlias)
	case a.Model == "":
		return fmt.Errorf("model: missing")
	}
	to, err := arn.ParseModel(a.Model)
	if err != nil || to.IsARN() || to.Kind != arn.KindFoundationModel && to.Kind != arn.KindSystemProfile {
		return fmt.Errorf("model: want the id of a model or of a system inference profile, not %q", a.Model)
	}
	return nil
}

// leads checks that the alias leads to a model and hides none.
func (d *document) leads(a *Alias) error {
	if slices.ContainsFunc(d.models, func(e entry[Model]) bool { return e.id == a.ID }) {
		return fmt.Errorf("id: a model has the id %q", a.ID)
	}
	to, _ := arn.ParseModel(a.Model) // check has read it
	if !d.knows(to.ID) {
		return fmt.Errorf("model: no model has the id %q", to.ID)
	}
	return nil
}

// knows reports whether an id is a model's, listed or by pattern, stand-ins included.
func (d *document) knows(id string) bool {
	if slices.ContainsFunc(d.models, func(e entry[Model]) bool { return e.id == id }) {
		return true
	}
	for i := range d.patterns {
		for _, m := range d.patterns[i].value.Match {
			if arn.Match(m, id) {
				return true
			}
		}
	}
	return false
}

// Aliases returns the aliases, in the order of the catalogue.
func (c *Catalog) Aliases() []Alias { return slices.Clone(c.aliases) }

// meant is the id that a caller means: what an alias stands for, else the id itself.
func (c *Catalog) meant(id string) string {
	if len(c.aliases) == 0 {
		return id
	}
	if to, ok := c.byAlias[id]; ok {
		return to
	}
	return id
}
