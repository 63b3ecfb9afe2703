package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// api is one service, resolved and checked, ready to be written.
type api struct {
	service
	facts   *facts
	overlay *overlay
	auth    *authFacts        // of the service's prefix
	version string            // of botocore
	regexps map[string]string // modelled pattern -> Go form, where they differ; a copy of its own
	shapes  []*node           // reachable shapes by name; shapes[i] has ShapeID i+1
	byName  map[string]*node
	usedRE  map[string]bool
}

// node is one reachable shape.
type node struct {
	*shape
	goName string   // type name; "" for shapes without a Go type of their own
	roles  []string // what the type is for, for its doc comment
}

// build resolves names and checks the facts and the overlay against each other.
func build(svc service, f *facts, o *overlay, auth *authFacts, version string, regexps map[string]string) (*api, error) {
	a := &api{
		service: svc, facts: f, overlay: o, auth: auth, version: version, regexps: maps.Clone(regexps),
		byName: map[string]*node{}, usedRE: map[string]bool{},
	}
	all := map[string]*shape{}
	for i := range f.Shapes {
		all[f.Shapes[i].Name] = &f.Shapes[i]
	}
	a.addEmptyShapes(all)
	if err := a.splitShared(all); err != nil {
		return nil, fmt.Errorf("%s: %w", svc.name, err)
	}
	for i := range f.Operations {
		op := &f.Operations[i]
		for _, root := range slices.Concat([]string{op.Input, op.Output}, op.Errors) {
			if err := a.reach(all, root); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", svc.name, op.Name, err)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(a.byName)) {
		a.shapes = append(a.shapes, a.byName[n])
	}
	for _, step := range []func() error{a.nameTypes, a.checkShapes, a.checkOperations, a.checkOverlay} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%s: %w", svc.name, err)
		}
	}
	return a, nil
}

// addEmptyShapes gives operations without input or output an empty structure.
func (a *api) addEmptyShapes(all map[string]*shape) {
	for i := range a.facts.Operations {
		op := &a.facts.Operations[i]
		for ref, suffix := range map[*string]string{&op.Input: "Input", &op.Output: "Output"} {
			if *ref == "" {
				*ref = op.Name + suffix
				op.void = op.void || suffix == "Output"
				all[*ref] = &shape{Name: *ref, Type: "structure"}
			}
		}
	}
}

// splitShared gives operations that share an input or output structure a copy
// each, because the Go types are named after their operations.
func (a *api) splitShared(all map[string]*shape) error {
	users := map[string]int{}
	for i := range a.facts.Operations {
		users[a.facts.Operations[i].Input]++
		users[a.facts.Operations[i].Output]++
	}
	for i := range a.facts.Operations {
		op := &a.facts.Operations[i]
		for ref, suffix := range map[*string]string{&op.Input: "Input", &op.Output: "Output"} {
			if s := all[*ref]; s != nil && users[*ref] > 1 {
				own := *s
				own.Name = op.Name + suffix
				if all[own.Name] != nil {
					return fmt.Errorf("shape %s is shared, and the name %s is taken", s.Name, own.Name)
				}
				all[own.Name], *ref = &own, own.Name
			}
		}
	}
	return nil
}

