// Package toolcall brings tools and JSON formats to weights and reads calls back.
//
// Weights differ: the chat template of some knows tools, that of others does
// not, and none can be trusted to call when it must or to write JSON that fits a
// schema. Lower decides, request by request, what is told to the weights (their
// own tools, or a text of ours among the system texts), which grammar holds
// their reply, and how the reply is turned into calls.
//
//	choice      template    told by     grammar                        calls found by
//	any, named  any         either      one call of an allowed tool    this package
//	auto        knows       template    none                           the engine
//	auto        none        our text    text, or calls in markers      this package
//	auto        any, strict our text    text, or calls in markers      this package
//	none        any         either      none                           nobody
//
// Tools whose schemas are too much for an engine are told by our text always.
//
// With a Format the grammar is that of its schema; beside tools that the model
// may use, it is a JSON text or calls in markers.
package toolcall

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/outcrop/outcrop/internal/jsonschema"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Template says what the chat template of some weights knows.
type Template bool

// The two kinds of templates.
const (
	Plain  Template = false // no tools: they are told in our words
	Native Template = true  // tools, calls and results; engine.Info.Tools
)

// Raise turns the events of a lowered request into those of the request.
type Raise func(llm.Events) llm.Events

// Lower turns r into a request that weights with the given template can answer,
// and returns how its events become those of r. A request without tools, tool
// blocks and format comes back as it is, with a nil Raise. r is never changed;
// the lowered request shares what stayed the same.
//
// Errors are ValidationException: a schema that cannot be used (with its tool,
// the place in the schema and the keyword), a name in the choice that no tool
// has, two tools of one name, more than 1,000 tools, a format beside a choice that forces a call or
// beside a prefill.
func Lower(r *llm.Request, t Template) (*llm.Request, Raise, error) {
	if len(r.Tools) == 0 && r.Format == nil && !hasToolBlocks(r.Messages) {
		return r, nil, nil
	}
	p := newPlan(r, t)
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	if err := p.build(); err != nil {
		return nil, nil, err
	}
	return p.lowered(), p.raise(), nil
}

// Told is r as Lower tells it to the weights, for counting its tokens: without a
// grammar, and without a check.
func Told(r *llm.Request, t Template) *llm.Request {
	if len(r.Tools) == 0 && r.Format == nil && !hasToolBlocks(r.Messages) {
		return r
	}
	return newPlan(r, t).lowered()
}

func hasToolBlocks(messages []llm.Message) bool {
	for i := range messages {
		for j := range messages[i].Content {
			if k := messages[i].Content[j].Kind; k == llm.ToolCall || k == llm.ToolResult {
				return true
			}
		}
	}
	return false
}

// way is how a reply is read.
type way uint8

const (
	asItIs  way = iota // text is text
	engines            // the engine finds the calls
	forced             // the reply is one call
	marked             // calls stand between markers in the text
)

// tool is an allowed tool. schema is nil when its inputs are not held against it.
type tool struct {
	name   string
	schema *jsonschema.Schema
	rule   string // of the grammar, for its input
}

// plan is what Lower decides about one request.
type plan struct {
	req     *llm.Request
	way     way
	plain   bool // tools are told in our words
	tools   []tool
	held    int // bytes of the schemas of tools
	format  *jsonschema.Schema
	grammar string
}

func newPlan(r *llm.Request, t Template) *plan {
	p := &plan{req: r, plain: t == Plain || heavy(r.Tools)}
	switch {
	case len(r.Tools) == 0, r.Choice.Kind == llm.ChooseNone:
	case r.Choice.Kind == llm.ChooseAny, r.Choice.Kind == llm.ChooseNamed:
		p.way = forced
	case p.plain, r.Format != nil, slices.ContainsFunc(r.Tools, func(t llm.Tool) bool { return t.Strict }):
		p.way, p.plain = marked, true
	default:
		p.way = engines
	}
	return p
}

// check refuses what no weights could answer.
func (p *plan) check() error {
	r := p.req
	if n := len(r.Tools); n > maxTools {
		return apierr.Validation("tools: a request may have at most %d tools, this one has %d.", maxTools, n)
	}
	named := r.Choice.Kind != llm.ChooseNamed
	known := make(map[string]int, len(r.Tools))
	for i := range r.Tools {
		name := r.Tools[i].Name
		named = named || name == r.Choice.Name
		if j, twice := known[name]; twice {
			return apierr.Validation("tools.%d: the tool name %q is already used at tools.%d.", i, name, j)
		}
		known[name] = i
	}
	if !named {
		return apierr.Validation("The tool %q of the tool choice is not among the tools.", r.Choice.Name)
	}
	if r.Choice.Kind == llm.ChooseAny && len(r.Tools) == 0 {
		return apierr.Validation("The tool choice asks for a call of any tool, and there are no tools.")
	}
	if r.Format == nil {
		return nil
	}
	if r.Choice.Kind == llm.ChooseAny || r.Choice.Kind == llm.ChooseNamed {
		return apierr.Validation("An output format (outputConfig.textFormat) and a tool choice that asks for a call (toolConfig.toolChoice any or tool) exclude each other: the reply cannot be both.")
	}
	if n := len(r.Messages); n > 0 && r.Messages[n-1].Role == llm.Assistant {
		return apierr.Validation("An output format (outputConfig.textFormat) needs a user turn at the end: a reply that continues an assistant turn is no JSON text by itself.")
	}
	return nil
}

