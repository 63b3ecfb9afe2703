package jsonschema

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode"
)

// maxStates is the number of states that the automaton of one string may have,
// before its length is counted.
const maxStates = 2_000

// maxUnrolled is the same when its length is counted.
const maxUnrolled = 20_000

// language is what one pattern says of a whole string.
type language struct {
	pattern *pattern
	search  bool // the string contains a match; otherwise it is one
	negate  bool // the contrary
}

// machine is the deterministic automaton of a language, made as it is used.
type machine struct {
	language
	ids    map[string]int
	states []position
	word   bool // the pattern looks at word boundaries
}

// position is where a machine stands after some text: the instructions that may
// come next, before those that look around have been decided.
type position struct {
	pcs   []uint32
	prev  rune // the character before, or one that stands for it; -1 at the start
	found bool // a search has been successful
}

func newMachine(l language) *machine {
	m := &machine{language: l, ids: map[string]int{}}
	for _, in := range l.pattern.prog.Inst {
		if in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&(syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0 {
			m.word = true
		}
	}
	m.id(position{pcs: []uint32{uint32(l.pattern.prog.Start)}, prev: -1})
	return m
}

func (m *machine) id(p position) int {
	slices.Sort(p.pcs)
	p.pcs = slices.Compact(p.pcs)
	if p.found {
		p.pcs, p.prev = nil, ' '
	}
	key := make([]byte, 0, 4*len(p.pcs)+5)
	for _, pc := range p.pcs {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	key = append(key, byte(p.prev))
	if p.found {
		key = append(key, 1)
	}
	id, ok := m.ids[string(key)]
	if !ok {
		id = len(m.states)
		m.ids[string(key)] = id
		m.states = append(m.states, p)
	}
	return id
}

// closure follows what needs no character, in front of next (-1 at the end).
func (m *machine) closure(p position, next rune) (waiting []uint32, matched bool) {
	flags := syntax.EmptyOpContext(p.prev, next)
	seen := map[uint32]bool{}
	var walk func(pc uint32)
	walk = func(pc uint32) {
		if seen[pc] {
			return
		}
		seen[pc] = true
		in := &m.pattern.prog.Inst[pc]
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			walk(in.Out)
			walk(in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			walk(in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^flags == 0 {
				walk(in.Out)
			}
		case syntax.InstMatch:
			matched = true
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			waiting = append(waiting, pc)
		}
	}
	for _, pc := range p.pcs {
		walk(pc)
	}
	if m.search {
		walk(uint32(m.pattern.prog.Start))
	}
	return waiting, matched
}

func (m *machine) step(s int, r rune) int {
	p := m.states[s]
	if p.found {
		return s
	}
	waiting, matched := m.closure(p, r)
	next := position{prev: ' ', found: m.search && matched}
	if m.word && isWord(r) {
		next.prev = 'a'
	}
	for _, pc := range waiting {
		if in := &m.pattern.prog.Inst[pc]; in.MatchRune(r) {
			next.pcs = append(next.pcs, in.Out)
		}
	}
	return m.id(next)
}

func (m *machine) accepts(s int) bool {
	p := m.states[s]
	matched := p.found
	if !matched {
		_, matched = m.closure(p, -1)
	}
	return matched != m.negate
}

// dead reports that nothing can be accepted any more.
func (m *machine) dead(s int) bool {
	p := m.states[s]
	if m.negate {
		return p.found
	}
	return !m.search && len(p.pcs) == 0
}

// alphabet divides all characters into sets whose members no machine tells
// apart.
func alphabet(machines []*machine) []runes {
	cuts := []rune{0, 0xd800, 0xe000}
	var insts []*syntax.Inst
	word := false
	for _, m := range machines {
		word = word || m.word
		for i := range m.pattern.prog.Inst {
			in := &m.pattern.prog.Inst[i]
			switch in.Op {
			case syntax.InstRune, syntax.InstRune1:
				insts = append(insts, in)
				for j := 0; j < len(in.Rune); j += 2 {
					cuts = append(cuts, in.Rune[j], in.Rune[min(j+1, len(in.Rune)-1)]+1)
				}
				if len(in.Rune) == 1 && syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
					for r := unicode.SimpleFold(in.Rune[0]); r != in.Rune[0]; r = unicode.SimpleFold(r) {
						cuts = append(cuts, r, r+1)
					}
				}
			case syntax.InstRuneAnyNotNL:
				insts = append(insts, in)
				cuts = append(cuts, '\n', '\n'+1)
			}
		}
	}
	if word {
		cuts = append(cuts, '0', '9'+1, 'A', 'Z'+1, '_', '_'+1, 'a', 'z'+1)
	}
	slices.Sort(cuts)
	cuts = append(slices.Compact(cuts), 0x110000)
	var sets []runes
	ids := map[string]int{}
	key := make([]byte, len(insts)+1)
	for i := range cuts[:len(cuts)-1] {
		lo, hi := cuts[i], cuts[i+1]-1
		if lo == 0xd800 || lo > hi || lo >= 0x110000 {
			continue
		}
		for j, in := range insts {
			key[j] = 0
			if in.MatchRune(lo) {
				key[j] = 1
			}
		}
		key[len(insts)] = 0
		if word && isWord(lo) {
			key[len(insts)] = 1
		}
		id, ok := ids[string(key)]
		if !ok {
			id = len(sets)
			ids[string(key)] = id
			sets = append(sets, nil)
		}
		sets[id] = append(sets[id], lo, hi)
	}
	return sets
}

// product is the automaton of the strings that belong to several languages.
type product struct {
	accept []bool
	next   [][]edge
}

// intersect builds a product; false when it has too many states, or when spend
// does not allow the steps that it takes.
func intersect(languages []language, spend func(int) bool) (*product, bool) {
	machines := make([]*machine, len(languages))
	for i, l := range languages {
		machines[i] = newMachine(l)
	}
	sets := alphabet(machines)
	p := &product{}
	ids := map[string]int{}
	var tuples [][]int
	id := func(tuple []int) int {
		key := make([]byte, 0, 4*len(tuple))
		ok := true
		for i, s := range tuple {
			key = binary.LittleEndian.AppendUint32(key, uint32(s))
			ok = ok && machines[i].accepts(s)
		}
		n, known := ids[string(key)]
		if !known {
			n = len(tuples)
			ids[string(key)] = n
			tuples = append(tuples, tuple)
			p.accept = append(p.accept, ok)
		}
		return n
	}
	id(make([]int, len(machines)))
	for at := 0; at < len(tuples); at++ {
		cost := 0
		for i, m := range machines {
			cost += 1 + len(m.states[tuples[at][i]].pcs)/4
		}
		if len(tuples) > maxStates || !spend(len(sets)*cost) {
			return nil, false
		}
		var edges graph
		edges.add(false)
		for _, set := range sets {
			tuple := make([]int, len(machines))
			dead := false
			for i, m := range machines {
				tuple[i] = m.step(tuples[at][i], set[0])
				dead = dead || m.dead(tuple[i])
			}
			if !dead {
				edges.join(0, set, id(tuple))
			}
		}
		p.next = append(p.next, edges.states[0].edges)
	}
	return p, true
}

// shortest returns the length of the shortest string of at least least
// characters that p accepts; false when there is none up to most.
func (p *product) shortest(least, most int) (int, bool) {
	here := map[int]bool{0: true}
	for n := 0; n <= most && len(here) > 0; n++ {
		next := map[int]bool{}
		for s := range here {
			if n >= least && p.accept[s] {
				return n, true
			}
			for _, e := range p.next[s] {
				next[e.to] = true
			}
		}
		here = next
	}
	return 0, false
}

// unroll returns the graph of the strings with least to most characters, from
// its first state; false when it has too many states.
func (p *product) unroll(least, most int) (*graph, bool) {
	g := &graph{quoted: true}
	type key struct{ state, length int }
	ids := map[key]int{}
	var todo []key
	id := func(k key) int {
		n, ok := ids[k]
		if !ok {
			n = g.add(k.length >= least && p.accept[k.state])
			ids[k] = n
			todo = append(todo, k)
		}
		return n
	}
	id(key{0, 0})
	for i := 0; i < len(todo); i++ {
		k := todo[i]
		if len(todo) > maxUnrolled {
			return nil, false
		}
		if k.length == most {
			continue
		}
		for _, e := range p.next[k.state] {
			g.join(i, e.set, id(key{e.to, k.length + 1}))
		}
	}
	return g, true
}
