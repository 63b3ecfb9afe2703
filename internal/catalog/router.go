package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Routers finds prompt routers of accounts. promptrouter.Service implements it.
type Routers interface {
	Lookup(account, region, id string) (promptrouter.Router, bool)
}

// DefaultRouter is a prompt router that every account has, in each region that offers
// its models.
type DefaultRouter struct {
	ID          string   `yaml:"id"`   // 1 to 64 letters, digits, '-', ':' and '.', e.g. "anthropic.claude:1"
	Name        string   `yaml:"name"` // 1 to 64 characters
	Description string   `yaml:"description,omitempty"`
	Models      []string `yaml:"models"`   // ids of two models of one provider and family
	Fallback    string   `yaml:"fallback"` // one of them
	// Difference is the response quality difference in percent, 0 to 100.
	Difference float64 `yaml:"response_quality_difference"`
}

// Router says between which models a call chooses.
type Router struct {
	ARN        string
	Difference float64 // response quality difference, in percent
	// Candidates are the models as if each were called by itself: two, or one when
	// the other is there no longer.
	Candidates []*Target
	Names      []string // what the router calls them: ARNs of models or profiles
	Fallback   int      // index of the one that answers when nothing speaks for another
	Strongest  int      // index of the one that is taken for the strongest
}

func (r *DefaultRouter) check() error {
	form, err := arn.ParseModel("arn:aws:bedrock:us-east-1:000000000000:default-prompt-router/" + r.ID)
	switch {
	case err != nil || form.Kind != arn.KindDefaultPromptRouter:
		return fmt.Errorf("id: want 1 to 64 letters, digits, '-', ':' and '.'")
	case r.Name == "" || len(r.Name) > 64:
		return fmt.Errorf("name: want 1 to 64 characters")
	case len(r.Description) > 200:
		return fmt.Errorf("description: want at most 200 characters")
	case len(r.Models) != promptrouter.Models || r.Models[0] == r.Models[1]:
		return fmt.Errorf("models: want two ids of models")
	case !slices.Contains(r.Models, r.Fallback):
		return fmt.Errorf("fallback: want one of models")
	case !(r.Difference >= 0 && r.Difference <= 100):
		return fmt.Errorf("response_quality_difference: want 0 to 100 percent")
	}
	return nil
}

// routersSince is when default routers were made: the day that those of AWS show.
func routersSince() time.Time { return time.Date(2024, 11, 20, 0, 0, 0, 0, time.UTC) }

// routes checks that a default router leads to models.
func (d *document) routes(r *DefaultRouter) error {
	for _, id := range r.Models {
		if !d.knows(id) {
			return fmt.Errorf("models: no model has the id %q", id)
		}
	}
	return nil
}

// DefaultRouters returns the default prompt routers that an account has in a region,
// in the order of the catalogue. A router stands in a region that offers all of its
// models, and names them by their system inference profile where they have one.
func (c *Catalog) DefaultRouters(region, account string) []promptrouter.Router {
	var out []promptrouter.Router
	for i := range c.routers {
		if r, ok := c.defaultRouter(&c.routers[i], region, account); ok {
			out = append(out, r)
		}
	}
	return out
}

func (c *Catalog) defaultRouter(d *DefaultRouter, region, account string) (promptrouter.Router, bool) {
	r := promptrouter.Router{
		Account: account, Region: region, ID: d.ID, Default: true, Name: d.Name, Description: d.Description,
		Difference: d.Difference, Created: routersSince(), Updated: routersSince(),
	}
	for _, id := range d.Models {
		m, ok := c.find(id, region)
		if !ok || c.ended(&m) {
			return r, false
		}
		name := arn.FoundationModel(region, id)
		for _, geo := range arn.Geographies() {
			if slices.Contains(m.Profiles, geo) && geographyCovers(geo, region) {
				name = arn.InferenceProfile(region, account, geo+"."+id)
				break
			}
		}
		r.Models = append(r.Models, name)
		if id == d.Fallback {
			r.Fallback = name
		}
	}
	return r, true
}

// router resolves a prompt router. The target is that of its fallback, for those who
// know of no routers.
func (c *Catalog) router(ctx context.Context, m *arn.Model, region, account string) (*Target, error) {
	var r promptrouter.Router
	ok := false
	if m.Kind == arn.KindDefaultPromptRouter {
		i := slices.IndexFunc(c.routers, func(d DefaultRouter) bool { return d.ID == m.ID })
		if i >= 0 {
			r, ok = c.defaultRouter(&c.routers[i], region, account)
		}
	} else if c.made != nil {
		r, ok = c.made.Lookup(account, region, m.ID)
	}
	if !ok {
		return nil, apierr.NotFound("The %s %s does not exist.", m.Kind, m.ID)
	}
	out := &Router{ARN: m.ARN.String(), Difference: r.Difference, Fallback: -1}
	var gone error
	for _, name := range r.Models {
		t, err := c.Resolve(ctx, name, region, account)
		if err != nil || t.Router != nil {
			gone = cmp.Or(err, gone)
			continue
		}
		if name == r.Fallback {
			out.Fallback = len(out.Candidates)
		}
		out.Candidates, out.Names = append(out.Candidates, t), append(out.Names, name)
	}
	if len(out.Candidates) == 0 {
		return nil, cmp.Or(gone, invalidModel())
	}
	// A fallback that went its way leaves its place to the model that is left.
	out.Fallback = max(0, out.Fallback)
	out.Strongest = out.Fallback
	for i := range out.Candidates {
		if compareStrength(&out.Candidates[i].Model, &out.Candidates[out.Strongest].Model) > 0 {
			out.Strongest = i
		}
	}
	t := *out.Candidates[out.Fallback]
	t.Router, t.Resources = out, []string{out.ARN}
	return &t, nil
}

// compareStrength is above 0 when a is taken for the stronger of two models of one
// family: the one with the higher price; where a price is not known, the one whose id
// names more parameters ("70b", "8b").
func compareStrength(a, b *Model) int {
	if a.Price.Output > 0 && b.Price.Output > 0 && a.Price.Output != b.Price.Output {
		return cmp.Compare(a.Price.Output, b.Price.Output)
	}
	return cmp.Compare(billions(a.ID), billions(b.ID))
}

// billions is the number of parameters that an id names, in billions; 0 for none.
func billions(id string) float64 {
	most := 0.0
	for part := range strings.FieldsFuncSeq(id, func(c rune) bool { return c == '-' || c == '.' || c == ':' }) {
		if n, ok := strings.CutSuffix(part, "b"); ok {
			experts := 1.0
			if times, each, ok := strings.Cut(n, "x"); ok {
				if v, err := strconv.ParseFloat(times, 64); err == nil {
					experts, n = v, each
				}
			}
			if v, err := strconv.ParseFloat(n, 64); err == nil {
				most = max(most, v*experts)
			}
		} else if n, ok := strings.CutSuffix(part, "m"); ok {
			if v, err := strconv.ParseFloat(n, 64); err == nil {
				most = max(most, v/1000)
			}
		}
	}
	return most
}
