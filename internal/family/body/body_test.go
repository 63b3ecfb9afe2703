package body

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/llm"
)

func parse(t *testing.T, s string) *Value {
	t.Helper()
	v, err := Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	pre  = "ValidationException: Malformed input request: "
	post = ", please reformat your input and try again."
)

func TestViolations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		read func(*Value)
		want string
	}{
		"required":      {`{}`, func(v *Value) { v.Require("a") }, "#: required key [a] not found"},
		"extraneous":    {`{"a":1}`, func(v *Value) { v.Close() }, "#: extraneous key [a] is not permitted"},
		"two":           {`{"b":1}`, func(v *Value) { v.Require("a"); v.Close() }, "#: required key [a] not found#: extraneous key [b] is not permitted"},
		"string":        {`{"a":1}`, func(v *Value) { v.Get("a").Text(Length{}) }, "#/a: expected type: String, found: Integer"},
		"integer":       {`{"a":1.0}`, func(v *Value) { v.Get("a").Int(AtLeast(0)) }, "#/a: expected type: Integer, found: Double"},
		"number":        {`{"a":null}`, func(v *Value) { v.Get("a").Num(AtLeast(0)) }, "#/a: expected type: Number, found: Null"},
		"boolean":       {`{"a":[]}`, func(v *Value) { v.Get("a").Bool() }, "#/a: expected type: Boolean, found: JSONArray"},
		"array":         {`{"a":{}}`, func(v *Value) { v.Get("a").Items(Length{}) }, "#/a: expected type: JSONArray, found: JSONObject"},
		"object":        {`{"a":true}`, func(v *Value) { v.Get("a").Object() }, "#/a: expected type: JSONObject, found: Boolean"},
		"maximum":       {`{"a":2}`, func(v *Value) { v.Get("a").Num(Range{Max: 1}) }, "#/a: 2 is not less or equal to 1"},
		"minimum":       {`{"a":-0.5}`, func(v *Value) { v.Get("a").Num(Range{Max: 0.5}) }, "#/a: -0.5 is not greater or equal to 0"},
		"open minimum":  {`{"a":0}`, func(v *Value) { v.Get("a").Num(Range{Max: 1, Above: true}) }, "#/a: 0 is not greater than 0"},
		"int maximum":   {`{"a":99999999999}`, func(v *Value) { v.Get("a").Int(AtLeast(1)) }, "#/a: 99999999999 is not less or equal to 2147483647"},
		"huge":          {`{"a":1e999}`, func(v *Value) { v.Get("a").Num(AtLeast(0)) }, "#/a: 1e999 is not less or equal to 1.7976931348623157e+308"},
		"short":         {`{"a":""}`, func(v *Value) { v.Get("a").Text(Length{Min: 1}) }, "#/a: expected minLength: 1, actual: 0"},
		"long":          {`{"a":"éé"}`, func(v *Value) { v.Get("a").Text(Length{Max: 1}) }, "#/a: expected maxLength: 1, actual: 2"},
		"few":           {`{"a":[]}`, func(v *Value) { v.Get("a").Items(Length{Min: 1}) }, "#/a: expected minimum item count: 1, found: 0"},
		"many":          {`{"a":[1,2]}`, func(v *Value) { v.Get("a").Items(Length{Max: 1}) }, "#/a: expected maximum item count: 1, found: 2"},
		"enum":          {`{"a":"x"}`, func(v *Value) { v.Get("a").Enum("y", "z") }, "#/a: x is not a valid enum value"},
		"enum type":     {`{"a":1}`, func(v *Value) { v.Get("a").Enum("y") }, "#/a: expected type: String, found: Integer"},
		"nested":        {`{"a":[{"b":1}]}`, func(v *Value) { v.Get("a").Items(Length{})[0].Get("b").Text(Length{}) }, "#/a/0/b: expected type: String, found: Integer"},
		"item":          {`{"a":["x",1]}`, func(v *Value) { v.Get("a").Texts(Length{}) }, "#/a/1: expected type: String, found: Integer"},
		"case":          {`{"A":1}`, func(v *Value) { v.Get("a"); v.Close() }, "#: extraneous key [A] is not permitted"},
		"unsafe key":    {`{"a\nb\u0000":1}`, func(v *Value) { v.Close() }, "#: extraneous key [a?b?] is not permitted"},
		"long key":      {`{"` + strings.Repeat("k", 100) + `":1}`, func(v *Value) { v.Close() }, "#: extraneous key [" + strings.Repeat("k", 64) + "...] is not permitted"},
		"too many":      {`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1}`, func(v *Value) { v.Close() }, "17 schema violations found"},
		"number values": {`{"a":-1.5e1}`, func(v *Value) { v.Get("a").Num(Range{Min: -2, Max: 1}) }, "#/a: -1.5e1 is not greater or equal to -2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := parse(t, c.body)
			c.read(v)
			err := v.Err()
			if err == nil || err.Error() != pre+c.want+post {
				t.Errorf("got  %v\nwant %s", err, pre+c.want+post)
			}
		})
	}
}

