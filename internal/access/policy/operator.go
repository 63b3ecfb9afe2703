package policy

import (
	"errors"
	"strings"
)

// What may be wrong about the name of a condition operator.
var (
	errOperator   = errors.New("unknown operator")
	errNullSuffix = errors.New("Null goes with neither IfExists nor a set operator")
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

// parseOperator reads the name of an operator.
func parseOperator(name string) (operator, error) {
	var o operator
	base, isAny := strings.CutPrefix(name, "ForAnyValue:")
	base, isAll := strings.CutPrefix(base, "ForAllValues:")
	switch {
	case isAny && isAll:
		return o, errOperator
	case isAny:
		o.set = anyValue
	case isAll:
		o.set = allValues
	}
	base, o.ifExists = strings.CutSuffix(base, "IfExists")
	switch base {
	case "StringEquals", "StringNotEquals":
		o.test, o.negated = stringEquals, base == "StringNotEquals"
	case "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase":
		o.test, o.negated = stringFold, base == "StringNotEqualsIgnoreCase"
	case "StringLike", "StringNotLike":
		o.test, o.negated = stringLike, base == "StringNotLike"
	case "NumericEquals", "NumericNotEquals":
		o.test, o.negated = numericEquals, base == "NumericNotEquals"
	case "NumericLessThan":
		o.test = numericLess
	case "NumericLessThanEquals":
		o.test = numericLessEquals
	case "NumericGreaterThan":
		o.test = numericGreater
	case "NumericGreaterThanEquals":
		o.test = numericGreaterEquals
	case "DateEquals", "DateNotEquals":
		o.test, o.negated = dateEquals, base == "DateNotEquals"
	case "DateLessThan":
		o.test = dateLess
	case "DateLessThanEquals":
		o.test = dateLessEquals
	case "DateGreaterThan":
		o.test = dateGreater
	case "DateGreaterThanEquals":
		o.test = dateGreaterEquals
	case "Bool":
		o.test = boolean
	case "BinaryEquals":
		o.test = binaryEquals
	case "IpAddress", "NotIpAddress":
		o.test, o.negated = ipAddress, base == "NotIpAddress"
	case "ArnEquals", "ArnNotEquals":
		o.test, o.negated = arnLike, base == "ArnNotEquals"
	case "ArnLike", "ArnNotLike":
		o.test, o.negated = arnLike, base == "ArnNotLike"
	case "Null":
		o.test = null
		if o.ifExists || o.set != single {
			return o, errNullSuffix
		}
	default:
		return o, errOperator
	}
	return o, nil
}
