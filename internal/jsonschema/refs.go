package jsonschema

// inPlace returns the schemas that apply to the same value as n.
func (n *node) inPlace() []*node {
	var list []*node
	if n.ref != nil {
		list = append(list, n.ref)
	}
	list = append(append(append(list, n.allOf...), n.anyOf...), n.oneOf...)
	if n.not != nil {
		list = append(list, n.not)
	}
	return list
}

// resolve joins references to their targets and refuses a schema that is
// defined by nothing but itself.
func (p *parser) resolve() error {
	for _, n := range p.nodes {
		doc, ok := p.definitions[n.name()].(map[string]any)
		if !ok || !n.refers {
			continue
		}
		if n.ref = p.at[n.refTo]; n.ref == nil {
			return &Error{Pointer: n.pointer, Keyword: "$ref", Reason: "points to no schema"}
		}
		doc["$ref"] = reference(n.ref)["$ref"]
	}
	state := make([]uint8, len(p.nodes)) // 1: being looked at, 2: done
	var walk func(n *node) error
	walk = func(n *node) error {
		switch state[n.id] {
		case 1:
			return &Error{Pointer: n.pointer, Reason: "refers to itself without any value in between"}
		case 2:
			return nil
		}
		state[n.id] = 1
		for _, c := range n.inPlace() {
			if err := walk(c); err != nil {
				return err
			}
		}
		state[n.id] = 2
		return nil
	}
	for _, n := range p.nodes {
		if err := walk(n); err != nil {
			return err
		}
	}
	p.markLoops()
	return nil
}

// within returns the schemas of the parts of what n describes.
func (n *node) within() []*node {
	var list []*node
	for _, m := range n.properties {
		list = append(list, m.node)
	}
	for _, m := range n.patternProperties {
		list = append(list, m.node)
	}
	list = append(list, n.prefix...)
	for _, c := range []*node{n.additional, n.names, n.items, n.contains} {
		if c != nil {
			list = append(list, c)
		}
	}
	return list
}

// markLoops marks the nodes from which a way leads back to them: those of a
// strongly connected component with more than one node, found by Tarjan's
// algorithm. (A node is never its own part, but by a reference.)
func (p *parser) markLoops() {
	index, low := make([]int, len(p.nodes)), make([]int, len(p.nodes))
	var open []*node
	isOpen := make([]bool, len(p.nodes))
	count := 0
	var walk func(n *node)
	walk = func(n *node) {
		count++
		index[n.id], low[n.id] = count, count
		open = append(open, n)
		isOpen[n.id] = true
		for _, c := range append(n.inPlace(), n.within()...) {
			if index[c.id] == 0 {
				walk(c)
				low[n.id] = min(low[n.id], low[c.id])
			} else if isOpen[c.id] {
				low[n.id] = min(low[n.id], index[c.id])
			}
		}
		if low[n.id] != index[n.id] {
			return
		}
		for single := true; ; single = false {
			last := open[len(open)-1]
			open = open[:len(open)-1]
			isOpen[last.id] = false
			last.loops = !single || last != n
			if last == n {
				return
			}
		}
	}
	for _, n := range p.nodes {
		if index[n.id] == 0 {
			walk(n)
		}
	}
}
