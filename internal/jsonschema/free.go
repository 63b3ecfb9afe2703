package jsonschema

import (
	"encoding/json"
	"math/big"
	"strings"
	"unicode/utf8"
)

// simple returns a fragment for any string, number, boolean or null.
func (c *compiler) simple() fragment {
	list := []fragment{c.openString(), c.openNumber(), literal("true"), literal("false"), literal("null")}
	return c.union(list)
}

func (c *compiler) openString() fragment {
	f, err := c.string(stringOf{least: -1, most: -1})
	if err != nil {
		return literal(`""`)
	}
	return f
}

func (c *compiler) openNumber() fragment {
	g, err := c.number(numberOf{})
	if err != nil {
		return literal("0")
	}
	f, _ := c.graph(g, 0)
	return f
}

// anything returns fragments for any value: a simple one, or an array or object
// of simple ones.
func (c *compiler) anything() ([]fragment, error) {
	simple := c.simple()
	items := make([]fragment, min(3, c.limits.items))
	for i := range items {
		items[i] = simple
	}
	keys, err := c.freeKeys(keyRules{}, 0)
	if err != nil {
		return nil, err
	}
	var slots []slot
	for _, k := range keys {
		slots = append(slots, slot{key: k, value: simple})
	}
	object, err := c.members(slots, 0, len(slots))
	if err != nil {
		return nil, err
	}
	return []fragment{object, c.sequence(items, 0), simple}, nil
}

// oneOf returns a fragment for one of several texts. Beginnings that texts share
// are written once, so that an engine has few ways to follow at a time.
func (c *compiler) oneOf(texts []string) fragment {
	longest := 0
	for _, s := range texts {
		longest = max(longest, utf8.RuneCountInString(s))
	}
	return fragment{c.prefixes(texts), longest}
}

func (c *compiler) prefixes(texts []string) string {
	if len(texts) == 1 {
		return Literal(texts[0])
	}
	if len(texts) <= 12 {
		parts := make([]string, len(texts))
		for i, s := range texts {
			parts[i] = Literal(s)
		}
		return c.rule(strings.Join(parts, " | "))
	}
	var order []rune
	by := map[rune][]string{}
	end := false
	for _, s := range texts {
		if s == "" {
			end = true
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		if by[r] == nil {
			order = append(order, r)
		}
		by[r] = append(by[r], s[size:])
	}
	var parts []string
	for _, r := range order {
		if tails := by[r]; len(tails) == 1 {
			parts = append(parts, Literal(string(r)+tails[0]))
		} else {
			parts = append(parts, Literal(string(r))+" "+c.prefixes(tails))
		}
	}
	if end {
		parts = append(parts, `""`)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return c.rule(strings.Join(parts, " | "))
}

// same reports whether two values of read are equal: numbers by value, objects
// without regard to order.
func same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		n, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, ok1 := new(big.Rat).SetString(string(a))
		y, ok2 := new(big.Rat).SetString(string(n))
		return ok1 && ok2 && x.Cmp(y) == 0
	case []any:
		l, ok := b.([]any)
		if !ok || len(l) != len(a) {
			return false
		}
		for i := range a {
			if !same(a[i], l[i]) {
				return false
			}
		}
		return true
	case *object:
		o, ok := b.(*object)
		if !ok || len(o.keys) != len(a.keys) {
			return false
		}
		for k, v := range a.vals {
			w, there := o.vals[k]
			if !there || !same(v, w) {
				return false
			}
		}
		return true
	default:
		return a == b
	}
}
