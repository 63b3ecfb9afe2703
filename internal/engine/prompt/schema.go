package prompt

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Loosen leaves of the tools' schemas what every server takes, and reports
// whether there were any. A server may refuse a whole request for what it does not
// know in one schema: a reference to elsewhere, "true" for any value, a type of
// its own. Calls are held to the original schema by whoever asked for them.
func Loosen(tools []Tool) bool {
	for i := range tools {
		f := &tools[i].Function
		d := json.NewDecoder(bytes.NewReader(f.Parameters))
		d.UseNumber()
		var schema any
		if d.Decode(&schema) != nil {
			continue
		}
		if b, err := json.Marshal(looser(schema)); err == nil {
			f.Parameters = b
		}
	}
	return len(tools) > 0
}

// looser is a schema of the plainest keywords.
func looser(v any) any {
	out := map[string]any{}
	schema, ok := v.(map[string]any)
	if !ok { // true, false, or no schema at all
		return out
	}
	for key, v := range schema {
		switch key {
		case "description", "title", "enum", "const", "required":
			out[key] = v
		case "type":
			if known(v) {
				out[key] = v
			}
		case "items":
			out[key] = looser(v)
		case "properties":
			if all, ok := v.(map[string]any); ok {
				to := make(map[string]any, len(all))
				for name, s := range all {
					to[name] = looser(s)
				}
				out[key] = to
			}
		case "anyOf", "oneOf":
			if all, ok := v.([]any); ok {
				to := make([]any, len(all))
				for i, s := range all {
					to[i] = looser(s)
				}
				out[key] = to
			}
		}
	}
	return out
}

// known reports whether a type is one of JSON Schema's, or a list of them.
func known(v any) bool {
	switch t := v.(type) {
	case string:
		return slices.Contains([]string{"string", "number", "integer", "boolean", "null", "array", "object"}, t)
	case []any:
		return !slices.ContainsFunc(t, func(v any) bool { _, ok := v.(string); return !ok || !known(v) })
	}
	return false
}
