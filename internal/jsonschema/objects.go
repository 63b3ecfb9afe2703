package jsonschema

import (
	"errors"
	"fmt"
	"slices"
)

// slot is a member that an object may have.
type slot struct {
	name     string
	key      fragment // with its quotation marks
	nodes    []*node
	value    fragment
	required bool
}

// maxMembers is the largest number of members that are counted because of
// minProperties or maxProperties.
const maxMembers = 200

func (c *compiler) object(a *alternative) (fragment, error) {
	slots, err := c.slots(a)
	if err != nil {
		return fragment{}, err
	}
	return c.finish(a, slots)
}

// finish adds members without a name in the schema where there must or may be
// such, and returns the fragment of the object.
func (c *compiler) finish(a *alternative, slots []slot) (fragment, error) {
	least, most := a.memberCount()
	if most >= 0 && most < least {
		return fragment{}, errEmpty
	}
	// An object whose members are listed gets no others, though it may have some:
	// weights would make names up, and a tool without parameters got arguments.
	if len(slots) == 0 && most != 0 && !a.closed() || len(slots) < least {
		more, err := c.moreMembers(a, max(least-len(slots), 0))
		if err != nil {
			return fragment{}, err
		}
		slots = append(slots, more...)
	}
	if least > maxMembers {
		return fragment{}, &Error{Pointer: a.atoms[0].pointer, Keyword: "minProperties", Reason: fmt.Sprintf("above %d is not supported", maxMembers)}
	}
	if most < 0 {
		most = len(slots)
	}
	return c.members(slots, least, min(most, len(slots)))
}

// closed reports whether the members are listed and nothing is said of others.
func (a *alternative) closed() bool {
	return slices.ContainsFunc(a.atoms, func(n *node) bool { return n.closed })
}

// memberCount returns minProperties (0 when open) and maxProperties (-1).
func (a *alternative) memberCount() (least, most int) {
	most = -1
	for _, n := range a.atoms {
		least = max(least, n.minProps)
		if n.maxProps >= 0 && (most < 0 || n.maxProps < most) {
			most = n.maxProps
		}
	}
	return max(least, 0), most
}

// slots returns the members that the schema names, in its order.
func (c *compiler) slots(a *alternative) ([]slot, error) {
	required := map[string]bool{}
	var names []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, n := range a.atoms {
		for _, m := range n.properties {
			add(m.name)
		}
		for _, name := range n.required {
			required[name] = true
		}
	}
	for _, n := range a.atoms {
		for _, name := range n.required {
			add(name)
		}
	}
	listed, err := c.listedNames(a)
	if err != nil {
		return nil, err
	}
	for _, name := range listed {
		add(name)
	}
	var slots []slot
	for _, name := range names {
		s := slot{name: name, key: literal(compact(name)), required: required[name]}
		err := errEmpty
		if c.allowed(a, name) {
			s.nodes = a.member(name)
			s.value, err = c.values(s.nodes)
		}
		switch {
		case err == nil:
			slots = append(slots, s)
		case !errors.Is(err, errEmpty) || s.required:
			return nil, err
		}
	}
	return slots, nil
}

// allowed reports whether a member may have that name.
func (c *compiler) allowed(a *alternative, name string) bool {
	if a.forbid[name] {
		return false
	}
	for _, n := range a.atoms {
		if n.names != nil && c.check.validate(n.names, name) != nil {
			return false
		}
	}
	return true
}

// member returns what is said of the member of that name.
func (a *alternative) member(name string) []*node {
	var nodes []*node
	for _, n := range a.atoms {
		found := false
		for _, m := range n.properties {
			if m.name == name {
				nodes, found = append(nodes, m.node), true
			}
		}
		for _, m := range n.patternProperties {
			if m.pattern.MatchString(name) {
				nodes, found = append(nodes, m.node), true
			}
		}
		if !found && n.additional != nil {
			nodes = append(nodes, n.additional)
		}
	}
	return nodes
}

