package access

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Position is a place in the text of a policy, both counted from 1, columns in
// bytes.
type Position struct {
	Line, Column int
}

// position turns an offset into a Position.
func position(text []byte, offset int) Position {
	before := text[:min(offset, len(text))]
	return Position{
		Line:   1 + bytes.Count(before, []byte{'\n'}),
		Column: len(before) - bytes.LastIndexByte(before, '\n'),
	}
}

// span is where a statement stands.
type span struct{ begin, end int }

// statementSpans finds the statements in the text of a policy that has been
// parsed; what is no policy has none.
//
// IAM tells the place that its reader has reached: a statement that stands alone
// begins behind its opening brace, the first of a list behind the bracket, and
// another one behind the statement before it. It ends behind its closing brace.
// Source: examples of simulate-custom-policy and simulate-principal-policy in the
// AWS CLI reference.
func statementSpans(text []byte) []span {
	dec := json.NewDecoder(bytes.NewReader(text))
	var spans []span
	begin, depth := 0, 0
	inside, wanted := false, false // in the element Statement; the next value is it
	array := 0                     // depth of its array, 0: there is none
	key := true                    // of the next token at depth 1
	for {
		t, err := dec.Token()
		if err != nil {
			return spans
		}
		delim, isDelim := t.(json.Delim)
		switch {
		case isDelim && (delim == '{' || delim == '['):
			depth++
			if depth == 2 && wanted {
				inside = true
				begin = int(dec.InputOffset())
				if delim == '[' {
					array = depth
				}
			}
		case isDelim:
			if delim == '}' && inside && depth == max(array+1, 2) {
				end := int(dec.InputOffset())
				spans = append(spans, span{begin, end})
				begin = end
			}
			depth--
			if depth == 1 {
				inside, array, key = false, 0, true
			}
		case depth == 1 && key:
			name, _ := t.(string)
			wanted, key = strings.EqualFold(name, "Statement"), false
		case depth == 1:
			key = true
		}
	}
}
