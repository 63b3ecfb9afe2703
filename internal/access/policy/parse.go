package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText is the longest text that Parse reads, in bytes. It is above every size
// that a caller may allow, white space included.
const maxText = 128 << 10

// maxDepth is how deep a text may be nested: the values of a condition lie in the
// sixth level.
const maxDepth = 6

// version2008 is the version of a document that names none.
const version2008 = "2008-10-17"

// Parse reads a policy of a kind and checks it: JSON with no name twice, known
// elements of the right form, those that the kind must have and none that it may
// not have, known operators with values that they can read, unique statement ids.
// The size is checked by the caller, see [MaxSize]; texts over 128 KiB are refused.
//
// Errors: *Error, which names statement and element.
func Parse(document []byte, kind Kind) (*Document, error) {
	d, err := parse(document, kind)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func parse(document []byte, kind Kind) (*Document, *Error) {
	fail := func(element, format string, args ...any) (*Document, *Error) {
		return nil, &Error{Statement: -1, Element: element, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(document) > maxText:
		return fail("", "the policy is longer than %d bytes", maxText)
	case !utf8.Valid(document):
		return fail("", "the policy is not UTF-8")
	case depth(document) > maxDepth:
		return fail("", "the policy is nested deeper than %d levels", maxDepth)
	}
	if err := checkJSON(document); err != nil {
		return fail("", "the policy %v", err)
	}
	all, problem := members(document)
	if problem != nil {
		return nil, problem
	}
	d := &Document{kind: kind, text: bytes.Clone(document)}
	var statements json.RawMessage
	for _, m := range all {
		var err error
		switch m.name {
		case "Version":
			d.version, err = text(m.value)
			if err == nil && d.version != version2012 && d.version != version2008 {
				return fail(m.name, "must be %s or %s", version2012, version2008)
			}
		case "Id":
			d.id, err = text(m.value)
		case "Statement":
			statements = m.value
		default:
			return fail(m.name, "unknown element")
		}
		if err != nil {
			return fail(m.name, "%v", err)
		}
	}
	if statements == nil {
		return fail("Statement", "is missing")
	}
	list, err := elements(statements)
	if err != nil || len(list) == 0 {
		return fail("Statement", "must be a statement or a list of at least one")
	}
	sids := map[string]bool{}
	for i, raw := range list {
		s, problem := parseStatement(raw, kind)
		if problem == nil && s.Sid != "" && sids[s.Sid] {
			problem = &Error{Element: "Sid", Reason: "another statement has the same"}
		}
		var c statement
		if problem == nil {
			c, problem = compile(&s, kind, d.version)
		}
		if problem != nil {
			problem.Statement, problem.Sid = i, s.Sid
			return nil, problem
		}
		sids[s.Sid] = true
		d.statements = append(d.statements, s)
		d.compiled = append(d.compiled, c)
	}
	return d, nil
}

// depth returns how deep lists and objects of a JSON text lie in each other.
func depth(raw []byte) int {
	deepest, now, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '{' || c == '['):
			now++
			deepest = max(deepest, now)
		case !inString && (c == '}' || c == ']'):
			now--
		}
	}
	return deepest
}

// parseStatement reads the form of a statement. The error lacks its number. The
// Sid is returned with an error too.
func parseStatement(raw json.RawMessage, kind Kind) (Statement, *Error) {
	var s Statement
	all, problem := members(raw)
	// The id first, for the errors of the others.
	for _, m := range all {
		if m.name == "Sid" {
			var err error
			if s.Sid, err = text(m.value); err != nil {
				return s, &Error{Element: "Sid", Reason: err.Error()}
			}
			if !validSid(s.Sid, kind) {
				s.Sid = ""
				return s, &Error{Element: "Sid", Reason: sidRule(kind)}
			}
		}
	}
	if problem != nil {
		return s, problem
	}
	for _, m := range all {
		var err error
		switch m.name {
		case "Sid":
		case "Effect":
			var e string
			switch e, err = text(m.value); {
			case err != nil:
			case e == "Allow":
				s.Effect = Allow
			case e == "Deny":
				s.Effect = Deny
			default:
				err = fmt.Errorf("must be Allow or Deny")
			}
		case "Action":
			s.Actions, err = texts(m.value)
		case "NotAction":
			s.NotActions, err = texts(m.value)
		case "Resource":
			s.Resources, err = texts(m.value)
		case "NotResource":
			s.NotResources, err = texts(m.value)
		case "Principal":
			s.Principals, problem = parsePrincipals(m.name, m.value)
		case "NotPrincipal":
			s.NotPrincipals, problem = parsePrincipals(m.name, m.value)
		case "Condition":
			s.Conditions, problem = parseConditions(m.value)
		default:
			err = fmt.Errorf("unknown element")
		}
		if problem != nil {
			return s, problem
		}
		if err != nil {
			return s, &Error{Element: m.name, Reason: err.Error()}
		}
	}
	return s, checkElements(&s, kind)
}

