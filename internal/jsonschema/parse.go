package jsonschema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
)

// types is a set of JSON types. An integer is a number without a fraction, so a
// set with tNumber allows integers as well.
type types uint8

const (
	tNull types = 1 << iota
	tBoolean
	tInteger
	tNumber
	tString
	tArray
	tObject
	allTypes = tNull | tBoolean | tNumber | tString | tArray | tObject
)

// node is one schema of a document, each keyword in the form that the grammar
// needs. Counts are -1 where the keyword is absent.
type node struct {
	id      int
	pointer string

	boolean  *bool    // a schema that is only true or false
	keywords []string // those that say what is valid
	loops    bool     // it can stand within itself
	types    types    // 0: no type keyword
	finite   bool     // enum or const is there; values holds the candidates
	values   []any

	refers              bool // $ref is there, to the pointer refTo
	refTo               string
	ref                 *node
	allOf, anyOf, oneOf []*node
	not                 *node

	properties         []member
	closed             bool // it has the keyword properties, perhaps empty, and says nothing of others
	patternProperties  []patternMember
	additional         *node
	names              *node
	required           []string
	minProps, maxProps int

	prefix                   []*node
	items                    *node
	minItems, maxItems       int
	unique                   bool
	contains                 *node
	minContains, maxContains int

	minLength, maxLength int
	pattern              *pattern
	format               string

	minimum, maximum, above, below, multipleOf *big.Rat
}

type member struct {
	name string
	node *node
}

type patternMember struct {
	pattern *pattern
	node    *node
}

// newNode returns the schema without keywords.
func newNode(pointer string) *node {
	return &node{
		pointer: pointer, minProps: -1, maxProps: -1, minItems: -1, maxItems: -1,
		minContains: -1, maxContains: -1, minLength: -1, maxLength: -1,
	}
}

func (n *node) name() string { return strconv.Itoa(n.id) }

// refused are keywords that change what is valid and that neither the grammar
// nor the reading of other keywords takes into account.
func refused(keyword string) bool {
	switch keyword {
	case "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies",
		"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef",
		"extends", "disallow", "divisibleBy":
		return true
	}
	return false
}

// about returns the types of value that a keyword speaks of: all for those that
// speak of any value, none for annotations.
func about(keyword string) types {
	switch keyword {
	case "type", "enum", "const", "$ref", "allOf", "anyOf", "oneOf", "not":
		return allTypes
	case "properties", "patternProperties", "additionalProperties", "propertyNames", "required", "minProperties", "maxProperties":
		return tObject
	case "prefixItems", "items", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains":
		return tArray
	case "minLength", "maxLength", "pattern":
		return tString
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		return tNumber
	}
	return 0
}

// parser builds the nodes of one document and, beside them, the same document
// with one definition per node for the validating library.
type parser struct {
	nodes       []*node
	at          map[string]*node // by JSON pointer
	definitions map[string]any
	programs    int // instructions of all patterns
}

// reading is one schema being read.
type reading struct {
	*parser
	n     *node
	o     *object
	doc   map[string]any
	depth int
}

func (p *parser) schema(v any, pointer string, depth int) (*node, error) {
	if depth > MaxDepth {
		return nil, &Error{Pointer: pointer, Reason: fmt.Sprintf("is nested deeper than %d schemas", MaxDepth)}
	}
	if len(p.nodes) == MaxNodes {
		return nil, &Error{Pointer: pointer, Reason: fmt.Sprintf("the document has more than %d schemas", MaxNodes)}
	}
	n := newNode(pointer)
	n.id = len(p.nodes)
	p.nodes = append(p.nodes, n)
	p.at[pointer] = n
	switch v := v.(type) {
	case bool:
		n.boolean = &v
		p.definitions[n.name()] = v
		return n, nil
	case *object:
		r := reading{parser: p, n: n, o: v, doc: map[string]any{}, depth: depth}
		p.definitions[n.name()] = r.doc
		return n, r.all()
	}
	return nil, &Error{Pointer: pointer, Reason: "is not a schema: an object or a boolean is wanted"}
}

func (r *reading) all() error {
	for _, key := range r.o.keys {
		if refused(key) {
			return r.fail(key, "is not supported")
		}
		if err := r.keyword(key, r.o.vals[key]); err != nil {
			return err
		}
		if about(key) != 0 {
			r.n.keywords = append(r.n.keywords, key)
		}
	}
	return r.together()
}

