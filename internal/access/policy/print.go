package policy

import (
	"bytes"
	"encoding/json"
)

// Print writes the document in one fixed form: compact JSON, elements in the order
// of AWS's grammar, a list of one value as the value, conditions sorted, Statement
// always a list. Parsing the result gives an equal document, which prints alike.
func (d *Document) Print() []byte {
	var w printer
	w.open('{')
	if d.version != "" {
		w.name("Version")
		w.text(d.version)
	}
	if d.id != "" {
		w.name("Id")
		w.text(d.id)
	}
	w.name("Statement")
	w.open('[')
	for i := range d.statements {
		w.comma()
		w.statement(&d.statements[i])
	}
	w.close(']')
	w.close('}')
	return w.out.Bytes()
}

// printer writes JSON.
type printer struct {
	out   bytes.Buffer
	first bool // nothing stands in the open list or object yet
}

func (w *printer) statement(s *Statement) {
	w.open('{')
	if s.Sid != "" {
		w.name("Sid")
		w.text(s.Sid)
	}
	w.name("Effect")
	w.text(s.Effect.String())
	w.principals("Principal", s.Principals)
	w.principals("NotPrincipal", s.NotPrincipals)
	w.list("Action", s.Actions)
	w.list("NotAction", s.NotActions)
	w.list("Resource", s.Resources)
	w.list("NotResource", s.NotResources)
	if len(s.Conditions) > 0 {
		w.name("Condition")
		w.open('{')
		for i := range s.Conditions {
			c := &s.Conditions[i]
			if i == 0 || s.Conditions[i-1].Operator != c.Operator {
				if i > 0 {
					w.close('}')
				}
				w.name(c.Operator)
				w.open('{')
			}
			w.list(c.Key, c.Values)
		}
		w.close('}')
		w.close('}')
	}
	w.close('}')
}

func (w *printer) principals(name string, p *Principals) {
	switch {
	case p == nil:
	case p.Any:
		w.name(name)
		w.text("*")
	default:
		w.name(name)
		w.open('{')
		w.list("AWS", p.AWS)
		w.list("Service", p.Service)
		w.list("Federated", p.Federated)
		w.list("CanonicalUser", p.CanonicalUser)
		w.close('}')
	}
}

// list writes a member with a list of texts, nothing if the list is nil.
func (w *printer) list(name string, values []string) {
	if values == nil {
		return
	}
	w.name(name)
	if len(values) == 1 {
		w.text(values[0])
		return
	}
	w.open('[')
	for _, v := range values {
		w.comma()
		w.text(v)
	}
	w.close(']')
}

func (w *printer) open(c byte) {
	w.out.WriteByte(c)
	w.first = true
}

func (w *printer) close(c byte) {
	w.out.WriteByte(c)
	w.first = false
}

func (w *printer) comma() {
	if !w.first {
		w.out.WriteByte(',')
	}
	w.first = false
}

func (w *printer) name(s string) {
	w.comma()
	w.text(s)
	w.out.WriteByte(':')
}

func (w *printer) text(s string) {
	enc := json.NewEncoder(&w.out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string into memory
	w.out.Truncate(w.out.Len() - len("\n"))
}
