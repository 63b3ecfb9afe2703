package jsonschema

import "strings"

// graph is a finite automaton without cycles. Two edges of a state may begin
// with the same character.
type graph struct {
	states []state
	quoted bool // its text stands in a JSON string
}

type state struct {
	accept bool
	edges  []edge
}

type edge struct {
	set runes
	to  int
}

// add appends a state and returns its number.
func (g *graph) add(accept bool) int {
	g.states = append(g.states, state{accept: accept})
	return len(g.states) - 1
}

// join adds an edge, into an existing one to the same state where there is one.
func (g *graph) join(from int, set runes, to int) {
	edges := g.states[from].edges
	for i := range edges {
		if edges[i].to == to {
			edges[i].set = edges[i].set.with(set)
			return
		}
	}
	g.states[from].edges = append(edges, edge{set, to})
}

// live tells of each state whether an accepting one can be reached.
func (g *graph) live() []bool {
	live, seen := make([]bool, len(g.states)), make([]bool, len(g.states))
	var walk func(s int) bool
	walk = func(s int) bool {
		if !seen[s] {
			seen[s] = true
			ok := g.states[s].accept
			for _, e := range g.states[s].edges {
				ok = walk(e.to) || ok
			}
			live[s] = ok
		}
		return live[s]
	}
	for s := range g.states {
		walk(s)
	}
	return live
}

// drawing writes the states of one graph as rules.
type drawing struct {
	*writer
	g    *graph
	live []bool
	done map[int]fragment
}

// inline is the length up to which a state with one way on is written where it
// is used.
const inline = 160

// graph returns a fragment for the texts that g accepts from a state; false when
// there are none. The fragment of the empty text alone has no expression.
func (w *writer) graph(g *graph, start int) (fragment, bool) {
	d := drawing{writer: w, g: g, live: g.live(), done: map[int]fragment{}}
	if !d.live[start] {
		return fragment{}, false
	}
	return d.state(start), true
}

func (d *drawing) state(s int) fragment {
	if f, ok := d.done[s]; ok {
		return f
	}
	var parts []string
	longest := 0
	for _, e := range d.g.states[s].edges {
		if !d.live[e.to] {
			continue
		}
		c, next := d.char(e.set, d.g.quoted), d.state(e.to)
		parts = append(parts, strings.TrimSuffix(c.expr+" "+next.expr, " "))
		longest = max(longest, c.max+next.max)
	}
	f := fragment{max: longest}
	switch {
	case len(parts) == 0:
	case len(parts) == 1 && !d.g.states[s].accept && len(parts[0]) <= inline:
		f.expr = parts[0]
	default:
		if d.g.states[s].accept {
			parts = append(parts, `""`)
		}
		f.expr = d.rule(strings.Join(parts, " | "))
	}
	d.done[s] = f
	return f
}

// groups are sets of first characters, for texts that must differ.
var groups = []runes{
	{'0', '0'}, {'1', '1'}, {'2', '2'}, {'3', '3'}, {'4', '4'}, {'5', '5'}, {'6', '6'}, {'7', '7'}, {'8', '8'}, {'9', '9'},
	{'A', 'C', 'a', 'c'}, {'D', 'F', 'd', 'f'}, {'G', 'I', 'g', 'i'}, {'J', 'L', 'j', 'l'},
	{'M', 'P', 'm', 'p'}, {'Q', 'S', 'q', 's'}, {'T', 'V', 't', 'v'}, {'W', 'Z', 'w', 'z'},
	{0, '/', ':', '@', '[', '`', '{', 0x10ffff},
}

// split returns graphs that accept parts of what g accepts, no two of them the
// same text: they differ in the first character where g leaves a choice.
func (g *graph) split(start int) []*graph {
	live := g.live()
	at := start
	for {
		way, n := edge{}, 0
		for _, e := range g.states[at].edges {
			if live[e.to] {
				way, n = e, n+1
			}
		}
		if _, one := way.set.single(); n != 1 || !one || g.states[at].accept {
			break
		}
		at = way.to
	}
	var parts []*graph
	for i := range len(groups) + 1 {
		p := &graph{states: append([]state(nil), g.states...), quoted: g.quoted}
		s := state{accept: i == len(groups) && g.states[at].accept}
		for _, e := range g.states[at].edges {
			if i == len(groups) || !live[e.to] {
				continue
			}
			if set := e.set.and(groups[i]); !set.empty() && (!g.quoted || !set.and(legible).empty()) {
				s.edges = append(s.edges, edge{set, e.to})
			}
		}
		p.states[at] = s
		if s.accept || len(s.edges) > 0 {
			parts = append(parts, p)
		}
	}
	return parts
}