// together checks and completes keywords that depend on each other.
func (r *reading) together() error {
	n := r.n
	if c, ok := r.o.vals["const"]; ok {
		n.finite, n.values = true, []any{c}
	}
	if _, list := r.o.vals["items"].([]any); list {
		if v, ok := r.o.vals["additionalItems"]; ok {
			return r.child("additionalItems", "items", v, &n.items)
		}
	}
	return nil
}

func (r *reading) keyword(key string, v any) error {
	n := r.n
	switch key {
	case "type":
		return r.types(v)
	case "enum":
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return r.fail(key, "is not a list with values")
		}
		n.finite, n.values = true, list
		r.doc[key] = plain(v)
	case "const":
		r.doc[key] = plain(v)
	case "$ref":
		return r.refersTo(v)
	case "$defs", "definitions":
		return r.group(key, v, func(string, *node) {})
	case "$id":
		if n.pointer != "" {
			return r.fail(key, "is supported at the top only")
		}
	case "allOf":
		return r.list(key, key, v, &n.allOf)
	case "anyOf":
		return r.list(key, key, v, &n.anyOf)
	case "oneOf":
		return r.list(key, key, v, &n.oneOf)
	case "not":
		return r.child(key, key, v, &n.not)
	case "format":
		n.format, _ = v.(string)
	default:
		return r.typed(key, v)
	}
	return nil
}

// typed reads the keywords that belong to one type of value. What it does not
// know is an annotation.
func (r *reading) typed(key string, v any) error {
	n := r.n
	switch key {
	case "properties":
		doc := map[string]any{}
		r.doc[key] = doc
		_, open := r.o.vals["additionalProperties"]
		n.closed = !open
		return r.group(key, v, func(name string, c *node) {
			n.properties = append(n.properties, member{name, c})
			doc[name] = reference(c)
		})
	case "patternProperties":
		return r.patternProperties(v)
	case "additionalProperties":
		return r.child(key, key, v, &n.additional)
	case "propertyNames":
		return r.child(key, key, v, &n.names)
	case "required":
		return r.required(v)
	case "minProperties":
		return r.count(key, v, &n.minProps)
	case "maxProperties":
		return r.count(key, v, &n.maxProps)
	case "prefixItems":
		return r.prefixItems(key, v)
	case "items":
		if _, list := v.([]any); list {
			return r.prefixItems(key, v)
		}
		return r.child(key, key, v, &n.items)
	case "minItems":
		return r.count(key, v, &n.minItems)
	case "maxItems":
		return r.count(key, v, &n.maxItems)
	case "uniqueItems":
		unique, ok := v.(bool)
		if !ok {
			return r.fail(key, "is not a boolean")
		}
		n.unique, r.doc[key] = unique, v
	case "contains":
		return r.child(key, key, v, &n.contains)
	case "minContains":
		return r.count(key, v, &n.minContains)
	case "maxContains":
		return r.count(key, v, &n.maxContains)
	case "minLength":
		return r.count(key, v, &n.minLength)
	case "maxLength":
		return r.count(key, v, &n.maxLength)
	case "pattern":
		return r.pattern(key, v)
	case "minimum":
		return r.number(key, v, &n.minimum)
	case "maximum":
		return r.number(key, v, &n.maximum)
	case "exclusiveMinimum":
		return r.number(key, v, &n.above)
	case "exclusiveMaximum":
		return r.number(key, v, &n.below)
	case "multipleOf":
		if err := r.number(key, v, &n.multipleOf); err != nil {
			return err
		}
		if n.multipleOf.Sign() <= 0 {
			return r.fail(key, "is not above 0")
		}
	}
	return nil
}

func (r *reading) fail(key, reason string) error {
	return &Error{Pointer: r.n.pointer, Keyword: key, Reason: reason}
}

func (r *reading) types(v any) error {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	seen := map[string]bool{}
	for _, e := range list {
		name, _ := e.(string)
		t, ok := map[string]types{
			"null": tNull, "boolean": tBoolean, "integer": tInteger, "number": tNumber,
			"string": tString, "array": tArray, "object": tObject,
		}[name]
		if !ok || seen[name] {
			return r.fail("type", "is not a type or a list of different types")
		}
		seen[name] = true
		r.n.types |= t
	}
	if len(list) == 0 {
		return r.fail("type", "is an empty list")
	}
	if r.n.types&tNumber != 0 {
		r.n.types &^= tInteger
	}
	r.doc["type"] = list
	return nil
}

