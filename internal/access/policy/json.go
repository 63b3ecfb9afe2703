package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// member is one name of a JSON object with the text of its value.
type member struct {
	name  string
	value json.RawMessage
}

// Errors about the JSON of a policy. None repeats text of the policy.
var (
	errNotObject = errors.New("must be a JSON object")
	errNotString = errors.New("must be a string")
	errNotList   = errors.New("must be a string or a list of strings")
	errNotSingle = errors.New("must be a string, a number, a boolean or a list of them")
)

// members reads a JSON object. Its names may not repeat, not even in another
// case; the name that does is told by the element of the error that is returned.
func members(raw json.RawMessage) ([]member, *Error) {
	fail := func(element, format string, args ...any) ([]member, *Error) {
		return nil, &Error{Statement: -1, Element: element, Reason: fmt.Sprintf(format, args...)}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fail("", "%v", errNotObject)
	}
	var all []member
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return fail("", "%v", errNotObject)
		}
		if low := strings.ToLower(name); seen[low] {
			return fail(name, "stands twice")
		} else {
			seen[low] = true
		}
		m := member{name: name}
		if err := dec.Decode(&m.value); err != nil {
			return fail(name, "is no JSON value")
		}
		all = append(all, m)
	}
	return all, nil
}

// elements reads a JSON list, or makes a list of a single value that is none.
func elements(raw json.RawMessage) ([]json.RawMessage, error) {
	if raw[0] != '[' {
		return []json.RawMessage{raw}, nil
	}
	list := []json.RawMessage{}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	return list, nil
}

// text reads a JSON string.
func text(raw json.RawMessage) (string, error) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", errNotString
	}
	return s, nil
}

// texts reads a string or a list of strings. The list it returns is not nil.
func texts(raw json.RawMessage) ([]string, error) {
	list, err := elements(raw)
	if err != nil {
		return nil, errNotList
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, err := text(e)
		if err != nil {
			return nil, errNotList
		}
		out = append(out, s)
	}
	return out, nil
}

// scalars is like texts, and takes numbers and booleans as they are written.
func scalars(raw json.RawMessage) ([]string, error) {
	list, err := elements(raw)
	if err != nil {
		return nil, errNotSingle
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		switch e[0] {
		case '"':
			s, err := text(e)
			if err != nil {
				return nil, errNotSingle
			}
			out = append(out, s)
		case '{', '[', 'n':
			return nil, errNotSingle
		default:
			out = append(out, string(e))
		}
	}
	return out, nil
}

// checkJSON tells where a text stops to be one JSON value.
func checkJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	var value json.RawMessage
	if err := dec.Decode(&value); err != nil {
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("is no JSON: mistake at byte %d", e.Offset)
		}
		return errors.New("is no JSON: it ends too early")
	}
	end := dec.InputOffset()
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("is no JSON: something stands after byte %d", end)
	}
	return nil
}
