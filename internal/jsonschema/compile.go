package jsonschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// errEmpty says that no value fits, or none that is within the bounds.
var errEmpty = errors.New("no value fits")

// limits are the bounds of one attempt.
type limits struct{ text, items, recursion int }

// Limits of the work for one schema.
const (
	maxAlternatives = 64        // ways through the anyOf and oneOf of one value
	maxEffort       = 2_000_000 // steps of all attempts; about a second
	// maxTotal is the steps of all schemas of one grammar. When they are used up,
	// each gets leastEffort, which is enough for simple ones.
	maxTotal    = 2 * maxEffort
	leastEffort = 5_000
)

// The cost of some work in steps.
const (
	costValue   = 50
	costCheck   = 20
	costCompare = 20
	costState   = 40
)

// attempts returns the bounds to try one after the other.
func (o Options) attempts() []limits {
	or := func(n, standard int) int {
		if n <= 0 {
			return standard
		}
		return n
	}
	text, items, deep := or(o.String, 64), or(o.Items, 4), or(o.Recursion, 4)
	list := []limits{{text, items, deep}}
	for _, f := range []struct{ text, items, deep int }{{48, 3, 3}, {32, 3, 2}, {24, 2, 2}, {16, 2, 1}, {16, 1, 1}, {8, 1, 1}} {
		list = append(list, limits{max(1, text*f.text/64), max(1, items*f.items/4), min(deep, f.deep)})
	}
	return list
}

// Grammar adds rules for the values of the schema to g and returns the name of
// the rule for a whole value; names start with prefix. Every text that the rule
// admits is compact JSON that fits the schema, and it is bounded: see [Options].
// Not every value that fits is admitted. Members come in the order of the
// schema, members that it does not name only where it names none or wants more,
// and of a format's and pattern's texts the usual ones.
//
// The error is an *Error: it names what cannot be guaranteed, such as not, or
// says that no value fits at all. g is then as it was.
func (s *Schema) Grammar(g *Grammar, prefix string) (rule string, err error) {
	longest := g.Options.Length
	if longest <= 0 {
		longest = 800
	}
	var best *writer
	var found fragment
	var first error
	begin := min(max(0, g.effort+maxEffort-maxTotal), maxEffort-leastEffort) // as if that much had been done
	effort := begin
	defer func() { g.effort += effort - begin }()
	products := map[string]*product{}
	for _, l := range g.Options.attempts() {
		c := &compiler{
			writer: newWriter(g, prefix), check: s.check, limits: l, products: products, effort: &effort,
			done: map[string]result{}, strings: map[string]result{}, path: map[*node]int{},
		}
		f, err := c.values([]*node{s.root})
		if effort > maxEffort {
			err = errTooLarge // what was asked for in vain may have been wanted
		}
		if err != nil {
			if first == nil {
				first = err
			}
			if !errors.Is(err, errTooLarge) || effort > maxEffort {
				break
			}
			continue
		}
		best, found = c.writer, f
		if f.max <= longest {
			break
		}
	}
	if best == nil {
		if bad, ok := errors.AsType[*Error](first); ok {
			return "", bad
		}
		if errors.Is(first, errEmpty) {
			return "", &Error{Reason: "no value fits, or none within the bounds of the grammar"}
		}
		return "", &Error{Reason: "is too large to be guaranteed"}
	}
	best.commit()
	return g.Rule(prefix, found.expr), nil
}

var errTooLarge = errors.New("too many rules")

// compiler makes the rules of one schema in one attempt.
type compiler struct {
	*writer
	check    *checker
	limits   limits
	products map[string]*product
	done     map[string]result
	strings  map[string]result
	path     map[*node]int // how often looping nodes stand around the present one
	effort   *int          // steps of all attempts so far
}

// spend reports whether there is effort left for so much more.
func (c *compiler) spend(steps int) bool {
	*c.effort += steps
	return *c.effort <= maxEffort
}

type result struct {
	f   fragment
	err error
}

// alternative is one way to fit a conjunction of schemas: what all of atoms say
// by themselves, their applicators being resolved.
type alternative struct {
	whole  []*node // the conjunction as it was given
	atoms  []*node
	types  types
	nots   []*node
	avoid  []string        // strings that must not be
	forbid map[string]bool // members that must not be
	loops  []*node         // looping nodes passed on the way
}

// values returns a fragment for the values that fit all of the nodes. Without
// nodes these are any simple values.
func (c *compiler) values(nodes []*node) (fragment, error) {
	key := c.key(nodes)
	if r, ok := c.done[key]; ok {
		return r.f, r.err
	}
	var r result
	var list []fragment
	r.err = c.each(nodes, func(a *alternative) error {
		parts, err := c.alternative(a)
		if err == nil {
			list = append(list, parts...)
		}
		return err
	})
	if r.err == nil && len(list) == 0 {
		r.err = errEmpty
	}
	if r.err == nil {
		r.f = c.union(list)
	}
	c.done[key] = r
	return r.f, r.err
}

