package policy

import (
	"errors"
	"strings"
)

// What may be wrong about the name of a condition operator.
var (
	errOperator   = errors.New("unknown operator")
	errNullSuffix = errors.New("the operator Null goes with neither IfExists nor a set operator")
)

// test is what an operator does with one value, its negation left out.
type test uint8

const (
	stringEquals test = iota
	stringFold
	stringLike
	numericEquals
	numericLess
	numericLessEquals
	numericGreater
	numericGreaterEquals
	dateEquals
	dateLess
	dateLessEquals
	dateGreater
	dateGreaterEquals
	boolean
	binaryEquals
	ipAddress
	arnLike
	null
)

// quantifier is a set operator.
type quantifier uint8

const (
	single    quantifier = iota
	anyValue             // ForAnyValue:
	allValues            // ForAllValues:
)

// operator is a condition operator.
type operator struct {
	test     test
	negated  bool
	ifExists bool
	set      quantifier
}

// variables tells whether values of the operator may have policy variables. AWS's
// pages disagree about Bool; here it may.
func (o operator) variables() bool {
	switch o.test {
	case stringEquals, stringFold, stringLike, arnLike, boolean:
		return true
	}
	return false
}

// parseOperator reads the name of an operator, in any case.
func parseOperator(name string) (operator, error) {
	var o operator
	base, isAny := strings.CutPrefix(strings.ToLower(name), "foranyvalue:")
	base, isAll := strings.CutPrefix(base, "forallvalues:")
	switch {
	case isAny && isAll:
		return o, errOperator
	case isAny:
		o.set = anyValue
	case isAll:
		o.set = allValues
	}
	base, o.ifExists = strings.CutSuffix(base, "ifexists")
	switch base {
	case "stringequals", "stringnotequals":
		o.test, o.negated = stringEquals, base == "stringnotequals"
	case "stringequalsignorecase", "stringnotequalsignorecase":
		o.test, o.negated = stringFold, base == "stringnotequalsignorecase"
	case "stringlike", "stringnotlike":
		o.test, o.negated = stringLike, base == "stringnotlike"
	case "numericequals", "numericnotequals":
		o.test, o.negated = numericEquals, base == "numericnotequals"
	case "numericlessthan":
		o.test = numericLess
	case "numericlessthanequals":
		o.test = numericLessEquals
	case "numericgreaterthan":
		o.test = numericGreater
	case "numericgreaterthanequals":
		o.test = numericGreaterEquals
	case "dateequals", "datenotequals":
		o.test, o.negated = dateEquals, base == "datenotequals"
	case "datelessthan":
		o.test = dateLess
	case "datelessthanequals":
		o.test = dateLessEquals
	case "dategreaterthan":
		o.test = dateGreater
	case "dategreaterthanequals":
		o.test = dateGreaterEquals
	case "bool":
		o.test = boolean
	case "binaryequals":
		o.test = binaryEquals
	case "ipaddress", "notipaddress":
		o.test, o.negated = ipAddress, base == "notipaddress"
	case "arnequals", "arnnotequals":
		o.test, o.negated = arnLike, base == "arnnotequals"
	case "arnlike", "arnnotlike":
		o.test, o.negated = arnLike, base == "arnnotlike"
	case "null":
		o.test = null
		if o.ifExists || o.set != single {
			return o, errNullSuffix
		}
	default:
		return o, errOperator
	}
	return o, nil
}
