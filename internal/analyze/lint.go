package analyze

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/wire/awsapi/actions"
	"github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

// Weight says how much an issue weighs. The words are those of ValidatePolicy.
type Weight string

// The weights.
const (
	Error           Weight = "ERROR" // the policy does not work
	SecurityWarning Weight = "SECURITY_WARNING"
	Warning         Weight = "WARNING"
	Suggestion      Weight = "SUGGESTION"
)

// CodeWildcard is the code of the one issue that ValidatePolicy of AWS does not
// have: all of a service is allowed on every resource.
const CodeWildcard = "SERVICE_WILDCARD_WITH_STAR_IN_RESOURCE"

// Issue is something that is wrong, dangerous or needless in a policy.
type Issue struct {
	Weight     Weight
	Code       string // as AWS calls it, e.g. "INVALID_ACTION"
	Text       string // one sentence
	Path       []any  // names of elements and indices of lists, e.g. "Statement", 0, "Action", 1
	Begin, End Position
}

// linter collects the issues of one policy.
type linter struct {
	text    []byte
	outline *node
	known   *catalog
	effort  *effort
	issues  []Issue
}

func (l *linter) add(w Weight, code string, path []any, format string, args ...any) {
	at, depth := l.outline.find(path)
	l.issues = append(l.issues, Issue{
		Weight: w, Code: code, Text: fmt.Sprintf(format, args...), Path: path[:depth],
		Begin: positionOf(l.text, at.begin), End: positionOf(l.text, at.end),
	})
}

// Lint checks a policy of a kind: whether it can be read, whether its actions and
// condition keys exist, and whether it allows more than it should. Of a policy that
// cannot be read only the first error is told.
func Lint(text []byte, kind policy.Kind) []Issue {
	l := &linter{text: text, outline: outline(text), known: newCatalog(), effort: newEffort()}
	d, err := policy.Parse(text, kind)
	if err != nil {
		if bad, ok := errors.AsType[*policy.Error](err); ok {
			l.malformed(bad)
		}
		return l.issues
	}
	if d.Version() == "" {
		l.add(Warning, "MISSING_VERSION", []any{}, "Add the element Version; without it the policy is read as one of 2008-10-17.")
	}
	if kind == policy.Identity && policy.Size(text, kind) > policy.MaxManaged {
		l.add(Warning, "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", []any{}, "The policy has more than the %d characters that a managed policy may have.", policy.MaxManaged)
	}
	all := d.Statements()
	for i := range all {
		l.statement(i, &all[i], kind)
	}
	return l.issues
}

// malformed tells why a policy cannot be read.
func (l *linter) malformed(e *policy.Error) {
	path := []any{}
	if e.Statement >= 0 {
		path = append(path, "Statement", e.Statement)
	}
	if e.Element != "" {
		for _, part := range strings.SplitN(e.Element, ".", 3) {
			path = append(path, part)
		}
	}
	l.add(Error, codeOf(e), path, "%s.", e.Error())
}

// codeOf finds AWS's name of what is wrong.
func codeOf(e *policy.Error) string {
	element, below, deep := strings.Cut(e.Element, ".")
	plain := strings.TrimPrefix(element, "Not")
	has := func(s string) bool { return strings.Contains(e.Reason, s) }
	switch {
	case element == "" && e.Statement < 0:
		return "JSON_SYNTAX_ERROR"
	case has("is missing") && slices.Contains([]string{"Effect", "Action", "Resource", "Principal", "Statement"}, element):
		return "MISSING_" + strings.ToUpper(element)
	case has("unknown element"):
		return "INVALID_POLICY_ELEMENT"
	case has("stands beside"):
		return "UNSUPPORTED_ELEMENT_COMBINATION"
	case has("has no place") && plain == "Principal":
		return "UNSUPPORTED_PRINCIPAL"
	case has("has no place"), has("goes with the effect"):
		return "UNSUPPORTED_ELEMENT_COMBINATION"
	case element == "Version":
		return "INVALID_VERSION"
	case element == "Effect":
		return "INVALID_EFFECT"
	case element == "Sid" && has("another statement"):
		return "UNIQUE_SIDS_REQUIRED"
	case element == "Sid":
		return "UNSUPPORTED_SID"
	case plain == "Principal" && has("unknown kind"):
		return "INVALID_PRINCIPAL_KEY"
	case plain == "Principal" && has("wildcard"):
		return "UNSUPPORTED_WILDCARD_IN_PRINCIPAL"
	case plain == "Principal" && deep:
		return "INVALID_PRINCIPAL_FORMAT"
	case element == "Condition" && deep && !strings.Contains(below, "."):
		return "INVALID_CONDITION_OPERATOR"
	case element == "Condition" && has("must be like prefix:name"):
		return "INVALID_CONDITION_KEY_FORMAT"
	case element == "Condition" && deep:
		return "INVALID_CONDITION_DATA_TYPE"
	case plain == "Action":
		return "INVALID_ACTION"
	case plain == "Resource":
		return "INVALID_ARN_PREFIX"
	}
	return "DATA_TYPE_MISMATCH"
}