// checkElements checks which elements a statement has.
func checkElements(s *Statement, kind Kind) *Error {
	fail := func(element, format string, args ...any) *Error {
		return &Error{Element: element, Reason: fmt.Sprintf(format, args...)}
	}
	if s.Effect == None {
		return fail("Effect", "is missing")
	}
	for _, pair := range []struct {
		name     string
		has, not bool
		required bool
	}{
		{"Principal", s.Principals != nil, s.NotPrincipals != nil, kind.hasPrincipal()},
		{"Action", s.Actions != nil, s.NotActions != nil, true},
		{"Resource", s.Resources != nil, s.NotResources != nil, kind != Trust},
	} {
		switch given := pair.has || pair.not; {
		case pair.has && pair.not:
			return fail(pair.name, "stands beside Not%s", pair.name)
		case pair.required && !given:
			return fail(pair.name, "is missing")
		case !pair.required && pair.has:
			return fail(pair.name, "has no place in %s", kind.withArticle())
		case !pair.required && pair.not:
			return fail("Not"+pair.name, "has no place in %s", kind.withArticle())
		}
	}
	switch {
	case s.NotPrincipals != nil && kind == Trust:
		return fail("NotPrincipal", "has no place in %s", kind.withArticle())
	case s.NotPrincipals != nil && s.Effect == Allow:
		return fail("NotPrincipal", "goes with the effect Deny alone")
	case s.NotActions != nil && kind == Trust:
		return fail("NotAction", "has no place in %s", kind.withArticle())
	case s.NotActions != nil && len(s.NotActions) == 0:
		return fail("NotAction", "must name at least one action")
	case s.NotResources != nil && len(s.NotResources) == 0:
		return fail("NotResource", "must name at least one resource")
	}
	return nil
}

// parseConditions reads the element Condition.
func parseConditions(raw json.RawMessage) ([]Condition, *Error) {
	operators, problem := members(raw)
	if problem != nil {
		problem.Element = join("Condition", problem.Element)
		return nil, problem
	}
	var all []Condition
	for _, op := range operators {
		at := join("Condition", op.name)
		if _, err := parseOperator(op.name); err != nil {
			return nil, &Error{Element: at, Reason: err.Error()}
		}
		keys, problem := members(op.value)
		if problem != nil {
			problem.Element = join(at, problem.Element)
			return nil, problem
		}
		for _, k := range keys {
			values, err := scalars(k.value)
			if err == nil && len(values) == 0 {
				err = fmt.Errorf("must have at least one value")
			}
			if err == nil && !validKey(k.name) {
				err = fmt.Errorf("a condition key must be like prefix:name")
			}
			if err != nil {
				return nil, &Error{Element: join(at, k.name), Reason: err.Error()}
			}
			all = append(all, Condition{Operator: op.name, Key: k.name, Values: values})
		}
	}
	slices.SortFunc(all, func(a, b Condition) int {
		if c := strings.Compare(a.Operator, b.Operator); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	return all, nil
}

// parsePrincipals reads the element Principal or NotPrincipal.
func parsePrincipals(element string, raw json.RawMessage) (*Principals, *Error) {
	fail := func(at, format string, args ...any) (*Principals, *Error) {
		return nil, &Error{Element: at, Reason: fmt.Sprintf(format, args...)}
	}
	if raw[0] == '"' {
		if s, err := text(raw); err != nil || s != "*" {
			return fail(element, `must be "*" or a JSON object`)
		}
		return &Principals{Any: true}, nil
	}
	all, problem := members(raw)
	if problem != nil {
		problem.Element = join(element, problem.Element)
		return nil, problem
	}
	if len(all) == 0 {
		return fail(element, "names nobody")
	}
	p := &Principals{}
	for _, m := range all {
		at := join(element, m.name)
		values, err := texts(m.value)
		if err != nil {
			return fail(at, "%v", err)
		}
		if len(values) == 0 {
			return fail(at, "names nobody")
		}
		check := validPrincipal
		switch m.name {
		case "AWS":
			p.AWS, check = values, validAWSPrincipal
		case "Service":
			p.Service = values
		case "Federated":
			p.Federated = values
		case "CanonicalUser":
			p.CanonicalUser = values
		default:
			return fail(at, "unknown kind of principal")
		}
		for _, v := range values {
			if err := check(v); err != nil {
				return fail(at, "%v", err)
			}
		}
	}
	return p, nil
}

// join puts names of elements together.
func join(outer, inner string) string {
	if inner == "" {
		return outer
	}
	return outer + "." + inner
}

// validKey tells whether a condition key has the form prefix:name.
func validKey(key string) bool {
	prefix, name, ok := strings.Cut(key, ":")
	return ok && prefix != "" && name != "" && len(key) <= 512 &&
		strings.TrimSpace(key) == key && !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// validSid tells whether a statement may have the id. Resource-based policies of
// several services let it have spaces and more.
func validSid(sid string, kind Kind) bool {
	for _, r := range sid {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		case (kind == Resource || kind == Endpoint) && ' ' <= r && r <= '~':
		default:
			return false
		}
	}
	return len(sid) <= 256
}

// sidRule says what a statement id must be.
func sidRule(kind Kind) string {
	if kind == Resource || kind == Endpoint {
		return "must be at most 256 printable ASCII characters"
	}
	return "must be at most 256 of the characters A-Z, a-z and 0-9"
}
