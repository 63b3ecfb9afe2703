package toolcall

import (
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/jsonschema"
)

func itoa(i int) string { return strconv.Itoa(i) }

// callRule is the body for one call of any of the tools, compact.
func callRule(tools []tool) string {
	alternatives := make([]string, len(tools))
	for i, t := range tools {
		alternatives[i] = jsonschema.Literal(`{"name":`+quote(t.name)+`,"arguments":`) + " " + t.rule + ` "}"`
	}
	return strings.Join(alternatives, " | ")
}

// forcedGrammar: the reply is one call.
func forcedGrammar(g *jsonschema.Grammar, tools []tool) {
	g.Rule("root", callRule(tools))
}

// markedGrammar: the reply is text, or a JSON text of the rule format when that
// is not "", and calls in markers may follow text or stand alone.
//
// Free text must not hold the opening marker, which is said letter by letter:
// rule text-N continues a text that ends with the first N bytes of it. At each
// byte one alternative fits at most, so the engine follows a single path.
func markedGrammar(g *jsonschema.Grammar, tools []tool, format string) {
	g.Rule("call", callRule(tools))
	g.Rule("calls", `call `+jsonschema.Literal(closing)+` ("\n"? `+jsonschema.Literal(opening)+` calls)?`)
	if format != "" {
		g.Rule("root", format+" | "+jsonschema.Literal(opening)+" calls")
		return
	}
	g.Rule("root", "text-0")
	g.Rule("text-0", `([^`+opening[:1]+`] text-0 | "`+opening[:1]+`" text-1)?`)
	for n := 1; n < len(opening); n++ {
		next, rule := opening[n:n+1], "calls"
		if n+1 < len(opening) {
			rule = "text-" + itoa(n+1)
		}
		g.Rule("text-"+itoa(n), `("`+next+`" `+rule+` | "`+opening[:1]+`" text-1 | [^`+opening[:1]+next+`] text-0)?`)
	}
}