// each calls f for the alternatives of a conjunction; one without values is
// passed over.
func (c *compiler) each(nodes []*node, f func(*alternative) error) error {
	if !c.spend(costValue) || c.full() {
		return errTooLarge
	}
	ways, err := c.expand(&alternative{whole: nodes, types: allTypes}, nodes)
	if err != nil {
		return err
	}
	for _, a := range ways {
		for _, n := range a.loops {
			c.path[n]++
		}
		err := f(a)
		for _, n := range a.loops {
			c.path[n]--
		}
		if err != nil && !errors.Is(err, errEmpty) {
			return err
		}
	}
	return nil
}

// key names a conjunction at a place of the recursion.
func (c *compiler) key(nodes []*node) string {
	ids := make([]int, 0, len(nodes))
	for _, n := range nodes {
		ids = append(ids, n.id)
	}
	slices.Sort(ids)
	var deep []string
	for n, times := range c.path {
		if times > 0 {
			deep = append(deep, fmt.Sprint(n.id, "x", times))
		}
	}
	slices.Sort(deep)
	return fmt.Sprint(slices.Compact(ids), strings.Join(deep, " "))
}

// expand adds nodes to an alternative and divides it where they leave a choice.
func (c *compiler) expand(a *alternative, nodes []*node) ([]*alternative, error) {
	for len(nodes) > 0 {
		n := nodes[0]
		nodes = nodes[1:]
		if n.boolean != nil {
			if !*n.boolean {
				return nil, nil
			}
			continue
		}
		if slices.Contains(a.atoms, n) {
			continue
		}
		if n.loops {
			if c.path[n] >= c.limits.recursion {
				return nil, nil
			}
			a.loops = append(a.loops, n)
		}
		a.atoms = append(a.atoms, n)
		if n.types != 0 {
			a.types = a.types.and(n.types)
		}
		if n.not != nil {
			a.nots = append(a.nots, n.not)
		}
		if n.ref != nil {
			nodes = append([]*node{n.ref}, nodes...)
		}
		nodes = append(slices.Clone(n.allOf), nodes...)
		if len(n.anyOf)+len(n.oneOf) > 0 {
			return c.divide(a, n, nodes)
		}
	}
	return []*alternative{a}, nil
}

// divide follows the branches of n.
func (c *compiler) divide(a *alternative, n *node, nodes []*node) ([]*alternative, error) {
	if len(n.anyOf) > 0 && len(n.oneOf) > 0 {
		var all []*alternative
		for _, b := range n.anyOf {
			left, err := c.branches(a, n, append([]*node{b}, nodes...), n.oneOf, true)
			if err != nil {
				return nil, err
			}
			all = append(all, left...)
		}
		return all, nil
	}
	if len(n.oneOf) > 0 {
		return c.branches(a, n, nodes, n.oneOf, true)
	}
	return c.branches(a, n, nodes, n.anyOf, false)
}

func (c *compiler) branches(a *alternative, n *node, nodes, branches []*node, one bool) ([]*alternative, error) {
	var all []*alternative
	for i, b := range branches {
		way := a.clone()
		if one {
			if err := c.exclude(way, n, i); err != nil {
				return nil, err
			}
		}
		more, err := c.expand(way, append([]*node{b}, nodes...))
		if err != nil {
			return nil, err
		}
		if all = append(all, more...); len(all) > maxAlternatives {
			return nil, &Error{Pointer: n.pointer, Keyword: "anyOf", Reason: fmt.Sprintf("and oneOf have more than %d combinations", maxAlternatives)}
		}
	}
	return all, nil
}

func (a *alternative) clone() *alternative {
	b := *a
	b.atoms, b.nots, b.loops = slices.Clone(a.atoms), slices.Clone(a.nots), slices.Clone(a.loops)
	b.avoid = slices.Clone(a.avoid)
	b.forbid = map[string]bool{}
	for name := range a.forbid {
		b.forbid[name] = true
	}
	return &b
}

// and returns the types that both sets allow.
func (t types) and(u types) types {
	both := t & u
	if t&tNumber != 0 && u&tInteger != 0 || t&tInteger != 0 && u&tNumber != 0 {
		both |= tInteger
	}
	return both
}

// has reports whether values of a type, which typeOf gave, are allowed.
func (t types) has(one types) bool {
	return t&one != 0 || one == tInteger && t&tNumber != 0
}

// values returns the candidates of a finite alternative.
func (a *alternative) values() ([]any, bool) {
	var best []any
	finite := false
	for _, n := range a.atoms {
		if n.finite && (!finite || len(n.values) < len(best)) {
			best, finite = n.values, true
		}
	}
	return best, finite
}

// fitting returns those of the values that fit the whole conjunction. When the
// effort is spent it finds no more.
func (c *compiler) fitting(a *alternative, values []any) []any {
	var fit []any
	simple := a.simple()
	for _, v := range values {
		ok := true
		for _, n := range a.whole {
			ok = ok && (simple && a.types.has(typeOf(v)) || !simple && c.fits(n, v))
		}
		if ok {
			fit = append(fit, v)
		}
	}
	return fit
}

// fits reports whether a value fits a node; false when the effort is spent.
func (c *compiler) fits(n *node, v any) bool {
	return c.spend(costCheck+len(n.values)) && c.check.validate(n, v) == nil
}

