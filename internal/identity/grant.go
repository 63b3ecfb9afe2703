package identity

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// maxAttached is how many managed policies may be attached to one identity.
// AWS raises it to 20 on request.
const maxAttached = 10

// Type is a kind of identity that policies bind.
type Type string

// The identities that policies bind. The words are those of IAM's messages.
const (
	TypeUser  Type = "user"
	TypeGroup Type = "group"
	TypeRole  Type = "role"
)

// Grants are the policies of a user, group or role.
type Grants struct {
	Attached []string `json:",omitempty"` // ARNs of managed policies, in the order of attachment
	Inline   []Inline `json:",omitempty"` // by name
}

// Inline is an inline policy.
type Inline struct {
	Name string
	Text string // IAM JSON as it was put
	doc  *policy.Document
}

// Document returns the compiled policy.
func (i *Inline) Document() *policy.Document { return i.doc }

func (g *Grants) prepare() error {
	for i := range g.Inline {
		if in := &g.Inline[i]; in.doc == nil {
			var err error
			if in.doc, err = parse(in.Text, policy.Identity); err != nil {
				return err
			}
		}
	}
	return nil
}

// InlineNamed returns the inline policy with a name, or nil.
func (g *Grants) InlineNamed(name string) *Inline {
	if i := slices.IndexFunc(g.Inline, func(in Inline) bool { return in.Name == name }); i >= 0 {
		return &g.Inline[i]
	}
	return nil
}

// parse compiles a policy text. Errors: MalformedPolicyDocument 400, which names
// statement and element.
func parse(text string, kind policy.Kind) (*policy.Document, error) {
	doc, err := policy.Parse([]byte(text), kind)
	if err != nil {
		if bad, ok := errors.AsType[*policy.Error](err); ok {
			return nil, apiError(codeMalformed, "%s", bad.Error())
		}
		return nil, err
	}
	return doc, nil
}

// editGrants changes the policies of an identity. fn must not change what the
// slices of g hold, but put others in their place.
func (d *Directory) editGrants(ctx context.Context, acct string, typ Type, name string, fn func(t *tx, g *Grants) error) error {
	return d.change(ctx, func(t *tx) error {
		switch typ {
		case TypeUser:
			return edit(t, &userKind, acct, name, func(u *User) error { return fn(t, &u.Grants) })
		case TypeGroup:
			return edit(t, &groupKind, acct, name, func(g *Group) error { return fn(t, &g.Grants) })
		default:
			return edit(t, &roleKind, acct, name, func(r *Role) error {
				if r.serviceLinked() {
					return unmodifiable(r)
				}
				return fn(t, &r.Grants)
			})
		}
	})
}

// edit puts a changed copy of the entity with a name.
func edit[T any](t *tx, k *kind[T], acct, name string, fn func(v *T) error) error {
	v := named(t.state, k, acct, name)
	if v == nil {
		return missing(k.name, name)
	}
	c := *v
	if err := fn(&c); err != nil {
		return err
	}
	return put(t, k, acct, &c)
}

// missing says that there is no entity with a name.
func missing(kind, name string) error {
	switch kind {
	case profileKind.name:
		return apiError(codeNoSuchEntity, "Instance Profile %s cannot be found.", name)
	default:
		return apiError(codeNoSuchEntity, "The %s with name %s cannot be found.", strings.TrimPrefix(kind, "iam/"), name)
	}
}

// AttachPolicy attaches a managed policy to an identity; once more is no error.
//
// Errors: NoSuchEntity for identity and policy; LimitExceeded beyond 10.
func (d *Directory) AttachPolicy(ctx context.Context, acct string, typ Type, name, policyARN string) error {
	return d.editGrants(ctx, acct, typ, name, func(t *tx, g *Grants) error {
		if d.policyIn(t.state, acct, policyARN) == nil {
			return apiError(codeNoSuchEntity, "Policy %s does not exist or is not attachable.", policyARN)
		}
		if slices.Contains(g.Attached, policyARN) {
			return nil
		}
		if len(g.Attached) >= maxAttached {
			return apiError(codeLimit, "Cannot exceed quota for PoliciesPer%s: %d", title(typ), maxAttached)
		}
		g.Attached = append(slices.Clone(g.Attached), policyARN)
		return nil
	})
}

func title(t Type) string { return strings.ToUpper(string(t[:1])) + string(t[1:]) }

// DetachPolicy takes a managed policy from an identity.
//
// Errors: NoSuchEntity for the identity and for a policy that is not attached.
func (d *Directory) DetachPolicy(ctx context.Context, acct string, typ Type, name, policyARN string) error {
	return d.editGrants(ctx, acct, typ, name, func(_ *tx, g *Grants) error {
		i := slices.Index(g.Attached, policyARN)
		if i < 0 {
			return apiError(codeNoSuchEntity, "Policy %s was not found.", policyARN)
		}
		g.Attached = slices.Delete(slices.Clone(g.Attached), i, i+1)
		return nil
	})
}