// listedNames returns the names that propertyNames allows where it lists them
// and additional members are described.
func (c *compiler) listedNames(a *alternative) ([]string, error) {
	var nodes []*node
	for _, n := range a.atoms {
		if n.names != nil {
			nodes = append(nodes, n.names)
		}
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	ways, err := c.expand(&alternative{whole: nodes, types: allTypes}, nodes)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, way := range ways {
		values, finite := way.values()
		if !finite {
			continue
		}
		for _, v := range c.fitting(way, values) {
			if name, ok := v.(string); ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// moreMembers returns slots for members that the schema does not name, at least
// that many.
func (c *compiler) moreMembers(a *alternative, least int) ([]slot, error) {
	rules, err := c.keyRules(a)
	if errors.Is(err, errEmpty) {
		return c.noMore(least)
	}
	if err != nil {
		return nil, err
	}
	// First members whose name fits no pattern of patternProperties, then those
	// that fit exactly one.
	var nodes []*node
	var patterns []patternMember
	for _, n := range a.atoms {
		patterns = append(patterns, n.patternProperties...)
		if n.additional != nil {
			nodes = append(nodes, n.additional)
		}
	}
	choices := [][]*node{nodes}
	for _, p := range patterns {
		nodes := []*node{p.node}
		for _, n := range a.atoms {
			has := slices.ContainsFunc(n.patternProperties, func(m patternMember) bool { return m == p })
			if n.additional != nil && !has {
				nodes = append(nodes, n.additional)
			}
		}
		choices = append(choices, nodes)
	}
	for i, nodes := range choices {
		value, err := c.values(nodes)
		if errors.Is(err, errEmpty) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r := rules
		r.languages = slices.Clone(r.languages)
		for j, p := range patterns {
			r.languages = append(r.languages, language{pattern: p.pattern, search: true, negate: j != i-1})
			if j == i-1 {
				r.pattern = p.pattern
			}
		}
		keys, err := c.freeKeys(r, least)
		if err != nil && !errors.Is(err, errEmpty) {
			return nil, err
		}
		if len(keys) == 0 || len(keys) < least {
			continue
		}
		var slots []slot
		for _, k := range keys {
			slots = append(slots, slot{key: k, value: value})
		}
		return slots, nil
	}
	return c.noMore(least)
}

func (c *compiler) noMore(least int) ([]slot, error) {
	if least > 0 {
		return nil, errEmpty
	}
	return nil, nil
}

// keyRules is what names that the schema does not list must be.
type keyRules struct {
	stringOf
	pattern *pattern // the name is a match of it; nil for a plain name
}

func (c *compiler) keyRules(a *alternative) (keyRules, error) {
	r := keyRules{stringOf: stringOf{least: -1, most: -1, pointer: a.atoms[0].pointer}}
	var words []string
	for _, n := range a.atoms {
		for _, m := range n.properties {
			words = append(words, m.name)
		}
		words = append(words, n.required...)
		if n.names == nil {
			continue
		}
		ways, err := c.expand(&alternative{whole: []*node{n.names}, types: allTypes}, []*node{n.names})
		if err != nil {
			return r, err
		}
		if len(ways) == 0 {
			return r, errEmpty
		}
		way := ways[0]
		if _, finite := way.values(); finite || way.types&tString == 0 {
			return r, errEmpty // the listed names have their slots already
		}
		if len(ways) > 1 || len(way.nots) > 0 {
			return r, &Error{Pointer: n.pointer, Keyword: "propertyNames", Reason: "cannot be guaranteed"}
		}
		if len(way.atoms) == 0 {
			continue
		}
		s, err := way.stringOf()
		if err != nil {
			return r, err
		}
		r.least = max(r.least, s.least)
		if s.most >= 0 && (r.most < 0 || s.most < r.most) {
			r.most = s.most
		}
		for _, p := range s.patterns {
			r.languages = append(r.languages, language{pattern: p, search: true})
		}
	}
	for name := range a.forbid {
		words = append(words, name)
	}
	if len(words) > 0 {
		slices.Sort(words)
		l, err := noneOf(slices.Compact(words))
		if err != nil {
			return r, &Error{Pointer: r.pointer, Reason: "has too many names for free members beside them"}
		}
		r.languages = append(r.languages, l)
	}
	return r, nil
}

// plainNames are the shapes of free names: words first, then anything short.
func plainNames() []string {
	return []string{`[A-Za-z][A-Za-z0-9_]{0,15}`, `[A-Za-z0-9_./:-]{1,32}`, `[!-~]{1,48}`}
}

// freeKeys returns fragments for names, no two of which can be the same: at
// least that many, and about four where there is a choice.
func (c *compiler) freeKeys(r keyRules, least int) ([]fragment, error) {
	shapes := []string{""}
	if r.pattern == nil {
		shapes = plainNames()
	}
	var last error = errEmpty
	for _, shape := range shapes {
		s := r.stringOf
		if r.pattern != nil {
			s.patterns = []*pattern{r.pattern}
		} else {
			p, err := compilePattern(shape)
			if err != nil {
				return nil, errEmpty
			}
			s.languages = append([]language{{pattern: p}}, s.languages...)
		}
		g, err := c.text(s)
		if err != nil {
			last = err
			continue
		}
		parts := g.split(0)
		if len(parts) < least || len(parts) == 0 {
			continue
		}
		var keys []fragment
		for _, group := range c.gather(parts, max(4, least)) {
			keys = append(keys, c.quote(group))
		}
		return keys, nil
	}
	return nil, last
}

// gather joins the parts of a split to at most n fragments.
func (c *compiler) gather(parts []*graph, n int) []fragment {
	n = min(n, len(parts))
	var list []fragment
	for i := range n {
		var group []fragment
		for _, g := range parts[i*len(parts)/n : (i+1)*len(parts)/n] {
			f, ok := c.graph(g, 0)
			if !ok {
				continue
			}
			if f.expr == "" {
				f.expr = `""`
			}
			group = append(group, f)
		}
		if len(group) > 0 {
			list = append(list, c.union(group))
		}
	}
	return list
}

// members returns the fragment of an object with some of the slots, in order.
func (c *compiler) members(slots []slot, least, most int) (fragment, error) {
	required := 0
	for _, s := range slots {
		if s.required {
			required++
		}
	}
	if required > most || least > len(slots) {
		return fragment{}, errEmpty
	}
	// Members are counted only as far as the count matters.
	counted := 1
	if least > required || most < len(slots) {
		counted = max(least, most)
		if most == len(slots) {
			counted = max(least, 1)
		}
	}
	m := memberRules{compiler: c, slots: slots, least: least, most: most, counted: counted, bounded: most < len(slots), done: map[[2]int]*fragment{}}
	f := m.from(0, 0)
	if f == nil {
		return fragment{}, errEmpty
	}
	if f.expr == "" {
		return literal("{}"), nil
	}
	return fragment{c.rule(`"{" ` + f.expr + ` "}"`), f.max + 2}, nil
}

// memberRules writes the rules of one object: from(i, n) is what may come when
// slots before i are done and n members have been written.
type memberRules struct {
	*compiler
	slots                []slot
	least, most, counted int
	bounded              bool
	done                 map[[2]int]*fragment
}

func (m *memberRules) from(i, n int) *fragment {
	n = min(n, m.counted)
	if i == len(m.slots) {
		if n < min(m.least, m.counted) {
			return nil
		}
		return &fragment{}
	}
	at := [2]int{i, n}
	if f, ok := m.done[at]; ok {
		return f
	}
	s := m.slots[i]
	var ways []fragment
	if !m.bounded || n < m.most {
		if next := m.from(i+1, n+1); next != nil {
			f := s.key
			if n > 0 {
				f = fragment{`"," ` + f.expr, f.max + 1}
			}
			f = fragment{f.expr + ` ":" ` + s.value.expr, f.max + 1 + s.value.max}
			ways = append(ways, fragment{trimmed(f.expr, next.expr), f.max + next.max})
		}
	}
	if !s.required {
		if next := m.from(i+1, n); next != nil {
			f := *next
			if f.expr == "" {
				f.expr = `""`
			}
			ways = append(ways, f)
		}
	}
	var f *fragment
	switch len(ways) {
	case 0:
	case 1:
		f = &ways[0]
	default:
		u := m.union(ways)
		f = &u
	}
	m.done[at] = f
	return f
}

// trimmed joins two expressions of a sequence, either of which may be empty.
func trimmed(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + " " + b
}