// simple reports whether an alternative says nothing of its values but one list
// and types, so that the list is known to fit as far as the types do.
func (a *alternative) simple() bool {
	lists := 0
	for _, n := range a.atoms {
		for _, k := range n.keywords {
			switch k {
			case "enum", "const":
				lists++
			case "type", "$ref":
			default:
				return false
			}
		}
	}
	return lists == 1
}

// typeOf returns the type of a value of read.
func typeOf(v any) types {
	switch v := v.(type) {
	case nil:
		return tNull
	case bool:
		return tBoolean
	case json.Number:
		if r, ok := new(big.Rat).SetString(string(v)); ok && r.IsInt() {
			return tInteger
		}
		return tNumber
	case string:
		return tString
	case []any:
		return tArray
	default:
		return tObject
	}
}

// alternative returns fragments for the values of one alternative.
func (c *compiler) alternative(a *alternative) ([]fragment, error) {
	if values, finite := a.values(); finite {
		f, err := c.list(c.fitting(a, values))
		return []fragment{f}, err
	}
	if len(a.atoms) == 0 {
		if len(a.whole) == 0 {
			return []fragment{c.simple()}, nil
		}
		return c.anything()
	}
	kinds, err := c.kinds(a)
	if err != nil {
		return nil, err
	}
	var list []fragment
	for _, kind := range kinds {
		f, err := c.kind(a, kind)
		if errors.Is(err, errEmpty) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		return nil, errEmpty
	}
	return list, nil
}

// kinds returns the types of value that an alternative shall have. A schema that
// names no type but has keywords of one means that one.
func (c *compiler) kinds(a *alternative) ([]types, error) {
	if err := c.applyNots(a); err != nil {
		return nil, err
	}
	allowed := a.types
	if allowed == allTypes {
		var meant types
		for _, n := range a.atoms {
			for _, k := range n.keywords {
				if t := about(k); t != allTypes {
					meant |= t
				}
			}
		}
		if meant != 0 {
			allowed = meant
		}
	}
	var kinds []types
	for _, t := range []types{tObject, tArray, tString, tNumber, tInteger, tBoolean, tNull} {
		if allowed&t != 0 {
			kinds = append(kinds, t)
		}
	}
	return kinds, nil
}

// kind returns a fragment for the values of one type.
func (c *compiler) kind(a *alternative, kind types) (fragment, error) {
	switch kind {
	case tObject:
		return c.object(a)
	case tArray:
		return c.array(a)
	case tString:
		s, err := a.stringOf()
		if err != nil {
			return fragment{}, err
		}
		return c.string(s)
	case tNumber, tInteger:
		g, err := c.number(a.numberOf(kind == tInteger))
		if err != nil {
			return fragment{}, err
		}
		f, ok := c.graph(g, 0)
		if !ok {
			return f, errEmpty
		}
		return f, nil
	case tBoolean:
		return c.list(c.fitting(a, []any{true, false}))
	default:
		return c.list(c.fitting(a, []any{nil}))
	}
}

// list returns a fragment for one of several values.
func (c *compiler) list(values []any) (fragment, error) {
	if len(values) == 0 {
		return fragment{}, errEmpty
	}
	seen := map[string]bool{}
	var texts []string
	for _, v := range values {
		if text := compact(v); !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	return c.oneOf(texts), nil
}

// stringOf collects what an alternative says of strings.
func (a *alternative) stringOf() (stringOf, error) {
	s := stringOf{least: -1, most: -1, pointer: a.atoms[0].pointer}
	for _, n := range a.atoms {
		s.least = max(s.least, n.minLength)
		if n.maxLength >= 0 && (s.most < 0 || n.maxLength < s.most) {
			s.most = n.maxLength
		}
		if n.pattern != nil && !slices.Contains(s.patterns, n.pattern) {
			s.patterns = append(s.patterns, n.pattern)
			s.pointer = n.pointer
		}
		if n.format != "" {
			s.format = n.format
		}
	}
	if len(a.avoid) > 0 {
		l, err := noneOf(a.avoid)
		if err != nil {
			return s, &Error{Pointer: s.pointer, Reason: "has too many strings to be kept out"}
		}
		s.languages = append(s.languages, l)
	}
	return s, nil
}

// numberOf collects what an alternative says of numbers.
func (a *alternative) numberOf(integer bool) numberOf {
	s := numberOf{integer: integer, pointer: a.atoms[0].pointer, keyword: "minimum"}
	larger := func(to **big.Rat, r *big.Rat, sign int) {
		if r != nil && (*to == nil || r.Cmp(*to) == sign) {
			*to = r
		}
	}
	for _, n := range a.atoms {
		larger(&s.least, n.minimum, 1)
		larger(&s.above, n.above, 1)
		larger(&s.most, n.maximum, -1)
		larger(&s.below, n.below, -1)
		if m := n.multipleOf; m != nil {
			if s.multipleOf != nil {
				m = commonMultiple(m, s.multipleOf)
			}
			s.multipleOf = m
		}
	}
	return s
}
