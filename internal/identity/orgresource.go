package identity

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/access"
)

// OrganizationResources knows the resources of AWS Organizations, for decisions:
// all of them belong to the management account and may have tags.
func (d *Directory) OrganizationResources() access.Resources { return orgResources{d} }

type orgResources struct{ d *Directory }

// Resource implements access.Resources.
func (o orgResources) Resource(_ context.Context, resourceARN, _ string) (access.Resource, error) {
	var out access.Resource
	id := resourceARN[strings.LastIndexByte(resourceARN, '/')+1:]
	t := treeOf(o.d.state.Load())
	if tags, ok := t.tags(id); ok {
		out.Tags, out.OrgID = tags.Map(), t.org.ID
	}
	return out, nil
}
