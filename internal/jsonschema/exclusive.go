package jsonschema

import "slices"

// exclude makes sure that values of branch i of n's oneOf fit no other branch:
// either the two have nothing in common, or a member or string that makes the
// difference is kept out.
func (c *compiler) exclude(a *alternative, n *node, i int) error {
	mine := c.outline(n.oneOf[i], 0)
	if mine.finite {
		return nil // each value is held against the whole
	}
	for j, other := range n.oneOf {
		if j == i || c.disjoint(n.oneOf[i], other, 0) || c.keepOut(a, other, mine) {
			continue
		}
		return &Error{Pointer: n.pointer, Keyword: "oneOf", Reason: "has branches that are not provably exclusive: give each a required property with a const of its own, or use anyOf"}
	}
	return nil
}

// keepOut narrows an alternative so that its values do not fit other.
func (c *compiler) keepOut(a *alternative, other *node, mine outline) bool {
	theirs := c.outline(other, 0)
	if theirs.finite {
		for _, v := range theirs.values {
			s, ok := v.(string)
			if !ok {
				return false
			}
			a.avoid = append(a.avoid, s)
		}
		return true
	}
	for _, name := range theirs.required {
		if slices.Contains(mine.required, name) {
			continue
		}
		if a.types = a.types.and(tObject); a.forbid == nil {
			a.forbid = map[string]bool{}
		}
		a.forbid[name] = true
		return true
	}
	return false
}

// applyNots narrows an alternative by its not keywords, as far as these are
// simple.
func (c *compiler) applyNots(a *alternative) error {
	for _, n := range a.nots {
		if n.boolean != nil && !*n.boolean {
			continue
		}
		if n.boolean == nil && len(n.keywords) == 1 {
			switch {
			case n.types != 0 && (n.types&tInteger == 0 || a.types&tNumber == 0):
				a.types &^= n.types
				if n.types&tNumber != 0 {
					a.types &^= tInteger
				}
				continue
			case len(n.required) == 1:
				if a.types == tObject && c.keepOut(a, n, outline{}) {
					continue
				}
			case n.finite && a.types == tString && c.keepOut(a, n, outline{}):
				continue
			}
		}
		return &Error{Pointer: n.pointer, Keyword: "not", Reason: "cannot be guaranteed"}
	}
	return nil
}

// outline is what can be told of a schema without following its choices.
type outline struct {
	atoms    []*node
	never    bool
	types    types
	finite   bool
	values   []any
	required []string
}

// maxOutline is how deep outlines and comparisons look.
const maxOutline = 4

func (c *compiler) outline(n *node, depth int) outline {
	o := outline{types: allTypes}
	var add func(n *node, depth int)
	add = func(n *node, depth int) {
		if n.boolean != nil {
			o.never = o.never || !*n.boolean
			return
		}
		if depth > maxOutline || slices.Contains(o.atoms, n) {
			return
		}
		o.atoms = append(o.atoms, n)
		if n.types != 0 {
			o.types = o.types.and(n.types)
		}
		if n.finite && (!o.finite || len(n.values) < len(o.values)) {
			o.finite, o.values = true, n.values
		}
		o.required = append(o.required, n.required...)
		if n.ref != nil {
			add(n.ref, depth+1)
		}
		for _, m := range n.allOf {
			add(m, depth+1)
		}
	}
	add(n, depth)
	if o.finite {
		var fit []any
		for _, v := range o.values {
			if c.fits(n, v) {
				fit = append(fit, v)
			}
		}
		o.values = fit
	}
	return o
}

// disjoint reports whether no value fits both. It errs towards false.
func (c *compiler) disjoint(a, b *node, depth int) bool {
	x, y := c.outline(a, 0), c.outline(b, 0)
	if x.never || y.never || x.types.and(y.types) == 0 {
		return true
	}
	if x.finite || y.finite {
		if !x.finite {
			x, b = y, a
		}
		return c.spend(costCompare) && !slices.ContainsFunc(x.values, func(v any) bool { return c.fits(b, v) })
	}
	if depth > maxOutline || !c.spend(costCompare) {
		return false
	}
	for _, n := range x.atoms {
		for _, list := range [][]*node{n.anyOf, n.oneOf} {
			if len(list) > 0 && !slices.ContainsFunc(list, func(m *node) bool { return !c.disjoint(m, b, depth+1) }) {
				return true
			}
		}
	}
	if x.types != tObject && y.types != tObject {
		return false
	}
	// Every value that fits both is an object.
	return c.memberDiffers(x, y, depth) || c.memberDiffers(y, x, depth)
}

// memberDiffers reports whether a member that x requires cannot be as y wants
// it.
func (c *compiler) memberDiffers(x, y outline, depth int) bool {
	one, two := alternative{atoms: x.atoms}, alternative{atoms: y.atoms}
	for _, name := range x.required {
		for _, n := range two.member(name) {
			if n.boolean != nil && !*n.boolean {
				return true
			}
			if slices.ContainsFunc(one.member(name), func(m *node) bool { return c.disjoint(m, n, depth+1) }) {
				return true
			}
		}
	}
	return false
}
