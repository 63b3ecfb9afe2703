package policy

import (
	"errors"
	"strings"
)

// What may be wrong about an action or a resource.
var (
	errActionForm     = errors.New(`an action must be "*" or like service:Name`)
	errActionService  = errors.New("the service of an action must be named without wildcards")
	errActionVariable = errors.New("an action may not have policy variables")
	errActionTrust    = errors.New("a role trust policy may name actions of sts alone")
	errResourceForm   = errors.New(`a resource must be an ARN or "*"`)
	errResourceFixed  = errors.New("the service of a resource must be named without wildcards")
	errResourceShort  = errors.New("an ARN must have six parts")
	errResourceEarly  = errors.New("policy variables may stand only behind the fifth colon of an ARN")
)

// statement is a Statement made ready for evaluation.
type statement struct {
	effect        Effect
	not           notForms
	actions       []serviceActions // by service; service "" stands for all
	resources     []pattern
	anyResource   bool // a resource is "*"
	ignoreTarget  bool // the kind has no resources
	principals    *principalList
	conditions    []condition
	needPrincipal bool
}

// notForms says which elements stand in their Not-form.
type notForms struct{ action, resource, principal bool }

// serviceActions are the patterns of the actions of one service.
type serviceActions struct {
	service string    // lower case; "" for the pattern "*"
	names   []pattern // of what stands behind the colon, lower case
}

// compile makes a statement ready, and checks its values.
func compile(s *Statement, kind Kind, version string) (statement, *Error) {
	c := statement{
		effect:        s.Effect,
		not:           notForms{s.NotActions != nil, s.NotResources != nil, s.NotPrincipals != nil},
		ignoreTarget:  kind == Trust,
		needPrincipal: kind.hasPrincipal(),
	}
	actions, element := s.Actions, "Action"
	if c.not.action {
		actions, element = s.NotActions, "NotAction"
	}
	if err := c.addActions(actions, kind, version); err != nil {
		return c, &Error{Element: element, Reason: err.Error()}
	}
	resources, element := s.Resources, "Resource"
	if c.not.resource {
		resources, element = s.NotResources, "NotResource"
	}
	for _, r := range resources {
		if r == "*" {
			c.anyResource = true
			continue
		}
		p, err := compileResource(r, kind, version)
		if err != nil {
			return c, &Error{Element: element, Reason: err.Error()}
		}
		c.resources = append(c.resources, p)
	}
	if c.not.principal {
		c.principals = compilePrincipals(s.NotPrincipals)
	} else {
		c.principals = compilePrincipals(s.Principals)
	}
	for i := range s.Conditions {
		cond, err := compileCondition(&s.Conditions[i], version)
		if err != nil {
			at := join(join("Condition", s.Conditions[i].Operator), s.Conditions[i].Key)
			return c, &Error{Element: at, Reason: err.Error()}
		}
		c.conditions = append(c.conditions, cond)
	}
	return c, nil
}

// addActions sorts patterns of actions by service.
func (c *statement) addActions(actions []string, kind Kind, version string) error {
	index := map[string]int{}
	for _, a := range actions {
		service, name, ok := strings.Cut(lower(a), ":")
		switch {
		case version == version2012 && strings.Contains(a, "${"):
			return errActionVariable
		case a == "*":
			service, name = "", "*"
		case !ok || service == "" || name == "":
			return errActionForm
		case strings.ContainsFunc(service, notInService):
			return errActionService
		case strings.ContainsFunc(name, notInAction):
			return errActionForm
		}
		if kind == Trust && service != "sts" {
			return errActionTrust
		}
		i, ok := index[service]
		if !ok {
			i = len(c.actions)
			index[service] = i
			c.actions = append(c.actions, serviceActions{service: service})
		}
		c.actions[i].names = append(c.actions[i].names, wildcards(name))
	}
	return nil
}

func notInService(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
}

func notInAction(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("*?-_.:", r)
}

// compileResource checks a pattern of an ARN and makes it ready.
//
// An ARN with fewer than six parts stands for all that begin with these parts: in
// identity-based policies always, in others if it ends in a star, in session
// policies not at all.
//
// Source: IAM user guide, "IAM identifiers", "incomplete ARN".
func compileResource(r string, kind Kind, version string) (pattern, error) {
	parts := strings.SplitN(r, ":", arnParts)
	switch {
	case len(parts) < 3 || parts[0] != "arn" || parts[1] == "" || parts[2] == "":
		return pattern{}, errResourceForm
	case strings.ContainsAny(parts[2], "*?"):
		return pattern{}, errResourceFixed
	case version == version2012 && strings.Contains(strings.Join(parts[:min(len(parts), arnParts-1)], ":"), "${"):
		return pattern{}, errResourceEarly
	}
	if missing := arnParts - len(parts); missing > 0 {
		if kind == Session || kind != Identity && kind != Boundary && !strings.HasSuffix(r, "*") {
			return pattern{}, errResourceShort
		}
		r += strings.Repeat(":*", missing)
	}
	p, err := compileText(r, version, true)
	p.bindParts()
	return p, err
}
