package catalog

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

//go:embed default.yaml
var defaultYAML []byte

// Default returns the text of the catalogue that is built in. It documents the
// format field by field.
func Default() []byte { return slices.Clone(defaultYAML) }

// Options say what a Catalog holds.
type Options struct {
	// File is the path of a user's catalogue; "" means none. It has the format of
	// the built-in one; its entries are added, or change the fields they name of
	// the built-in entry with the same id.
	File string
	// StandIns keeps the ids that are served by weights other than they name.
	// False makes such ids unknown.
	StandIns bool
	// Local tells of the weights that the operator installed himself; nil means
	// none. known reports which ids the catalogue has already: there the
	// operator's file takes the place of the catalogue's.
	Local func(known func(id string) bool) ([]Local, error)
	// Regions are the only regions that the installation serves; none means all. Calls
	// through system profiles stay in them.
	Regions []string
	// Routers finds prompt routers of accounts; nil means there are none.
	Routers Routers
	// Profiles finds application inference profiles; nil means there are none.
	Profiles Profiles
	// Provisioned finds provisioned throughput; nil means there is none.
	Provisioned Provisioned
	// Now is the clock that ends lives; nil means time.Now.
	Now func() time.Time
}

// Catalog is the models that this server knows. What it knows does not change. It is
// safe for concurrent use.
type Catalog struct {
	weights     []Weights
	byWeight    map[string]int
	models      []Model // in the order of the file
	byID        map[string]int
	patterns    []Pattern
	prefixes    []prefix // longest first
	aliases     []Alias
	byAlias     map[string]string // what an alias stands for
	routers     []DefaultRouter
	made        Routers
	regions     []string
	profiles    Profiles
	provisioned Provisioned
	now         func() time.Time
	known       known
}

// prefix is one line of a pattern, without its star.
type prefix struct {
	text    string
	pattern int
}

// New reads the built-in catalogue and, over it, the user's. Errors name file
// and line; they are for the operator, not for clients.
func New(o Options) (*Catalog, error) {
	var d document
	if err := d.read("built-in catalogue", defaultYAML); err != nil {
		return nil, err
	}
	if o.File != "" {
		text, err := os.ReadFile(o.File)
		if err != nil {
			if pe, ok := errors.AsType[*fs.PathError](err); ok {
				err = pe.Err
			}
			return nil, fmt.Errorf("catalogue %s: %w", o.File, err)
		}
		if err := d.read("catalogue "+o.File, text); err != nil {
			return nil, err
		}
	}
	if err := d.validate(); err != nil {
		return nil, err
	}
	c := d.build(o)
	if o.Local != nil {
		local, err := o.Local(func(id string) bool { _, ok := c.byWeight[id]; return ok })
		if err != nil {
			return nil, fmt.Errorf("local weights: %w", err)
		}
		c.addLocal(local)
	}
	return c, nil
}

// document is the merged text of the catalogue's files.
type document struct {
	weights  []entry[Weights]
	models   []entry[Model]
	patterns []entry[Pattern]
	aliases  []entry[Alias]
	routers  []entry[DefaultRouter]
}

// entry is one item of a list with the place that last changed it.
type entry[T any] struct {
	id    string
	at    string // file and line
	value T
}

func (d *document) build(o Options) *Catalog {
	c := &Catalog{
		byWeight: make(map[string]int, len(d.weights)),
		byID:     make(map[string]int, len(d.models)),
		byAlias:  make(map[string]string, len(d.aliases)),
		made:     o.Routers,
		regions:  o.Regions,
		profiles: o.Profiles, provisioned: o.Provisioned,
		now: o.Now,
	}
	if c.now == nil {
		c.now = time.Now
	}
	for _, e := range d.weights {
		c.byWeight[e.id] = len(c.weights)
		e.value.LicenseDigest = e.value.digest()
		c.weights = append(c.weights, e.value)
	}
	for _, e := range d.models {
		if e.value.StandIn && !o.StandIns {
			continue
		}
		c.byID[e.id] = len(c.models)
		c.models = append(c.models, e.value)
	}
	for _, e := range d.patterns {
		if e.value.StandIn && !o.StandIns {
			continue
		}
		for _, m := range e.value.Match {
			c.prefixes = append(c.prefixes, prefix{text: strings.TrimSuffix(m, "*"), pattern: len(c.patterns)})
		}
		c.patterns = append(c.patterns, e.value)
	}
	for _, e := range d.aliases {
		c.aliases = append(c.aliases, e.value)
		c.byAlias[e.id] = e.value.Model
	}
	for _, e := range d.routers {
		c.routers = append(c.routers, e.value)
	}
	sort.SliceStable(c.prefixes, func(i, j int) bool { return len(c.prefixes[i].text) > len(c.prefixes[j].text) })
	return c
}