// reach adds a shape and all that it refers to.
func (a *api) reach(all map[string]*shape, name string) error {
	if a.byName[name] != nil {
		return nil
	}
	s := all[name]
	if s == nil {
		return fmt.Errorf("unknown shape %q", name)
	}
	a.byName[name] = &node{shape: s}
	refs := []string{s.Elem, s.Key}
	for _, m := range s.Members {
		refs = append(refs, m.Shape)
	}
	for _, r := range refs {
		if r == "" {
			continue
		}
		if err := a.reach(all, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// nameTypes gives every structure, union and enum its Go name.
func (a *api) nameTypes() error {
	for i := range a.facts.Operations {
		op := &a.facts.Operations[i]
		for _, r := range []struct{ shape, suffix, role string }{
			{op.Input, "Input", "input"}, {op.Output, "Output", "output"},
		} {
			n := a.byName[r.shape]
			if n.goName != "" {
				return fmt.Errorf("shape %s is the input or output of two operations", r.shape)
			}
			n.goName = op.Name + r.suffix
			n.roles = append(n.roles, "the "+r.role+" of "+op.Name)
		}
	}
	for _, n := range a.shapes {
		if !n.hasType() {
			continue
		}
		if to, ok := a.overlay.Rename[n.Name]; ok {
			if n.goName != "" {
				return fmt.Errorf("overlay: %s has a fixed name", n.Name)
			}
			n.goName = to
		}
		if n.goName == "" {
			n.goName = exported(n.Name)
		}
	}
	return a.checkNames()
}

// checkNames fails when two package-level names are equal.
func (a *api) checkNames() error {
	taken := map[string]string{modelVar: "the service's table"}
	claim := func(name, who string) error {
		if w, ok := taken[name]; ok {
			return fmt.Errorf("name %s is wanted by %s and %s: rename one in the overlay", name, w, who)
		}
		taken[name] = who
		return nil
	}
	for i := range a.facts.Operations {
		name := a.facts.Operations[i].Name
		if err := claim("Op"+name, "operation "+name); err != nil {
			return err
		}
	}
	for _, n := range a.shapes {
		if n.goName == "" {
			continue
		}
		if err := claim(n.goName, "shape "+n.Name); err != nil {
			return err
		}
	}
	for _, n := range a.shapes {
		for _, v := range n.Enum {
			if err := claim(n.goName+enumWord(v), fmt.Sprintf("value %q of %s", v, n.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkShapes proves what the tables promise about shapes.
func (a *api) checkShapes() error {
	for _, n := range a.shapes {
		if _, err := n.kind(); err != nil {
			return err
		}
		if err := a.checkPattern(n); err != nil {
			return err
		}
		fields := map[string]string{}
		for i := range n.Members {
			m := &n.Members[i]
			if _, err := location(m, n.shape); err != nil {
				return err
			}
			if other, ok := fields[exported(m.Name)]; ok {
				return fmt.Errorf("%s: members %s and %s want one field name", n.Name, other, m.Name)
			}
			fields[exported(m.Name)] = m.Name
		}
		if n.Payload != "" && fields[exported(n.Payload)] != n.Payload {
			return fmt.Errorf("%s: unknown payload member %s", n.Name, n.Payload)
		}
		for _, r := range []string{n.Elem, n.Key} {
			// Table rows of elements have no place for a timestamp format.
			if r != "" && a.byName[r].Type == "timestamp" && a.byName[r].TimestampFormat != "" {
				return fmt.Errorf("%s: element with a timestamp format", n.Name)
			}
		}
	}
	return nil
}

// checkPattern fails on a pattern that Go cannot compile and neither goEscapes
// nor the overlay replaces.
func (a *api) checkPattern(n *node) error {
	if n.Pattern == "" {
		return nil
	}
	if _, ok := a.regexps[n.Pattern]; ok {
		a.usedRE[n.Pattern] = true
		return nil
	}
	_, err := regexp.Compile(n.Pattern)
	if err == nil {
		return nil
	}
	form := goEscapes(n.Pattern)
	if _, again := regexp.Compile(form); again != nil {
		return fmt.Errorf("%s: pattern needs a Go form in api/overlay/patterns.yaml: %q: %w", n.Name, n.Pattern, err)
	}
	if a.regexps == nil {
		a.regexps = map[string]string{}
	}
	a.regexps[n.Pattern] = form
	return nil
}

var (
	escapeRE = regexp.MustCompile(`(?s)\\u[0-9A-Fa-f]{4}|\\.`)
	astralRE = regexp.MustCompile(`\\u[0-9A-Fa-f]{5}`)
)

// goEscapes turns the escapes \uHHHH of a pattern into Go's \x{HHHH}. A pattern
// with five digits is left alone: models mean one character by them, ECMA-262
// means two.
func goEscapes(pattern string) string {
	if astralRE.MatchString(pattern) {
		return pattern
	}
	return escapeRE.ReplaceAllStringFunc(pattern, func(e string) string {
		if len(e) == 6 {
			return `\x{` + e[2:] + "}"
		}
		return e
	})
}

var labelRE = regexp.MustCompile(`\{([A-Za-z0-9]+)\+?\}`)

// checkOperations proves that labels and members, errors and statuses agree.
func (a *api) checkOperations() error {
	for i := range a.facts.Operations {
		op := &a.facts.Operations[i]
		labels := map[string]bool{}
		for _, m := range labelRE.FindAllStringSubmatch(op.URI, -1) {
			labels[m[1]] = true
		}
		for _, m := range a.byName[op.Input].Members {
			if m.Location != "uri" {
				continue
			}
			name := wireName(&m)
			if !labels[name] || !m.Required {
				return fmt.Errorf("%s: member %s: label {%s} missing in %s, or not required", op.Name, m.Name, name, op.URI)
			}
			delete(labels, name)
		}
		if len(labels) > 0 {
			return fmt.Errorf("%s: labels without members: %v", op.Name, slices.Sorted(maps.Keys(labels)))
		}
		for _, e := range op.Errors {
			if a.byName[e].Error == nil {
				return fmt.Errorf("%s: error %s is no exception", op.Name, e)
			}
		}
	}
	return nil
}

// checkOverlay fails on overlay entries that name nothing.
func (a *api) checkOverlay() error {
	ops := map[string]bool{}
	for i := range a.facts.Operations {
		ops[a.facts.Operations[i].Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(a.overlay.Operations)) {
		if !ops[name] {
			return fmt.Errorf("overlay: unknown operation %s", name)
		}
		if a.own {
			continue
		}
		if err := a.checkAction(name); err != nil {
			return fmt.Errorf("overlay: %s: %w", name, err)
		}
	}
	for _, name := range a.overlay.URLEncoded {
		if n := a.byName[name]; n == nil || n.Type != "string" {
			return fmt.Errorf("overlay: no string shape %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.overlay.Rename)) {
		if a.byName[name] == nil {
			return fmt.Errorf("overlay: unknown shape %s", name)
		}
	}
	return nil
}

// checkAction fails when the overlay gives an operation what it has without.
func (a *api) checkAction(op string) error {
	o := a.overlay.Operations[op]
	if o.Action == op {
		return fmt.Errorf("the action is %s anyway", op)
	}
	act := a.auth.action(cmp.Or(o.Action, op))
	if o.Action != "" && act == nil {
		return fmt.Errorf("unknown action %s", o.Action)
	}
	for _, r := range o.Resources {
		if !slices.ContainsFunc(a.auth.Resources, func(t authResource) bool { return t.Name == r }) {
			return fmt.Errorf("unknown resource type %s", r)
		}
	}
	if act != nil && len(o.Resources) > 0 && slices.Equal(slices.Sorted(slices.Values(o.Resources)), act.Resources) {
		return errors.New("the resource types are those of the action anyway")
	}
	return nil
}

// hasType says whether a shape gets a Go type of its own.
func (n *node) hasType() bool {
	return n.Type == "structure" && !n.Document || len(n.Enum) > 0
}

// kind returns the name of the awsapi.Kind constant.
func (n *node) kind() (string, error) {
	switch {
	case n.Document:
		return "JSON", nil
	case n.EventStream, n.Union:
		return "Union", nil
	}
	k, ok := map[string]string{
		"structure": "Structure", "list": "List", "map": "Map", "string": "String",
		"integer": "Integer", "long": "Long", "float": "Float", "double": "Double",
		"boolean": "Boolean", "blob": "Blob", "timestamp": "Timestamp",
	}[n.Type]
	if !ok {
		return "", fmt.Errorf("%s: unknown type %q", n.Name, n.Type)
	}
	return k, nil
}

// location returns the name of the awsapi.Location constant, "" for InBody.
func location(m *member, in *shape) (string, error) {
	if in.Payload == m.Name {
		return "InPayload", nil
	}
	l, ok := map[string]string{
		"": "", "uri": "InURI", "querystring": "InQuery", "header": "InHeader",
		"headers": "InHeaders", "statusCode": "InStatusCode",
	}[m.Location]
	if !ok {
		return "", fmt.Errorf("%s: member %s: unknown location %q", in.Name, m.Name, m.Location)
	}
	return l, nil
}

// wireName returns the name under which a member travels.
func wireName(m *member) string {
	if m.LocationName != "" {
		return m.LocationName
	}
	return m.Name
}

// exported raises the first letter.
func exported(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// enumWord turns an enum value into the tail of a constant's name: "end_turn"
// gives EndTurn, "ON_DEMAND" gives OnDemand, "us-east-1" gives UsEast1.
func enumWord(v string) string {
	words := strings.FieldsFunc(v, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
	var b strings.Builder
	for i, w := range words {
		if w == strings.ToUpper(w) {
			w = strings.ToLower(w)
		}
		w = exported(w)
		// Keep "1.5" and "15" apart.
		if i > 0 && isDigit(w[0]) && isDigit(b.String()[b.Len()-1]) {
			b.WriteByte('_')
		}
		b.WriteString(w)
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
