package cache

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// fill sets every field below v to something that is not its zero value. Slices
// get two elements. depth bounds types that hold themselves.
func fill(v reflect.Value, n *int, depth int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(*n%200 + 1))
	case reflect.Float64:
		v.SetFloat(float64(*n) / 7)
	case reflect.Pointer:
		if depth == 0 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n, depth-1)
	case reflect.Slice:
		if depth == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n, depth-1)
		fill(v.Index(1), n, depth-1)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n, depth)
		}
	default:
		panic("a field of type " + v.Type().String())
	}
}

// leaves calls visit with every value below v that can be changed by itself.
func leaves(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(path, v)
			leaves(v.Elem(), path+"*", visit)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		visit(path, v)
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
		}
	default:
		visit(path, v)
	}
}

// changes are other values for a leaf, of which none is equal to it.
func changes(v reflect.Value) []reflect.Value {
	other := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		other.SetString(v.String() + "x")
	case reflect.Bool: // the zero value is all there is
	case reflect.Int, reflect.Int64:
		other.SetInt(v.Int() + 1)
	case reflect.Uint8:
		other.SetUint(v.Uint() + 1)
	case reflect.Float64:
		other.SetFloat(v.Float() + 1)
	case reflect.Slice: // one element less
		other.Set(v.Slice(0, v.Len()-1))
	}
	zero := reflect.Zero(v.Type())
	if reflect.DeepEqual(other.Interface(), zero.Interface()) {
		return []reflect.Value{zero}
	}
	return []reflect.Value{zero, other}
}

// TestKeyOfEveryField changes every field of everything that goes into a key, one
// at a time: each change makes a key of its own. A field that is added to a type is
// tested from then on.
func TestKeyOfEveryField(t *testing.T) {
	t.Parallel()
	var s scope
	var r llm.Request
	n := 0
	fill(reflect.ValueOf(&s).Elem(), &n, 4)
	fill(reflect.ValueOf(&r).Elem(), &n, 8)
	secret := []byte("secret")
	seen := map[[32]byte]string{sum(secret, &s, &r): "nothing"}
	count := 0
	for _, root := range []reflect.Value{reflect.ValueOf(&s).Elem(), reflect.ValueOf(&r).Elem()} {
		leaves(root, root.Type().Name(), func(path string, v reflect.Value) {
			before := reflect.New(v.Type()).Elem()
			before.Set(v)
			for _, c := range changes(v) {
				v.Set(c)
				k := sum(secret, &s, &r)
				if with, twice := seen[k]; twice {
					t.Errorf("a change of %s makes the key of a change of %s", path, with)
				}
				seen[k] = path
				count++
			}
			v.Set(before)
		})
	}
	if count < 200 {
		t.Errorf("only %d changes were tried", count)
	}
	if k := sum([]byte("another"), &s, &r); seen[k] != "" {
		t.Error("the key does not depend on the secret")
	}
	if k := sum(secret, &s, &r); seen[k] != "nothing" {
		t.Error("the key of one request changes")
	}
}

// TestKeyFits: the types of what goes into a key are all known to it.
func TestKeyFits(t *testing.T) {
	t.Parallel()
	sum(nil, &scope{}, &llm.Request{})
	sum(nil, &scope{Weights: catalog.Weights{Source: catalog.Source{HuggingFace: &catalog.HuggingFace{}}}}, &llm.Request{Cache: &llm.Mark{}})
}

// TestKeyOfTexts: texts cannot be cut another way to make the same key.
func TestKeyOfTexts(t *testing.T) {
	t.Parallel()
	texts := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00\x01")), 0, 4, -1), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		make1 := func(label string) *llm.Request {
			r := &llm.Request{System: texts.Draw(t, label+" system"), BuiltinStop: texts.Draw(t, label+" stop")}
			r.Params.Stop = texts.Draw(t, label+" params")
			for _, text := range texts.Draw(t, label+" messages") {
				r.Messages = append(r.Messages, llm.Message{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: text}}})
			}
			return r
		}
		a, b := make1("a"), make1("b")
		same := fmt.Sprintf("%q", flat(a)) == fmt.Sprintf("%q", flat(b))
		if (sum(nil, &scope{}, a) == sum(nil, &scope{}, b)) != same {
			t.Fatalf("equal keys: %t, equal requests: %t\n%q\n%q", !same, same, flat(a), flat(b))
		}
	})
}