// PutInline stores an inline policy, new or in place of the one with its name.
//
// Errors: NoSuchEntity; MalformedPolicyDocument; LimitExceeded when all inline
// policies of the identity together are longer than 2048 (user), 5120 (group) or
// 10240 (role) characters without white space.
func (d *Directory) PutInline(ctx context.Context, acct string, typ Type, name, policyName, text string) error {
	if err := checkName("PolicyName", policyName, 128); err != nil {
		return err
	}
	return d.editGrants(ctx, acct, typ, name, func(_ *tx, g *Grants) error {
		doc, err := parse(text, policy.Identity)
		if err != nil {
			return err
		}
		most := map[Type]int{TypeUser: policy.MaxUserInline, TypeGroup: policy.MaxGroupInline, TypeRole: policy.MaxRoleInline}[typ]
		size := policy.Size([]byte(text), policy.Identity)
		list := make([]Inline, 0, len(g.Inline)+1)
		for _, in := range g.Inline {
			switch {
			case in.Name == policyName:
				continue
			case strings.EqualFold(in.Name, policyName):
				return apiError(codeExists, "A policy called %s already exists. Names that differ in case alone are not allowed.", in.Name)
			}
			size += policy.Size([]byte(in.Text), policy.Identity)
			list = append(list, in)
		}
		if size > most {
			return apiError(codeLimit, "Maximum policy size of %d bytes exceeded for %s %s", most, typ, name)
		}
		list = append(list, Inline{Name: policyName, Text: text, doc: doc})
		slices.SortFunc(list, func(a, b Inline) int { return strings.Compare(a.Name, b.Name) })
		g.Inline = list
		return nil
	})
}

// DeleteInline deletes an inline policy. Errors: NoSuchEntity.
func (d *Directory) DeleteInline(ctx context.Context, acct string, typ Type, name, policyName string) error {
	return d.editGrants(ctx, acct, typ, name, func(_ *tx, g *Grants) error {
		i := slices.IndexFunc(g.Inline, func(in Inline) bool { return in.Name == policyName })
		if i < 0 {
			return noInline(typ, policyName)
		}
		g.Inline = slices.Delete(slices.Clone(g.Inline), i, i+1)
		return nil
	})
}

func noInline(typ Type, name string) error {
	return apiError(codeNoSuchEntity, "The %s policy with name %s cannot be found.", typ, name)
}

// Grants returns the policies of an identity. Errors: NoSuchEntity.
func (d *Directory) Grants(acct string, typ Type, name string) (*Grants, error) {
	s := d.state.Load()
	switch typ {
	case TypeUser:
		if u := named(s, &userKind, acct, name); u != nil {
			return &u.Grants, nil
		}
	case TypeGroup:
		if g := named(s, &groupKind, acct, name); g != nil {
			return &g.Grants, nil
		}
	case TypeRole:
		if r := named(s, &roleKind, acct, name); r != nil {
			return &r.Grants, nil
		}
	}
	return nil, missing(string(typ), name)
}

// Inline returns an inline policy of an identity. Errors: NoSuchEntity.
func (d *Directory) Inline(acct string, typ Type, name, policyName string) (*Inline, error) {
	g, err := d.Grants(acct, typ, name)
	if err != nil {
		return nil, err
	}
	in := g.InlineNamed(policyName)
	if in == nil {
		return nil, noInline(typ, policyName)
	}
	return in, nil
}

// checkBoundary checks the ARN of a permissions boundary; "" is none.
func (d *Directory) checkBoundary(s *state, acct, policyARN string) error {
	if policyARN != "" && d.policyIn(s, acct, policyARN) == nil {
		return apiError(codeNoSuchEntity, "Scope ARN: %s does not exist or is not attachable.", policyARN)
	}
	return nil
}

// SetBoundary makes a managed policy the permissions boundary of a user or role;
// "" takes the boundary away.
//
// Errors: NoSuchEntity; UnmodifiableEntity for a service-linked role.
func (d *Directory) SetBoundary(ctx context.Context, acct string, typ Type, name, policyARN string) error {
	return d.change(ctx, func(t *tx) error {
		if err := d.checkBoundary(t.state, acct, policyARN); err != nil {
			return err
		}
		if typ == TypeUser {
			return edit(t, &userKind, acct, name, func(u *User) error {
				if u.Boundary == "" && policyARN == "" {
					return noBoundary(typ, name)
				}
				u.Boundary = policyARN
				return nil
			})
		}
		return edit(t, &roleKind, acct, name, func(r *Role) error {
			switch {
			case r.serviceLinked():
				return unmodifiable(r)
			case r.Boundary == "" && policyARN == "":
				return noBoundary(typ, name)
			}
			r.Boundary = policyARN
			return nil
		})
	})
}

func noBoundary(typ Type, name string) error {
	return apiError(codeNoSuchEntity, "The %s %s has no permissions boundary.", typ, name)
}
