package iam

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/identity"
)

// The keys of page for entities, which the directory lists by their names without
// regard to case.

func userKey(_ int, u *identity.User) string               { return strings.ToLower(u.Name) }
func groupKey(_ int, g *identity.Group) string             { return strings.ToLower(g.Name) }
func roleKey(_ int, r *identity.Role) string               { return strings.ToLower(r.Name) }
func profileKey(_ int, p *identity.InstanceProfile) string { return strings.ToLower(p.Name) }

// sortEntities brings entities into the order of entityKey.
func sortEntities(all []entity) {
	slices.SortFunc(all, func(a, b entity) int { return strings.Compare(entityKey(0, a), entityKey(0, b)) })
}