// statement checks one statement.
func (l *linter) statement(i int, s *policy.Statement, kind policy.Kind) {
	at := func(path ...any) []any { return append([]any{"Statement", i}, path...) }
	for j, a := range s.Actions {
		l.action(a, at("Action", j))
	}
	for j, a := range s.NotActions {
		l.action(a, at("NotAction", j))
	}
	for _, e := range []struct {
		name string
		list []string
		low  bool
	}{{"Action", s.Actions, true}, {"Resource", s.Resources, false}} {
		if e.list != nil && len(e.list) == 0 {
			l.add(Suggestion, "EMPTY_ARRAY_"+strings.ToUpper(e.name), at(e.name), "The element %s is empty, so the statement does nothing.", e.name)
		}
		list := e.list
		if e.low {
			list = lowered(list)
		}
		for j, p := range list {
			if k := slices.IndexFunc(list, func(o string) bool { return o != p && l.effort.covers(o, p) }); k >= 0 {
				l.add(Suggestion, "REDUNDANT_"+strings.ToUpper(e.name), at(e.name, j), "%s is a part of %s in the same statement.", e.list[j], e.list[k])
			} else if slices.Index(list, p) < j {
				l.add(Suggestion, "REDUNDANT_"+strings.ToUpper(e.name), at(e.name, j), "%s stands in the statement twice.", e.list[j])
			}
		}
	}
	for _, c := range s.Conditions {
		l.condition(&c, at("Condition", c.Operator, c.Key))
	}
	if kind == policy.Identity && s.Effect == policy.Allow {
		l.wide(s, at())
	}
}

// action checks that an action exists.
func (l *linter) action(pattern string, path []any) {
	service, name, ok := strings.Cut(pattern, ":")
	if !ok || strings.ContainsAny(service, "*?") {
		return
	}
	low := strings.ToLower(service)
	p := actions.Of(low)
	if low == outcrop.Model.SigningName || p != nil && p.Name != actions.Global {
		if !l.known.any(strings.ToLower(pattern)) {
			l.add(Error, "INVALID_ACTION", path, "There is no action %s of %s.", name, low)
		}
		return
	}
	l.add(Warning, "INVALID_SERVICE_IN_ACTION", path, "Nothing is known of a service %s here.", service)
}

// condition checks a condition key, and its values.
func (l *linter) condition(c *policy.Condition, path []any) {
	prefix, _, _ := strings.Cut(c.Key, ":")
	p := actions.Of(prefix)
	switch {
	case p == nil:
	case p.Name == actions.Global && !knownGlobal(p, c.Key):
		l.add(Error, "INVALID_GLOBAL_CONDITION_KEY", path, "There is no global condition key %s.", c.Key)
	case p.Name != actions.Global && p.Key(c.Key) == nil:
		l.add(Error, "INVALID_SERVICE_CONDITION_KEY", path, "The service %s has no condition key %s.", p.Name, c.Key)
	}
	op := strings.ToLower(c.Operator)
	if _, after, ok := strings.Cut(op, ":"); ok {
		op = after
	}
	if strings.HasPrefix(op, "string") && !strings.Contains(op, "like") && slices.ContainsFunc(c.Values, wild) {
		l.add(Warning, "WILDCARD_WITHOUT_LIKE_OPERATOR", path, "%s compares wildcards as characters; StringLike reads them as wildcards.", c.Operator)
	}
}

// wild tells whether a value has a wildcard, apart from those that are escaped.
func wild(v string) bool {
	return strings.ContainsAny(strings.NewReplacer("${*}", "", "${?}", "").Replace(v), "*?")
}

// knownGlobal tells whether a key is a global one, or one of a service that is
// written with the prefix aws.
func knownGlobal(p *actions.Prefix, key string) bool {
	return p.Key(key) != nil || slices.ContainsFunc(actions.Prefixes(), func(o *actions.Prefix) bool { return o.Key(key) != nil })
}

// wide checks whether a statement that allows is too wide.
func (l *linter) wide(s *policy.Statement, at []any) {
	if !slices.Contains(s.Resources, everything) {
		return
	}
	path := append(slices.Clone(at), "Resource")
	const pass = "iam:passrole"
	low := lowered(s.Actions)
	restricted := slices.ContainsFunc(s.Conditions, func(c policy.Condition) bool { return strings.EqualFold(c.Key, "iam:PassedToService") })
	switch {
	case restricted:
	case s.NotActions != nil && !l.effort.anyCovers(lowered(s.NotActions), pass):
		l.add(SecurityWarning, "PASS_ROLE_WITH_NOT_ACTION_AND_STAR_IN_RESOURCE", path, "The statement lets pass every role to every service. Name the roles, or ask for iam:PassedToService.")
	case slices.ContainsFunc(low, func(a string) bool { return strings.Trim(a, "*") == "" }):
		l.add(SecurityWarning, "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", path, "The statement allows everything, and so lets pass every role to every service. Name actions and resources.")
	case l.effort.anyCovers(low, pass):
		l.add(SecurityWarning, "PASS_ROLE_WITH_STAR_IN_RESOURCE", path, "The statement lets pass every role to every service. Name the roles, or ask for iam:PassedToService.")
	}
	for j, a := range s.Actions {
		if service, name, ok := strings.Cut(a, ":"); ok && name != "" && strings.Trim(name, "*") == "" {
			l.add(Suggestion, CodeWildcard, append(slices.Clone(at), "Action", j), "The statement allows all of %s on every resource. Name the actions and resources that are needed.", service)
		}
	}
}
