package main

import (
	"fmt"
	"go/format"
)

const actionsDir = awsapiDir + "actions/"

// accessConst returns the name of the awsapi.Access constant of a level, ""
// for an unknown one.
func accessConst(level string) string {
	return map[string]string{
		"List": "AccessList", "Read": "AccessRead", "Write": "AccessWrite",
		"Tagging": "AccessTagging", "Permissions management": "AccessPermissions",
	}[level]
}

// emitActions writes the table of package actions.
func emitActions(all []*authFacts, version string) ([]byte, error) {
	var s source
	s.begin("actions")
	s.p("import %q\n", awsapiPath)
	s.p("// Source is the release that the tables come from.")
	s.p("const Source = %q\n", version)
	s.p("var prefixes = [...]Prefix{")
	for _, f := range all {
		s.p("{")
		s.p("Name: %q,", f.Prefix)
		if len(f.Actions) > 0 {
			s.p("Actions: []Action{")
			for _, a := range f.Actions {
				var l lit
				l.str("Name", a.Name)
				l.raw("Access", "awsapi."+accessConst(a.Access))
				l.list("Resources", a.Resources)
				l.list("Keys", a.Keys)
				s.p("%s,", l.String())
			}
			s.p("},")
		}
		if len(f.Resources) > 0 {
			s.p("Resources: []Resource{")
			for _, r := range f.Resources {
				var l lit
				l.str("Name", r.Name)
				l.str("ARN", r.ARN)
				l.list("Keys", r.Keys)
				s.p("%s,", l.String())
			}
			s.p("},")
		}
		s.p("Keys: []Key{")
		for _, k := range f.Keys {
			s.p("{Name: %q, Type: %q},", k.Name, k.Type)
		}
		s.p("},\n},")
	}
	s.p("}")
	out, err := format.Source(s.text)
	if err != nil {
		return nil, fmt.Errorf("actions: %w", err)
	}
	return out, nil
}
