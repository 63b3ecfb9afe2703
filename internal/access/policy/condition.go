package policy

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// What may be wrong about a value of a condition.
var (
	errNumber  = errors.New("a value must be a number")
	errDate    = errors.New("a value must be a date such as 2026-01-31T12:00:00Z, or seconds since 1970")
	errBoolean = errors.New("a value must be true or false")
	errBinary  = errors.New("a value must be base64")
	errAddress = errors.New("a value must be an IP address or a range such as 203.0.113.0/24")
	errARN     = errors.New(`a value must be an ARN with six parts, or "*"`)
)

// value is a value of a condition, made ready for its operator's test.
type value struct {
	text   string       // of texts without variables, of bytes
	like   pattern      // of patterns, and texts with variables
	arn    []pattern    // the six parts of an ARN without variables
	number float64      // of numbers
	when   time.Time    // of dates
	prefix netip.Prefix // of addresses
	truth  bool         // of booleans
}

// condition is one key of one operator, compiled.
type condition struct {
	operator
	key     string // lower case
	several bool   // the key is one that has several values
	values  []value
}

// hasSeveral tells whether a key may have several values, so that it needs a set
// operator even if it has one.
//
// Source: IAM user guide, "AWS global condition context keys", those with the value
// type "multivalued", and the authorization reference of STS.
func hasSeveral(key string) bool {
	switch key {
	case "aws:calledvia", "aws:principalorgpaths", "aws:principalservicenameslist", "aws:resourceorgpaths",
		"aws:sourceorgpaths", "aws:tagkeys", "aws:vpceorgpaths", "sts:transitivetagkeys":
		return true
	}
	return false
}

// compileCondition makes the values ready.
func compileCondition(c *Condition, version string) (condition, error) {
	o, err := parseOperator(c.Operator)
	if err != nil {
		return condition{}, err
	}
	key := strings.ToLower(c.Key)
	out := condition{operator: o, key: key, several: hasSeveral(key), values: make([]value, 0, len(c.Values))}
	for _, text := range c.Values {
		v, err := compileValue(text, o, version)
		if err != nil {
			return condition{}, err
		}
		out.values = append(out.values, v)
	}
	return out, nil
}

func compileValue(text string, o operator, version string) (value, error) {
	var v value
	var err error
	ok := true
	switch o.test {
	case stringEquals, stringFold:
		if v.like, err = compileText(text, version, false); err == nil && v.like.variables == 0 {
			v.text, _ = v.like.text(nil)
		}
	case stringLike:
		v.like, err = compileText(text, version, true)
	case arnLike:
		if v.like, err = compileText(text, version, true); err == nil && v.like.variables == 0 {
			v.arn, ok = splitARN(v.like.tokens)
		}
		if !ok {
			return v, errARN
		}
	case numericEquals, numericLess, numericLessEquals, numericGreater, numericGreaterEquals:
		if v.number, ok = parseNumber(text); !ok {
			return v, errNumber
		}
	case dateEquals, dateLess, dateLessEquals, dateGreater, dateGreaterEquals:
		if v.when, ok = parseDate(text); !ok {
			return v, errDate
		}
	case boolean:
		if v.like, err = compileText(text, version, false); err == nil && v.like.variables > 0 {
			break
		}
		if v.truth, ok = parseBool(text); !ok {
			return v, errBoolean
		}
	case null:
		if v.truth, ok = parseBool(text); !ok {
			return v, errBoolean
		}
	case binaryEquals:
		raw, decodeErr := base64.StdEncoding.Strict().DecodeString(text)
		if decodeErr != nil {
			return v, errBinary
		}
		v.text = string(raw)
	case ipAddress:
		if v.prefix, ok = parsePrefix(text); !ok {
			return v, errAddress
		}
	}
	return v, err
}

// holds tells whether the condition holds for a request.
func (c *condition) holds(keys Keys) bool {
	var values []string
	if keys != nil {
		if v, ok := keys.Values(c.key); ok {
			values = v
		}
	}
	if c.test == null {
		for i := range c.values {
			if c.values[i].truth == (len(values) == 0) {
				return true
			}
		}
		return false
	}
	if len(values) == 0 || c.set != single && len(values) == 1 && values[0] == "" {
		// To a set operator an empty text is an empty set too.
		switch {
		case c.ifExists || c.set == allValues:
			return true
		case c.set == anyValue:
			return false
		}
		return c.negated
	}
	switch {
	case c.set == allValues:
		for _, v := range values {
			if c.matches(v, keys) == c.negated {
				return false
			}
		}
		return true
	case c.set == single && (c.several || len(values) > 1):
		// AWS compares several values by set operators alone.
		return false
	}
	for _, v := range values {
		if c.matches(v, keys) != c.negated {
			return true
		}
	}
	return false
}

