package toolcall

import (
	"encoding/json"

	"github.com/outcrop/outcrop/internal/llm"
)

const (
	// maxTools is how many tools a request may have. Each costs some tokens of the
	// prompt, and each an alternative in a grammar.
	maxTools = 1000
	// maxNative is how many bytes a template's own tools may have together. How
	// many of their words it leaves out is not known, so they cannot be refused for
	// their length before the engine has read them.
	maxNative = 256 << 10
	// maxWidth bounds the work of an engine that makes grammars of schemas: it
	// grows with the square of the optional members of an object, at least.
	// llama.cpp takes 0.5 s for 400 of them, 12 s for 1,600, and cannot be stopped.
	maxWidth = 400 * 400
	// maxGrammar is how many bytes of schemas one grammar of ours is made of. A
	// schema of many members takes some 10 ms for a kilobyte.
	maxGrammar = 512 << 10
)

// heavy reports whether tools are too much for the engine to read as such. They
// are then told in our words.
func heavy(tools []llm.Tool) bool {
	size, width := 0, 0
	for i := range tools {
		if size += len(tools[i].Description) + len(tools[i].Schema); size > maxNative {
			return true
		}
	}
	for i := range tools {
		var schema any
		if json.Unmarshal(tools[i].Schema, &schema) != nil {
			continue
		}
		members, merged := 0, 1
		measure(schema, &members, &merged)
		if members > maxWidth || merged > maxWidth {
			return true
		}
		members *= merged
		if width += members * members; width > maxWidth {
			return true
		}
	}
	return false
}

// measure counts the members that a schema names, and the schemas of its allOf,
// which an engine puts together into one object, one of them as often as it is
// referred to.
func measure(v any, members, merged *int) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			measure(item, members, merged)
		}
	case map[string]any:
		for key, item := range v {
			switch item := item.(type) {
			case map[string]any:
				if key == "properties" {
					*members += len(item)
				}
			case []any:
				if key == "allOf" {
					*merged += len(item)
				}
			}
			measure(item, members, merged)
		}
	}
}
