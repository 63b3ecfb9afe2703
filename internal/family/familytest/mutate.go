package familytest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tree reads a body into maps, slices and json.Number.
func tree(t testing.TB, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("body is not an object: %v", err)
	}
	return v
}

func encode(t testing.TB, v any, indent string) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// escaped writes JSON with every character of every text and key as \uXXXX.
func escaped(v any) []byte {
	var b bytes.Buffer
	var walk func(v any)
	str := func(s string) {
		b.WriteByte('"')
		for _, r := range s {
			if r > 0xffff {
				b.WriteRune(r)
				continue
			}
			hex := "000" + strconv.FormatInt(int64(r), 16)
			b.WriteString(`\u` + hex[len(hex)-4:])
		}
		b.WriteByte('"')
	}
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			b.WriteByte('{')
			for i, k := range slices.Sorted(maps.Keys(v)) {
				if i > 0 {
					b.WriteByte(',')
				}
				str(k)
				b.WriteByte(':')
				walk(v[k])
			}
			b.WriteByte('}')
		case []any:
			b.WriteByte('[')
			for i, x := range v {
				if i > 0 {
					b.WriteByte(',')
				}
				walk(x)
			}
			b.WriteByte(']')
		case string:
			str(v)
		case nil:
			b.WriteString("null")
		case bool:
			b.WriteString(strconv.FormatBool(v))
		case json.Number:
			b.WriteString(v.String())
		}
	}
	walk(v)
	return b.Bytes()
}

// place is one value of a body and how to change it.
type place struct {
	path string // e.g. "messages/0/role"
	key  string // nearest key
	old  any
	set  func(any)
	free bool // below or at a key of Subject.Free
}

// speaksOf reports whether a refusal is about the value, though it does not name
// the key: a call's id is named by its text, and so is a call's result that was
// taken away.
func (p place) speaksOf(refusal string, now any) bool {
	for _, below := range places(map[string]any{"was": p.old, "is": now}, "", "", nil, nil) {
		if s, ok := below.old.(string); ok && len(s) > 3 && strings.Contains(refusal, s) {
			return true
		}
	}
	return false
}

// places lists every value below the root.
func (s Subject) places(root any) []place {
	all := places(root, "", "", nil, nil)
	for i := range all {
		for _, name := range strings.Split(all[i].path, "/") {
			all[i].free = all[i].free || slices.Contains(s.Free, name)
		}
	}
	return all
}

// places lists every value below the root. set works on the given tree.
func places(v any, path, key string, set func(any), out []place) []place {
	if path != "" {
		out = append(out, place{path: path, key: key, old: v, set: set})
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = places(v[k], path+"/"+k, k, func(x any) { v[k] = x }, out)
		}
	case []any:
		for i := range v {
			out = places(v[i], path+"/"+strconv.Itoa(i), key, func(x any) { v[i] = x }, out)
		}
	}
	return out
}