// matches tells whether a value of the request passes the test with one of the
// condition's values, the negation left out.
func (c *condition) matches(s string, keys Keys) bool {
	switch c.test {
	case stringEquals, stringFold, stringLike, arnLike:
		for i := range c.values {
			if c.values[i].matchesText(s, c.test, keys) {
				return true
			}
		}
	case numericEquals, numericLess, numericLessEquals, numericGreater, numericGreaterEquals:
		n, ok := parseNumber(s)
		for i := range c.values {
			if ok && c.test.passes(order(n, c.values[i].number)) {
				return true
			}
		}
	case dateEquals, dateLess, dateLessEquals, dateGreater, dateGreaterEquals:
		when, ok := parseDate(s)
		for i := range c.values {
			if ok && c.test.passes(when.Compare(c.values[i].when)) {
				return true
			}
		}
	case boolean:
		truth, ok := parseBool(s)
		for i := range c.values {
			want, known := c.values[i].truth, true
			if p := &c.values[i].like; p.variables > 0 {
				text, _ := p.text(keys)
				want, known = parseBool(text)
			}
			if ok && known && want == truth {
				return true
			}
		}
	case binaryEquals:
		raw, err := base64.StdEncoding.Strict().DecodeString(s)
		for i := range c.values {
			if err == nil && c.values[i].text == string(raw) {
				return true
			}
		}
	case ipAddress:
		addr, err := netip.ParseAddr(s)
		addr = addr.Unmap().WithZone("")
		for i := range c.values {
			if err == nil && c.values[i].prefix.Contains(addr) {
				return true
			}
		}
	case null:
	}
	return false
}

// matchesText compares texts.
func (v *value) matchesText(s string, t test, keys Keys) bool {
	switch {
	case t == arnLike:
		return v.matchesARN(s, keys)
	case t == stringLike:
		return v.like.matches(s, keys)
	case v.like.variables == 0 && t == stringEquals:
		return v.text == s
	case v.like.variables == 0:
		return strings.EqualFold(v.text, s)
	case t == stringEquals:
		return v.like.matches(s, keys)
	}
	text, ok := v.like.text(keys)
	return ok && strings.EqualFold(text, s)
}

// matchesARN compares the six parts of ARNs one by one, so that a wildcard does
// not reach over the colons of the first five.
func (v *value) matchesARN(s string, keys Keys) bool {
	parts := v.arn
	if v.like.variables > 0 {
		tokens := make([]token, 0, len(v.like.tokens))
		for _, t := range v.like.tokens {
			if t.kind == variable {
				text, ok := t.resolve(keys)
				if !ok {
					return false
				}
				t = token{kind: literal, text: text}
			}
			tokens = append(tokens, t)
		}
		var ok bool
		if parts, ok = splitARN(tokens); !ok {
			return false
		}
	}
	if strings.Count(s, ":") < arnParts-1 {
		return false
	}
	for i := range parts {
		part := s
		if i < arnParts-1 {
			part, s, _ = strings.Cut(s, ":")
		}
		if !parts[i].fits(part, false) {
			return false
		}
	}
	return true
}

// arnParts is the number of parts of an ARN.
const arnParts = 6

// splitARN cuts the pattern of an ARN at its first five colons. The pattern "*"
// alone stands for all ARNs.
func splitARN(tokens []token) ([]pattern, bool) {
	if len(tokens) == 1 && tokens[0].kind == star {
		parts := make([]pattern, arnParts)
		for i := range parts {
			parts[i] = pattern{tokens: tokens, shape: all}
		}
		return parts, true
	}
	parts := make([]pattern, 1, arnParts)
	for _, t := range tokens {
		last := &parts[len(parts)-1]
		if t.kind != literal {
			last.tokens = append(last.tokens, t)
			continue
		}
		for text := t.text; text != ""; {
			part, rest, colon := text, "", false
			if len(parts) < arnParts {
				part, rest, colon = strings.Cut(text, ":")
			}
			if part != "" {
				last.tokens = append(last.tokens, token{kind: literal, text: part})
			}
			if colon {
				parts = append(parts, pattern{})
				last = &parts[len(parts)-1]
			}
			text = rest
		}
	}
	for i := range parts {
		parts[i].seal()
	}
	return parts, len(parts) == arnParts
}

// order compares numbers.
func order(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// passes tells whether an order of two values passes a test on numbers or dates.
func (t test) passes(order int) bool {
	switch t {
	case numericEquals, dateEquals:
		return order == 0
	case numericLess, dateLess:
		return order < 0
	case numericLessEquals, dateLessEquals:
		return order <= 0
	case numericGreater, dateGreater:
		return order > 0
	case numericGreaterEquals, dateGreaterEquals:
		return order >= 0
	}
	return false
}
