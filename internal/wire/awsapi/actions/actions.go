// Package actions tables the IAM actions of the APIs that Outcrop serves: what
// each is good for, which resources it is checked on, and which condition keys
// a policy may test. Policies are checked and analysed by it; a decision about a
// call does not need it.
//
// The tables are those of the AWS Service Authorization Reference. They hold
// actions without an operation too, such as iam:PassRole, and are read-only.
package actions

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// Global is the prefix whose Keys all services share; it has no actions.
const Global = "aws"

// Prefix is a family of actions, named by what stands before the colon.
type Prefix struct {
	Name      string     // e.g. "bedrock"
	Actions   []Action   // in the order of their names
	Resources []Resource // in the order of their names
	Keys      []Key      // in the order of their names
}

// Action is one IAM action.
type Action struct {
	Name      string // without the prefix, e.g. "InvokeModel"
	Access    awsapi.Access
	Resources []string // resource types, by Resource.Name; none means that only "*" fits
	Keys      []string // condition keys of the request, by Key.Name, beside the global ones
}

// Resource is a type of resource.
type Resource struct {
	Name string   // e.g. "foundation-model"
	ARN  string   // with variables: "arn:${Partition}:bedrock:${Region}::foundation-model/${ResourceId}"
	Keys []string // condition keys of the resource, by Key.Name
}

// Key is a condition key.
type Key struct {
	Name string // a part that varies stands as "${TagKey}"
	Type string // "String", "ARN", "Bool", "Numeric", "Date", "IPAddress", or "ArrayOf" one of these
}

// Prefixes returns all prefixes, Global among them, in the order of their names.
func Prefixes() []*Prefix {
	out := make([]*Prefix, len(prefixes))
	for i := range prefixes {
		out[i] = &prefixes[i]
	}
	return out
}

// Of returns the prefix of that name, without regard to case, or nil.
func Of(name string) *Prefix {
	i := slices.IndexFunc(prefixes[:], func(p Prefix) bool { return strings.EqualFold(p.Name, name) })
	if i < 0 {
		return nil
	}
	return &prefixes[i]
}

// Find returns the action of a full name such as "bedrock:InvokeModel" with its
// prefix, without regard to case as in policies. Both are nil when there is no
// such action; only the action is when the prefix is known.
func Find(name string) (*Prefix, *Action) {
	prefix, action, _ := strings.Cut(name, ":")
	p := Of(prefix)
	if p == nil {
		return nil, nil
	}
	return p, p.Action(action)
}

// Action returns the action of that name, without the prefix and without regard
// to case, or nil.
func (p *Prefix) Action(name string) *Action {
	i := slices.IndexFunc(p.Actions, func(a Action) bool { return strings.EqualFold(a.Name, name) })
	if i < 0 {
		return nil
	}
	return &p.Actions[i]
}

// Resource returns the resource type of that name, or nil.
func (p *Prefix) Resource(name string) *Resource {
	i := slices.IndexFunc(p.Resources, func(r Resource) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Resources[i]
}

// Key returns the condition key that name is a case of, without regard to case:
// "aws:resourcetag/team" is one of "aws:ResourceTag/${TagKey}". nil means that
// the prefix has no such key.
func (p *Prefix) Key(name string) *Key {
	i := slices.IndexFunc(p.Keys, func(k Key) bool { return k.Is(name) })
	if i < 0 {
		return nil
	}
	return &p.Keys[i]
}

// Is says whether name is k or, where k has a part that varies, a case of it.
// What varies is never empty.
func (k Key) Is(name string) bool {
	pattern := k.Name
	for {
		lit, rest, varies := strings.Cut(pattern, "${")
		if len(name) < len(lit) || !strings.EqualFold(name[:len(lit)], lit) {
			return false
		}
		name = name[len(lit):]
		if !varies {
			return name == ""
		}
		_, pattern, _ = strings.Cut(rest, "}")
		next, _, _ := strings.Cut(pattern, "${")
		at := len(name)
		if next != "" {
			at = strings.Index(strings.ToLower(name), strings.ToLower(next))
		}
		if at < 1 {
			return false
		}
		name = name[at:]
	}
}
