package familytest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/family"
)

// Bounds are values that a key takes, and values that it refuses, as JSON.
type Bounds struct{ Good, Bad []string }

// Ranges sets keys of a body, one after the other, to values at and beyond the
// ends of their ranges: the good ones are accepted, the bad ones refused by the
// name of the key. A key below the root is written with dots:
// "textGenerationConfig.topP".
func Ranges(t *testing.T, f family.Family, m family.Model, body string, keys map[string]Bounds) {
	t.Helper()
	for key, b := range keys {
		for _, value := range b.Good {
			if _, err := f.Parse(m, with(t, body, key, value)); err != nil {
				t.Errorf("%s: %s = %s: %v", m.ID, key, value, err)
			}
		}
		for _, value := range b.Bad {
			_, err := f.Parse(m, with(t, body, key, value))
			if err == nil {
				t.Errorf("%s: %s = %s is accepted", m.ID, key, value)
				continue
			}
			checkError(t, err)
			if path := "#/" + strings.ReplaceAll(key, ".", "/"); !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %s = %s: the refusal does not name %s: %v", m.ID, key, value, path, err)
			}
		}
	}
}

// with is a body with one key set.
func with(t *testing.T, body, key, value string) []byte {
	t.Helper()
	root := tree(t, []byte(body))
	at := root
	parts := strings.Split(key, ".")
	for _, p := range parts[:len(parts)-1] {
		next, ok := at[p].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[p] = next
		}
		at = next
	}
	at[parts[len(parts)-1]] = json.RawMessage(value)
	return encode(t, root, "")
}
