// Package jsonschema makes sure that what a model writes fits a JSON Schema.
//
// It does so twice. [Schema.Grammar] turns a schema into rules of GBNF, the
// grammar language of llama.cpp: whatever an engine writes under them is compact
// JSON that fits the schema, and is bounded, so that even a model that never
// stops by itself comes to an end. [Schema.Validate] then holds the text against
// the schema as it was given, as a second pair of eyes.
//
// The dialect is draft 2020-12, and draft 7 where it spells the same things
// otherwise (definitions, a list in items). A keyword that would change what is
// valid and that is not supported is refused by name, never passed over; unknown
// keywords and annotations are passed over, as the specification wants.
package jsonschema

import (
	"fmt"
	"strings"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits on a schema and on an instance. A schema above them is refused with an
// *Error, an instance with an *InvalidError.
const (
	MaxBytes         = 100_000 // length of a schema's text
	MaxDepth         = 32      // schemas within schemas
	MaxNodes         = 5_000   // schemas in all, boolean ones included
	MaxInstanceDepth = 64      // arrays and objects within each other
	maxJSONDepth     = 3 * MaxDepth
)

// Schema is a JSON Schema that has been read and checked. It is immutable and
// safe for concurrent use.
type Schema struct {
	root  *node
	check *checker
}

// Error says what in a schema cannot be used, and where.
type Error struct {
	Pointer string // JSON pointer to the schema within the document; "" is the whole
	Keyword string // the keyword; "" when none is to blame
	Reason  string // a clause such as "is not supported"
}

// Error tells place, keyword and reason in one line.
func (e *Error) Error() string {
	at := e.Pointer
	if at == "" {
		at = "/"
	}
	if e.Keyword == "" {
		return fmt.Sprintf("JSON schema at %s: %s", at, e.Reason)
	}
	return fmt.Sprintf("JSON schema at %s: keyword %q %s", at, e.Keyword, e.Reason)
}

// InvalidError says where an instance does not fit its schema. It holds no part
// of the instance but the names on the way to the place.
type InvalidError struct {
	Pointer string // JSON pointer to the value within the instance; "" is the whole
	Reason  string // a clause such as `does not satisfy "minimum"`
}

// Error tells place and reason in one line.
func (e *InvalidError) Error() string {
	at := e.Pointer
	if at == "" {
		at = "/"
	}
	return fmt.Sprintf("value at %s %s", at, e.Reason)
}

// Parse reads a JSON Schema. Every error is an *Error.
//
// Deviations from draft 2020-12, all on the safe side: keywords beside a $ref of
// draft 7 count (that draft passes them over), $ref reaches only into the same
// document by JSON pointer, a format is a hint for the grammar and not checked
// (as the specification's default says), and patterns are regular expressions
// of ECMA-262 without look-around and back references.
func Parse(raw []byte) (*Schema, error) {
	if len(raw) > MaxBytes {
		return nil, &Error{Reason: fmt.Sprintf("the document has %d bytes, more than %d", len(raw), MaxBytes)}
	}
	doc, f := read(raw, maxJSONDepth)
	if f != nil {
		return nil, &Error{Pointer: f.pointer, Reason: f.reason}
	}
	p := parser{at: map[string]*node{}, definitions: map[string]any{}}
	root, err := p.schema(doc, "", 1)
	if err != nil {
		return nil, err
	}
	if err := p.resolve(); err != nil {
		return nil, err
	}
	check, err := newChecker(p.nodes, p.definitions)
	if err != nil {
		return nil, err
	}
	return &Schema{root: root, check: check}, nil
}

// Validate checks a JSON text against the schema as it was given. Numbers are
// compared exactly and lengths are in code points. The error is an
// *InvalidError; so are the errors for what is not one JSON value, has two
// members of one name, or is nested deeper than [MaxInstanceDepth].
func (s *Schema) Validate(instance []byte) error {
	v, f := read(instance, MaxInstanceDepth)
	if f != nil {
		return &InvalidError{Pointer: f.pointer, Reason: f.reason}
	}
	return s.check.validate(s.root, v)
}

// checker holds the same schema for the validating library, one definition per
// node, so that each node can be checked by itself.
type checker struct{ compiled map[*node]*validator.Schema }

const documentURL = "schema:///document"

// refuseLoading is a loader that reads nothing: a schema is one document.
type refuseLoading struct{}

func (refuseLoading) Load(string) (any, error) { return nil, fmt.Errorf("a schema is one document") }

func newChecker(nodes []*node, definitions map[string]any) (*checker, error) {
	c := validator.NewCompiler()
	c.DefaultDraft(validator.Draft2020)
	c.UseLoader(refuseLoading{})
	c.UseRegexpEngine(func(text string) (validator.Regexp, error) { return compilePattern(text) })
	if err := c.AddResource(documentURL, map[string]any{"$defs": definitions}); err != nil {
		return nil, &Error{Reason: "is not a valid schema"}
	}
	check := &checker{compiled: make(map[*node]*validator.Schema, len(nodes))}
	for _, n := range nodes {
		s, err := c.Compile(documentURL + "#/$defs/" + n.name())
		if err != nil {
			return nil, &Error{Pointer: n.pointer, Reason: "is not a valid schema"}
		}
		check.compiled[n] = s
	}
	return check, nil
}

// validate holds a value of read against one node.
func (c *checker) validate(n *node, v any) error {
	err := c.compiled[n].Validate(plain(v))
	if err == nil {
		return nil
	}
	invalid, ok := err.(*validator.ValidationError)
	if !ok {
		return &InvalidError{Reason: "cannot be checked"}
	}
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	e := &InvalidError{Reason: "is not allowed"}
	for _, step := range invalid.InstanceLocation {
		e.Pointer += "/" + escapePointer(step)
	}
	if path := invalid.ErrorKind.KeywordPath(); len(path) > 0 {
		e.Reason = fmt.Sprintf("does not satisfy %q", strings.Join(path[:1], ""))
	}
	return e
}