// child reads a keyword whose value is a schema; as is the keyword's name in the
// document for the library.
func (r *reading) child(key, as string, v any, to **node) error {
	c, err := r.schema(v, r.n.pointer+"/"+key, r.depth+1)
	if err != nil {
		return err
	}
	*to, r.doc[as] = c, reference(c)
	return nil
}

func (r *reading) list(key, as string, v any, to *[]*node) error {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return r.fail(key, "is not a list with schemas")
	}
	refs := make([]any, len(list))
	for i, e := range list {
		c, err := r.schema(e, r.n.pointer+"/"+key+"/"+strconv.Itoa(i), r.depth+1)
		if err != nil {
			return err
		}
		*to, refs[i] = append(*to, c), reference(c)
	}
	r.doc[as] = refs
	return nil
}

// group reads a keyword whose value is an object of schemas.
func (r *reading) group(key string, v any, each func(string, *node)) error {
	o, ok := v.(*object)
	if !ok {
		return r.fail(key, "is not an object of schemas")
	}
	for _, name := range o.keys {
		c, err := r.schema(o.vals[name], r.n.pointer+"/"+key+"/"+escapePointer(name), r.depth+1)
		if err != nil {
			return err
		}
		each(name, c)
	}
	return nil
}

func (r *reading) patternProperties(v any) error {
	const key = "patternProperties"
	doc := map[string]any{}
	var bad error
	err := r.group(key, v, func(text string, c *node) {
		p, err := r.compile(key, text)
		if err != nil {
			bad = err
			return
		}
		r.n.patternProperties = append(r.n.patternProperties, patternMember{p, c})
		doc[text] = reference(c)
	})
	if err == nil {
		err = bad
	}
	r.doc[key] = doc
	return err
}

func (r *reading) prefixItems(key string, v any) error {
	if r.n.prefix != nil {
		return r.fail(key, "stands beside another list of items")
	}
	if list, ok := v.([]any); ok && len(list) == 0 && key == "items" {
		return nil // draft 7 allows the empty list, which says nothing
	}
	return r.list(key, "prefixItems", v, &r.n.prefix)
}

func (r *reading) required(v any) error {
	list, ok := v.([]any)
	seen := map[string]bool{}
	for _, e := range list {
		name, text := e.(string)
		if !text || seen[name] {
			ok = false
			break
		}
		seen[name] = true
		r.n.required = append(r.n.required, name)
	}
	if !ok {
		return r.fail("required", "is not a list of different names")
	}
	r.doc["required"] = v
	return nil
}

func (r *reading) count(key string, v any, to *int) error {
	number, ok := v.(json.Number)
	if !ok {
		return r.fail(key, "is not a whole number of at least 0")
	}
	n, ok := new(big.Rat).SetString(string(number))
	if !ok || !n.IsInt() || n.Sign() < 0 {
		return r.fail(key, "is not a whole number of at least 0")
	}
	const most = 1 << 30
	*to = most
	if n.Num().IsInt64() && n.Num().Int64() < most {
		*to = int(n.Num().Int64())
	}
	r.doc[key] = json.Number(strconv.Itoa(*to))
	return nil
}

func (r *reading) number(key string, v any, to **big.Rat) error {
	number, ok := v.(json.Number)
	if !ok {
		return r.fail(key, "is not a number")
	}
	n, ok := new(big.Rat).SetString(string(number))
	if !ok {
		return r.fail(key, "is not a number")
	}
	*to, r.doc[key] = n, number
	return nil
}

func (r *reading) pattern(key string, v any) error {
	text, ok := v.(string)
	if !ok {
		return r.fail(key, "is not a string")
	}
	p, err := r.compile(key, text)
	if err != nil {
		return err
	}
	r.n.pattern, r.doc[key] = p, text
	return nil
}

func (r *reading) compile(key, text string) (*pattern, error) {
	p, err := compilePattern(text)
	if err != nil {
		return nil, r.fail(key, err.Error())
	}
	if r.programs += len(p.prog.Inst); r.programs > maxPrograms {
		return nil, r.fail(key, "is one pattern too many: all patterns together are too large")
	}
	return p, nil
}

func (r *reading) refersTo(v any) error {
	text, _ := v.(string)
	path, ok := strings.CutPrefix(text, "#")
	if ok && path != "" {
		ok = strings.HasPrefix(path, "/")
	}
	target, err := url.PathUnescape(path)
	if !ok || err != nil {
		return r.fail("$ref", "does not point into the same document (#/...)")
	}
	r.n.refers, r.n.refTo = true, target
	return nil
}

func reference(n *node) map[string]any { return map[string]any{"$ref": "#/$defs/" + n.name()} }
