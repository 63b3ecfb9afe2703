// Package archtest holds the rules that keep the rooms apart: layers.txt says
// which package may import which, and the tests hold the code against it.
package archtest

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// RulesFile is where a reader of a failure finds the rules.
const RulesFile = "internal/archtest/layers.txt"

// Rules are the contents of layers.txt.
type Rules struct {
	rooms    []room
	edges    []*edge
	testOnly []testOnly
}

// room is where packages of one pattern live.
type room struct {
	pattern string
	level   int
	test    bool
	not     map[int]bool // lower levels that must not be imported
}

type edge struct {
	from, to string // patterns
	used     bool
}

type testOnly struct{ prefix, why string }

// Parse reads rules. The first word of a line says what it is:
//
//	layer LEVEL [not LEVEL...] PATTERN...
//	test PATTERN...
//	edge FROM TO: why
//	testonly IMPORT: why
func Parse(r io.Reader) (*Rules, error) {
	rules := &Rules{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := rules.add(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return rules, lines.Err()
}

func (r *Rules) add(kind string, words []string) error {
	switch kind {
	case "test":
		return r.addRooms(room{test: true}, words)
	case "layer":
		if len(words) == 0 {
			return fmt.Errorf("layer without a level")
		}
		level, err := strconv.Atoi(words[0])
		if err != nil {
			return fmt.Errorf("level %q is not a number", words[0])
		}
		where := room{level: level, not: map[int]bool{}}
		words = words[1:]
		if len(words) > 0 && words[0] == "not" {
			for words = words[1:]; len(words) > 0; words = words[1:] {
				n, err := strconv.Atoi(words[0])
				if err != nil {
					break
				}
				where.not[n] = true
			}
		}
		return r.addRooms(where, words)
	}
	text, why, ok := strings.Cut(strings.Join(words, " "), ":")
	if !ok || strings.TrimSpace(why) == "" {
		return fmt.Errorf("%s without a reason", kind)
	}
	names := strings.Fields(text)
	switch {
	case kind == "edge" && len(names) == 2:
		r.edges = append(r.edges, &edge{from: names[0], to: names[1]})
	case kind == "testonly" && len(names) == 1:
		r.testOnly = append(r.testOnly, testOnly{names[0], strings.TrimSpace(why)})
	default:
		return fmt.Errorf("unknown rule %q with %d names", kind, len(names))
	}
	return nil
}

func (r *Rules) addRooms(where room, patterns []string) error {
	if len(patterns) == 0 {
		return fmt.Errorf("no packages named")
	}
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", p, err)
		}
		for _, other := range r.rooms {
			if other.pattern == p {
				return fmt.Errorf("%s is named twice", p)
			}
		}
		where.pattern = p
		r.rooms = append(r.rooms, where)
	}
	return nil
}

// find returns the room of a package; an exact name wins over a pattern.
func (r *Rules) find(name string) (room, bool) {
	found, ok := room{}, false
	for _, where := range r.rooms {
		if where.pattern == name {
			return where, true
		}
		if match, _ := path.Match(where.pattern, name); match {
			found, ok = where, true
		}
	}
	return found, ok
}

// Package is what Check needs to know of a package.
type Package struct {
	Path    string   // import path
	Imports []string // import paths of all files but tests
}

// Check returns one sentence for each rule that p breaks. module is the path of
// the module that p belongs to.
func (r *Rules) Check(module string, p Package) []string {
	name := roomName(module, p.Path)
	from, ok := r.find(name)
	if !ok {
		return []string{fmt.Sprintf("%s is in no layer: name it in %s, on the line of the level where it belongs", name, RulesFile)}
	}
	var broken []string
	for _, imp := range p.Imports {
		if why := r.check(module, name, from, imp); why != "" {
			broken = append(broken, fmt.Sprintf("%s imports %s: %s (rules: %s)", name, roomName(module, imp), why, RulesFile))
		}
	}
	return broken
}

// check returns why name must not import imp; "" when it may.
func (r *Rules) check(module, name string, from room, imp string) string {
	if from.test {
		return ""
	}
	if imp != module && !strings.HasPrefix(imp, module+"/") {
		for _, t := range r.testOnly {
			if imp == t.prefix || strings.HasPrefix(imp, t.prefix+"/") {
				return "only tests may: " + t.why
			}
		}
		return ""
	}
	target := roomName(module, imp)
	to, ok := r.find(target)
	switch {
	case !ok:
		return "" // reported for the package itself
	case to.test:
		return "it is test support"
	case to.level < from.level && !from.not[to.level]:
		return ""
	}
	for _, e := range r.edges {
		a, _ := path.Match(e.from, name)
		b, _ := path.Match(e.to, target)
		if a && b {
			e.used = true
			return ""
		}
	}
	switch {
	case to.level == from.level:
		return fmt.Sprintf("both are of level %d and no edge joins them", from.level)
	case to.level > from.level:
		return fmt.Sprintf("level %d is above level %d", to.level, from.level)
	default:
		return fmt.Sprintf("level %d must not know level %d", from.level, to.level)
	}
}

// Unused returns the edges that no Check has needed so far.
func (r *Rules) Unused() []string {
	var unused []string
	for _, e := range r.edges {
		if !e.used {
			unused = append(unused, e.from+" "+e.to)
		}
	}
	return unused
}

// Forbidden returns why the program must not link an imported package; "" when
// it may.
func (r *Rules) Forbidden(module, imp string) string {
	if to, ok := r.find(roomName(module, imp)); ok && to.test && strings.HasPrefix(imp, module+"/") {
		return "it is test support"
	}
	for _, t := range r.testOnly {
		if imp == t.prefix || strings.HasPrefix(imp, t.prefix+"/") {
			return "only tests may: " + t.why
		}
	}
	return ""
}

// roomName is a package's path below the module, "internal/" left out.
func roomName(module, imp string) string {
	return strings.TrimPrefix(strings.TrimPrefix(imp, module+"/"), "internal/")
}