func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                                      "ValidationException: Malformed input request" + post,
		"{":                                     "ValidationException: Malformed input request" + post,
		`{"a":"` + "\n" + `"}`:                  "ValidationException: Malformed input request" + post,
		`{"a":"\x"}`:                            "ValidationException: Malformed input request" + post,
		`{"a":"\u12"}`:                          "ValidationException: Malformed input request" + post,
		`{"a":1.}`:                              "ValidationException: Malformed input request" + post,
		`{"a":.5}`:                              "ValidationException: Malformed input request" + post,
		`{"a":1e}`:                              "ValidationException: Malformed input request" + post,
		`{"a":tru}`:                             "ValidationException: Malformed input request" + post,
		`{"a":1}x`:                              "ValidationException: Malformed input request" + post,
		`[]`:                                    pre + "#: expected type: JSONObject, found: JSONArray" + post,
		`"a"`:                                   pre + "#: expected type: JSONObject, found: String" + post,
		`{"a":1,"a":2}`:                         pre + "#: duplicate key [a]" + post,
		`{"a":1,"\u0061":2}`:                    pre + "#: duplicate key [a]" + post,
		"{\"a\":\"\xff\"}":                      pre + "the body is not valid UTF-8" + post,
		`{"a":` + strings.Repeat("[", MaxDepth): pre + "#: nested deeper than 100" + post,
	} {
		if _, err := Parse([]byte(body)); err == nil || err.Error() != want {
			t.Errorf("%.40q:\ngot  %v\nwant %s", body, err, want)
		}
	}
}

func TestAbsentValues(t *testing.T) {
	t.Parallel()
	v := parse(t, `{}`).Get("a")
	v.Require("b")
	v.Close()
	v.Skip("c")
	v.SkipAll()
	v.Violate("nothing")
	if v.Get("b").Text(Length{Min: 1}) != "" || v.Num(Range{}) != nil || v.Int(Range{}) != nil || v.Bool() != nil ||
		v.Items(Length{Min: 1}) != nil || v.Texts(Length{}) != nil || v.Object() != nil || v.Enum("x") != "" ||
		v.Kind() != 0 || v.Has("x") || v.Err() != nil {
		t.Error("an absent value is not zero")
	}
}

func TestGuardrailConfigIsTakenOut(t *testing.T) {
	t.Parallel()
	v := parse(t, `{"amazon-bedrock-guardrailConfig":{"tagSuffix":"x"}}`)
	v.Close()
	if err := v.Err(); err != nil {
		t.Error(err)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	v := parse(t, `{"messages":[{"content":[{"type":"image"}]}]}`)
	b := v.Get("messages").Items(Length{})[0].Get("content").Items(Length{})[0]
	if got := b.Dotted(); got != "messages.0.content.0" {
		t.Error(got)
	}
	if got := b.Pointer(); got != "#/messages/0/content/0" {
		t.Error(got)
	}
	if got := v.Dotted() + v.Pointer(); got != "#" {
		t.Error(got)
	}
}

// FuzzParse compares the reader with encoding/json: it accepts nothing that
// encoding/json refuses, reads the same values, and refuses only what is
// stricter here.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e-3,"x\n\u00e9\ud83e\udea8\ud83e",true,false,null,{}],"b":{"c":[]}}`, ` { } `, `{"a":1,"a":2}`, `{"\\":"\/\b\f"}`, `{"a":01}`, "{\"a\":\"\x7f\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if !json.Valid(data) {
			if err == nil {
				t.Fatalf("accepted, encoding/json refuses: %q", data)
			}
			return
		}
		if err != nil {
			s := err.Error()
			if strings.Contains(s, "duplicate key") || strings.Contains(s, "UTF-8") || strings.Contains(s, "JSONObject") ||
				strings.Contains(s, "nested deeper") || strings.Contains(s, "characters") || strings.Contains(s, "values") {
				return
			}
			t.Fatalf("refused: %v\n%q", err, data)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := plain(v.n); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v\nwant %#v", got, want)
		}
	})
}

func plain(n *node) any {
	switch n.kind {
	case Null:
		return nil
	case Bool:
		return n.str == "true"
	case Number:
		return json.Number(n.str)
	case String:
		return n.str
	case Array:
		out := []any{}
		for i := range n.kids {
			out = append(out, plain(&n.kids[i].val))
		}
		return out
	}
	out := map[string]any{}
	for i := range n.kids {
		out[n.kids[i].key] = plain(&n.kids[i].val)
	}
	return out
}

// FuzzAppendString checks that encoding/json reads back what was written.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "<b>&\"\\/\x00\x1f\x7f\n\r\t", "é🪨\u2028\ufffd", "\xff\xc3\x28a\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%v: %q", err, b)
		}
		want := strings.ToValidUTF8(s, "\x00")
		if utf8.ValidString(s) && got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		if !utf8.Valid(b) || utf8.RuneCountInString(got) != utf8.RuneCountInString(s) {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestAppend(t *testing.T) {
	t.Parallel()
	if got := string(AppendFloats(nil, []float32{0, 0.1, -1e-9, 1e20, float32(math.NaN()), float32(math.Inf(1))})); got != "[0,0.1,-1e-09,1e+20,0,0]" {
		t.Error(got)
	}
	if got := string(AppendStringOrNull(AppendStringOrNull(nil, ""), "x")); got != `null"x"` {
		t.Error(got)
	}
	got := string(AppendMetrics(nil, llm.Usage{InputTokens: 1, OutputTokens: 2}, 1500*time.Microsecond, time.Second))
	if got != `"amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"outputTokenCount":2,"invocationLatency":1,"firstByteLatency":1000}` {
		t.Error(got)
	}
}
