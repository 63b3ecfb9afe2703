package jsonschema

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxItems is the largest minItems that the grammar follows.
const maxItems = 500

func (c *compiler) array(a *alternative) (fragment, error) {
	least, most, unique := a.itemCount()
	if most >= 0 && most < least {
		return fragment{}, errEmpty
	}
	first, fixed, pointer := 0, 0, a.atoms[0].pointer // items that must contain something, items with a schema of their own
	var contained []*node
	for _, n := range a.atoms {
		fixed = max(fixed, len(n.prefix))
		if n.contains == nil {
			continue
		}
		times := 1
		if n.minContains >= 0 {
			times = n.minContains
		}
		if times > 0 {
			contained, first = append(contained, n.contains), max(first, times)
		}
		if n.maxContains >= 0 {
			return fragment{}, &Error{Pointer: n.pointer, Keyword: "maxContains", Reason: "cannot be guaranteed"}
		}
	}
	least = max(least, first)
	if least > maxItems {
		return fragment{}, &Error{Pointer: pointer, Keyword: "minItems", Reason: fmt.Sprintf("above %d is not supported", maxItems)}
	}
	top := max(least, fixed, c.limits.items)
	if most >= 0 {
		top = min(top, most)
	}
	if top < least {
		return fragment{}, errEmpty
	}
	if unique && top > 1 {
		if fixed+first > 0 {
			if least > 1 {
				return fragment{}, &Error{Pointer: pointer, Keyword: "uniqueItems", Reason: "cannot be guaranteed together with prefixItems or contains"}
			}
			top = 1
		} else {
			return c.uniqueItems(a, least, top)
		}
	}
	var items []fragment
	for i := range top {
		nodes := a.item(i)
		if i < first {
			nodes = append(nodes, contained...)
		}
		f, err := c.values(nodes)
		if errors.Is(err, errEmpty) {
			break
		}
		if err != nil {
			return fragment{}, err
		}
		items = append(items, f)
	}
	if len(items) < least {
		return fragment{}, errEmpty
	}
	return c.sequence(items, least), nil
}

// itemCount returns minItems (0 when open), maxItems (-1) and uniqueItems.
func (a *alternative) itemCount() (least, most int, unique bool) {
	most = -1
	for _, n := range a.atoms {
		least = max(least, n.minItems)
		if n.maxItems >= 0 && (most < 0 || n.maxItems < most) {
			most = n.maxItems
		}
		unique = unique || n.unique
	}
	return max(least, 0), most, unique
}

// item returns what is said of an item.
func (a *alternative) item(i int) []*node {
	var nodes []*node
	for _, n := range a.atoms {
		switch {
		case i < len(n.prefix):
			nodes = append(nodes, n.prefix[i])
		case n.items != nil:
			nodes = append(nodes, n.items)
		}
	}
	return nodes
}

// sequence returns the fragment of an array with the first items of a list, at
// least that many.
func (c *compiler) sequence(items []fragment, least int) fragment {
	rest := fragment{}
	for i := len(items) - 1; i >= 0; i-- {
		f := items[i]
		if i > 0 {
			f = fragment{`"," ` + f.expr, f.max + 1}
		}
		f = fragment{trimmed(f.expr, rest.expr), f.max + rest.max}
		if i >= least {
			f.expr = c.rule(f.expr + ` | ""`)
		}
		rest = f
	}
	if rest.expr == "" {
		return literal("[]")
	}
	return fragment{c.rule(`"[" ` + rest.expr + ` "]"`), rest.max + 2}
}

// permuted is the number of different items up to which they may come in any
// order; more come in the order of the schema or of the alphabet.
const permuted = 5

// maxDifferent is the number of different items that are told apart.
const maxDifferent = 40

// uniqueItems returns the fragment of an array whose items differ: they come
// from sets that have nothing in common.
func (c *compiler) uniqueItems(a *alternative, least, most int) (fragment, error) {
	sets, err := c.different(a.item(0), 0)
	if err != nil && !errors.Is(err, errEmpty) {
		return fragment{}, err
	}
	sets = sets[:min(len(sets), maxDifferent)]
	if len(sets) < least {
		return fragment{}, &Error{Pointer: a.atoms[0].pointer, Keyword: "uniqueItems", Reason: fmt.Sprintf("cannot be guaranteed for %d items", least)}
	}
	most = min(most, len(sets))
	u := uniqueRules{compiler: c, sets: sets, least: least, most: most, done: map[[2]int]*fragment{}}
	f := u.from(0, 0)
	if f == nil {
		return fragment{}, errEmpty
	}
	if f.expr == "" {
		return literal("[]"), nil
	}
	return fragment{c.rule(`"[" ` + f.expr + ` "]"`), f.max + 2}, nil
}