// read merges one file into d.
func (d *document) read(name string, text []byte) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return located(name, err)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType {
			continue
		}
		root, ok := doc.Body.(ast.MapNode)
		if !ok {
			return at(name, doc.Body).errorf("want a mapping with the keys weights, models, patterns, aliases and routers")
		}
		for it := root.MapRange(); it.Next(); {
			key := it.Key().GetToken()
			switch key.Value {
			case "weights":
				err = merge(name, it.Value(), &d.weights)
			case "models":
				err = merge(name, it.Value(), &d.models)
			case "patterns":
				err = merge(name, it.Value(), &d.patterns)
			case "aliases":
				err = merge(name, it.Value(), &d.aliases)
			case "routers":
				err = merge(name, it.Value(), &d.routers)
			default:
				err = at(name, it.Key()).errorf("unknown field %q; want weights, models, patterns, aliases or routers", key.Value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// merge reads one list. An item whose id is in the list already changes only the
// fields that it names; within one file an id may stand once.
func merge[T any](name string, list ast.Node, into *[]entry[T]) error {
	if list.Type() == ast.NullType {
		return nil
	}
	items, ok := list.(*ast.SequenceNode)
	if !ok {
		return at(name, list).errorf("want a list")
	}
	seen := make(map[string]bool, len(items.Values))
	for _, item := range items.Values {
		place := at(name, item)
		fields, ok := item.(ast.MapNode)
		if !ok {
			return place.errorf("want an entry with an id")
		}
		id, hasSource := "", false
		for it := fields.MapRange(); it.Next(); {
			switch it.Key().GetToken().Value {
			case "id":
				id = it.Value().GetToken().Value
				place = at(name, it.Key())
			case "source":
				hasSource = true
			case "lifecycle":
				if err := checkDates(name, it.Value()); err != nil {
					return err
				}
			}
		}
		if id == "" {
			return place.errorf("id: missing")
		}
		if seen[id] {
			return place.errorf("id: %q stands twice in this file", id)
		}
		seen[id] = true
		i := slices.IndexFunc(*into, func(e entry[T]) bool { return e.id == id })
		if i < 0 {
			*into = append(*into, entry[T]{id: id})
			i = len(*into) - 1
		}
		e := &(*into)[i]
		e.at = place.String()
		if w, ok := any(&e.value).(*Weights); ok && hasSource {
			w.Source = Source{} // a source is one thing: nothing of the old one stays
		}
		if err := yaml.NodeToValue(item, &e.value, yaml.Strict()); err != nil {
			return located(name, err)
		}
	}
	return nil
}

// checkDates refuses a date that is none; the YAML reader would drop it silently.
func checkDates(name string, lifecycle ast.Node) error {
	fields, ok := lifecycle.(ast.MapNode)
	if !ok {
		return at(name, lifecycle).errorf("lifecycle: want a mapping")
	}
	for it := fields.MapRange(); it.Next(); {
		key := it.Key().GetToken().Value
		switch key {
		case "start_of_life", "legacy", "extended_access", "end_of_life":
		default:
			continue
		}
		text := it.Value().GetToken().Value
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return at(name, it.Key()).errorf("lifecycle.%s: %q is not a date like 2024-03-31", key, text)
		}
	}
	return nil
}

// place is a line of a file.
type place struct {
	file string
	line int
}

func at(file string, n ast.Node) place {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{file, t.Position.Line}
	}
	return place{file: file}
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s: line %d", p.file, p.line)
}

func (p place) errorf(format string, args ...any) error {
	return fmt.Errorf(p.String()+": "+format, args...)
}

// located adds file and line to an error of the YAML reader.
func located(file string, err error) error {
	ye, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", file, err)
	}
	p := place{file: file}
	if t := ye.GetToken(); t != nil && t.Position != nil {
		p.line = t.Position.Line
	}
	return fmt.Errorf("%s: %s", p, ye.GetMessage())
}