func flat(r *llm.Request) [][]string {
	out := [][]string{r.System, r.BuiltinStop, r.Params.Stop, nil}
	for _, m := range r.Messages {
		out[3] = append(out[3], m.Content[0].Text)
	}
	return out
}

// TestCodec: what is written is read back.
func TestCodec(t *testing.T) {
	t.Parallel()
	text := rapid.String()
	number := rapid.IntRange(0, 1<<40)
	events := rapid.Custom(func(t *rapid.T) llm.Event {
		ev := llm.Event{
			Kind: llm.EventKind(rapid.IntRange(int(llm.Start), int(llm.Done)).Draw(t, "kind")), Index: rapid.IntRange(0, 1000).Draw(t, "index"),
			Block: llm.BlockKind(rapid.IntRange(0, 6).Draw(t, "block")), Text: text.Draw(t, "text"), Signature: text.Draw(t, "signature"),
			Reason: llm.StopReason(text.Draw(t, "reason")), StopSequence: text.Draw(t, "stop"),
		}
		if rapid.Bool().Draw(t, "call") {
			ev.Call = &llm.Call{ID: text.Draw(t, "id"), Name: text.Draw(t, "name")}
			if in := text.Draw(t, "input"); in != "" {
				ev.Call.Input = []byte(in)
			}
		}
		if rapid.Bool().Draw(t, "logprob") {
			ev.Logprob = new(rapid.Float64().Draw(t, "value"))
		}
		if rapid.Bool().Draw(t, "usage") {
			ev.Usage = llm.Usage{
				InputTokens: number.Draw(t, "in"), OutputTokens: number.Draw(t, "out"), ReusedTokens: number.Draw(t, "reused"),
				CacheRead: number.Draw(t, "read"), CacheWrite: number.Draw(t, "write"),
			}
			ev.Latency, ev.FirstToken = 5, 3
		}
		return ev
	})
	rapid.Check(t, func(t *rapid.T) {
		in := append(rapid.SliceOf(events).Draw(t, "events"), llm.Event{Kind: llm.Done})
		b := []byte{form}
		for i := range in {
			b = appendEvent(b, &in[i])
		}
		out, err := readEvents(b)
		if err != nil || !reflect.DeepEqual(in, out) {
			t.Fatalf("%v\n%+v\n%+v", err, in, out)
		}
	})
}

// FuzzReadEvents: no bytes make the reader fail in another way than by its error.
func FuzzReadEvents(f *testing.F) {
	b := appendEvent(appendEvent([]byte{form}, &llm.Event{Kind: llm.Delta, Text: "hello", Logprob: new(-1.5)}), &llm.Event{Kind: llm.Done, Usage: llm.Usage{InputTokens: 300}})
	f.Add(b)
	f.Add([]byte{form, byte(llm.Delta), hasText, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := readEvents(b); err != nil && err != errForm {
			t.Fatal(err)
		}
	})
}

func TestDigits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "none": "", "17": "17", "a 1 b 22 c": "1|22", "3.5x4": "3|5|4", "é9": "9"} {
		if got := strings.Join(digits(text), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	s := scope{Version: 1, Kind: "reply", Account: "111122223333", Region: "us-east-1", Regions: []string{"us-east-1"}, Weights: catalog.Weights{ID: "w", Name: "W", License: strings.Repeat("x", 200)}}
	r := &llm.Request{System: []string{strings.Repeat("s", 2000)}, Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: strings.Repeat("t", 2000)}}}}, Params: llm.Params{Temperature: new(0.0)}}
	b.ReportAllocs()
	for b.Loop() {
		sum([]byte("secret"), &s, r)
	}
}