// uniqueRules writes the rules of one array of different items. used is the set
// of those that are taken, as bits, or the number of the first that is free.
type uniqueRules struct {
	*compiler
	sets        []fragment
	least, most int
	done        map[[2]int]*fragment
}

func (u *uniqueRules) from(i, used int) *fragment {
	at := [2]int{i, used}
	if f, ok := u.done[at]; ok {
		return f
	}
	var parts []string
	longest := 0
	any := len(u.sets) <= permuted
	for s := range u.sets {
		next := s + 1
		if any {
			next = used | 1<<s
			if used&(1<<s) != 0 {
				continue
			}
		} else if s < used {
			continue
		}
		if i == u.most {
			break
		}
		rest := u.from(i+1, next)
		if rest == nil {
			continue
		}
		f := u.sets[s]
		if i > 0 {
			f = fragment{`"," ` + f.expr, f.max + 1}
		}
		parts = append(parts, trimmed(f.expr, rest.expr))
		longest = max(longest, f.max+rest.max)
	}
	var f *fragment
	switch {
	case len(parts) == 0 && i < u.least:
	case len(parts) == 0:
		f = &fragment{}
	default:
		if i >= u.least {
			parts = append(parts, `""`)
		}
		f = &fragment{u.rule(strings.Join(parts, " | ")), longest}
	}
	u.done[at] = f
	return f
}

// different divides the values of a conjunction into sets that have nothing in
// common.
func (c *compiler) different(nodes []*node, depth int) ([]fragment, error) {
	var sets []fragment
	var seen types
	err := c.each(nodes, func(a *alternative) error {
		if values, finite := a.values(); finite {
			if seen != 0 {
				return nil // it may repeat what another way has
			}
			seen = allTypes
			var taken []any
			for _, v := range c.fitting(a, values) {
				if len(taken) < maxDifferent && !slices.ContainsFunc(taken, func(w any) bool { return same(v, w) }) {
					taken = append(taken, v)
					sets = append(sets, literal(compact(v)))
				}
			}
			return nil
		}
		kinds, err := c.kinds(a)
		if err != nil {
			return err
		}
		for _, kind := range kinds {
			if seen.and(kind) != 0 {
				continue
			}
			seen |= kind
			more, err := c.differentKind(a, kind, depth)
			if errors.Is(err, errEmpty) {
				continue
			}
			if err != nil {
				return err
			}
			sets = append(sets, more...)
		}
		return nil
	})
	return sets, err
}

func (c *compiler) differentKind(a *alternative, kind types, depth int) ([]fragment, error) {
	if len(a.atoms) == 0 {
		a = &alternative{whole: a.whole, atoms: []*node{newNode("")}, types: kind}
	}
	switch kind {
	case tString:
		s, err := a.stringOf()
		if err != nil {
			return nil, err
		}
		g, err := c.text(s)
		if err != nil {
			return nil, err
		}
		var sets []fragment
		for _, part := range g.split(0) {
			if f, ok := c.graph(part, 0); ok {
				sets = append(sets, c.quote(f))
			}
		}
		return sets, nil
	case tNumber, tInteger:
		g, err := c.number(a.numberOf(kind == tInteger))
		if err != nil {
			return nil, err
		}
		return c.gather(g.split(0), maxDifferent), nil
	case tBoolean, tNull:
		candidates := []any{true, false}
		if kind == tNull {
			candidates = []any{nil}
		}
		var sets []fragment
		for _, v := range c.fitting(a, candidates) {
			sets = append(sets, literal(compact(v)))
		}
		return sets, nil
	case tObject:
		return c.differentObjects(a, depth)
	default:
		f, err := c.kind(a, kind)
		return []fragment{f}, err
	}
}

// differentObjects divides objects by the first required member that can be
// divided.
func (c *compiler) differentObjects(a *alternative, depth int) ([]fragment, error) {
	slots, err := c.slots(a)
	if err != nil {
		return nil, err
	}
	for i, s := range slots {
		if !s.required || depth > 2 {
			continue
		}
		values, err := c.different(s.nodes, depth+1)
		if err != nil || len(values) < 2 {
			continue
		}
		var sets []fragment
		for _, v := range values {
			with := append([]slot(nil), slots...)
			with[i].value = v
			f, err := c.finish(a, with)
			if err != nil {
				return nil, err
			}
			sets = append(sets, f)
		}
		return sets, nil
	}
	f, err := c.finish(a, slots)
	return []fragment{f}, err
}
