package policy

import (
	"errors"
	"strings"
)

// version2012 is the version of the language that knows policy variables.
const version2012 = "2012-10-17"

// What may be wrong about a policy variable.
var (
	errVariableBrace   = errors.New("a policy variable has no closing brace")
	errVariableEmpty   = errors.New("a policy variable names no key")
	errVariableSpace   = errors.New("a policy variable has white space before or after its key")
	errVariableKey     = errors.New("the key of a policy variable must be like prefix:name")
	errVariableDefault = errors.New("the default of a policy variable must stand in single quotes after a comma")
)

// compileText makes a pattern of a value. Wildcards are special if wild is true;
// variables and the escapes ${*}, ${?}, ${$} are if version knows them.
func compileText(value, version string, wild bool) (pattern, error) {
	var p pattern
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			p.tokens = append(p.tokens, token{kind: literal, text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(value); {
		switch c := value[i]; {
		case wild && c == '*':
			flush()
			p.addStar()
			i++
		case wild && c == '?':
			flush()
			p.tokens = append(p.tokens, token{kind: question})
			i++
		case version == version2012 && strings.HasPrefix(value[i:], "${"):
			t, n, err := parseVariable(value[i:])
			if err != nil {
				return pattern{}, err
			}
			i += n
			if t.kind == literal {
				text.WriteString(t.text)
				continue
			}
			flush()
			p.tokens = append(p.tokens, t)
			p.variables++
		default:
			text.WriteByte(c)
			i++
		}
	}
	flush()
	p.seal()
	return p, nil
}

// parseVariable reads the variable or escape at the start of s and returns how
// many bytes it takes.
func parseVariable(s string) (token, int, error) {
	end := strings.IndexByte(s, '}')
	if quote := strings.IndexByte(s, '\''); quote >= 0 && quote < end {
		// A brace may stand in the default.
		closing := strings.IndexByte(s[quote+1:], '\'')
		if closing < 0 {
			return token{}, 0, errVariableDefault
		}
		closing += quote + 1
		end = strings.IndexByte(s[closing:], '}')
		if end >= 0 {
			end += closing
		}
	}
	if end < 0 {
		return token{}, 0, errVariableBrace
	}
	inner := s[len("${"):end]
	switch inner {
	case "":
		return token{}, 0, errVariableEmpty
	case "*", "?", "$":
		return token{kind: literal, text: inner}, end + 1, nil
	}
	name, rest, hasDefault := strings.Cut(inner, ",")
	t := token{kind: variable, text: strings.ToLower(name), defaults: hasDefault}
	t.several = hasSeveral(t.text)
	if hasDefault {
		rest = strings.TrimLeft(rest, " ")
		if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' || strings.Contains(rest[1:len(rest)-1], "'") {
			return token{}, 0, errVariableDefault
		}
		t.fallback = rest[1 : len(rest)-1]
	}
	switch {
	case name == "":
		return token{}, 0, errVariableEmpty
	case strings.TrimSpace(name) != name:
		return token{}, 0, errVariableSpace
	case !validKey(name) || strings.ContainsAny(name, "{}$*?'"):
		return token{}, 0, errVariableKey
	}
	return t, end + 1, nil
}

// resolve returns the value of a variable: that of its key if the key has exactly
// one, may not have several, and it is not empty; else the default. Wildcards in it
// are ordinary characters.
//
// Source: IAM user guide, "Policy variables with no value".
func (t *token) resolve(keys Keys) (string, bool) {
	if keys != nil && !t.several {
		if values, ok := keys.Values(t.text); ok && len(values) == 1 && values[0] != "" {
			return values[0], true
		}
	}
	return t.fallback, t.defaults
}

// variableNames returns the keys of the variables in a value that was checked.
func variableNames(value, version string) []string {
	if version != version2012 {
		return nil
	}
	var names []string
	for {
		i := strings.Index(value, "${")
		if i < 0 {
			return names
		}
		value = value[i:]
		t, n, err := parseVariable(value)
		if err != nil {
			return names
		}
		if t.kind == variable {
			name, _, _ := strings.Cut(value[len("${"):n-1], ",")
			names = append(names, name)
		}
		value = value[n:]
	}
}