// build reads the schemas and makes the grammar.
func (p *plan) build() error {
	for i := range p.req.Tools {
		if err := checkSchema(i, &p.req.Tools[i]); err != nil {
			return err
		}
	}
	g := &jsonschema.Grammar{}
	if p.way == forced || p.way == marked {
		for i := range p.req.Tools {
			if c := p.req.Choice; c.Kind == llm.ChooseNamed && c.Name != p.req.Tools[i].Name {
				continue
			}
			if err := p.addTool(g, i); err != nil {
				return err
			}
		}
	}
	format := ""
	if f := p.req.Format; f != nil {
		raw := f.Schema
		if len(raw) == 0 {
			raw = anyObject
		}
		var err error
		if p.format, format, err = compile(g, raw, "format"); err != nil {
			return refuse(err, "The schema of the output format")
		}
	}
	switch {
	case p.way == forced:
		forcedGrammar(g, p.tools)
	case p.way == marked:
		markedGrammar(g, p.tools, format)
	case format != "":
		g.Rule("root", format)
	default:
		return nil
	}
	p.grammar = g.String()
	return nil
}

// addTool makes the rule for the inputs of a tool. A tool that need not be
// called and is not strict may have a schema that we cannot hold its inputs to.
func (p *plan) addTool(g *jsonschema.Grammar, i int) error {
	t := &p.req.Tools[i]
	prefix := "t" + itoa(i)
	var (
		schema *jsonschema.Schema
		rule   string
		err    error
	)
	p.held += len(t.Schema)
	switch {
	case p.held > maxGrammar:
		err = &jsonschema.Error{Reason: "the schemas up to here have more than " + itoa(maxGrammar) + " bytes together, too many to be guaranteed"}
	case g.Spent():
		err = &jsonschema.Error{Reason: "the schemas up to here are too complex together to be guaranteed"}
	default:
		schema, rule, err = compile(g, inputSchema(t), prefix)
	}
	if _, ok := errors.AsType[*jsonschema.Error](err); ok && p.way == marked && !t.Strict {
		_, rule, err = compile(g, anyObject, prefix+"any")
		schema = nil
	}
	if err != nil {
		return refuse(err, "The schema of tool %q at tools.%d", t.Name, i)
	}
	p.tools = append(p.tools, tool{t.Name, schema, rule})
	return nil
}

func compile(g *jsonschema.Grammar, raw []byte, prefix string) (*jsonschema.Schema, string, error) {
	s, err := jsonschema.Parse(raw)
	if err != nil {
		return nil, "", err
	}
	rule, err := s.Grammar(g, prefix)
	return s, rule, err
}

// refuse is the error for a schema; what names it.
func refuse(err error, what string, args ...any) error {
	e, ok := errors.AsType[*jsonschema.Error](err)
	if !ok {
		return err
	}
	at := e.Pointer
	if at == "" {
		at = "/"
	}
	a := apierr.Validation(what, args...)
	if e.Keyword != "" {
		a.Message += ": keyword " + e.Keyword + " at " + at + " " + e.Reason + "."
	} else {
		a.Message += ": at " + at + ": " + e.Reason + "."
	}
	return a.WithCause(err)
}

var anyObject = []byte(`{"type":"object"}`)

// inputSchema is the schema of a tool, with the type that every input has.
func inputSchema(t *llm.Tool) []byte {
	raw := bytes.TrimSpace(t.Schema)
	if len(raw) == 0 {
		return anyObject
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(raw, &top) != nil {
		return raw
	}
	if _, ok := top["type"]; ok {
		return raw
	}
	out := append([]byte(`{"type":"object"`), raw[1:]...)
	if len(top) > 0 {
		out = append([]byte(`{"type":"object",`), raw[1:]...)
	}
	return out
}

// checkSchema refuses schemas of anything but objects.
func checkSchema(i int, t *llm.Tool) error {
	if len(t.Schema) == 0 {
		return nil
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(t.Schema, &top); err != nil || top == nil {
		return apierr.Validation("The schema of tool %q at tools.%d is not a JSON object.", t.Name, i)
	}
	if kind, ok := top["type"]; ok {
		var name string
		if json.Unmarshal(kind, &name) != nil || name != "object" {
			return apierr.Validation("The schema of tool %q at tools.%d: type must be object.", t.Name, i)
		}
	}
	return nil
}
