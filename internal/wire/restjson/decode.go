package restjson

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// decoder fills one input. It is pooled; reset brings it to its first state.
type decoder struct {
	scanner
	path   path
	arena  strings.Builder // texts of the input, many to an allocation
	budget int             // bytes that Go values may still take

	strings []string  // empty ones for the next pointers
	floats  []float32 // the same
}

const (
	baseBudget = 4 << 20 // bytes of Go values that any body may make
	perByte    = 4       // and as many more for each byte of the body
	mapEntry   = 48      // bytes that an entry takes besides its value
	arenaChunk = 4 << 10 // bytes

	roomStrings = 4 // strings to an allocation
	roomFloats  = 2
)

// size is what one value of t takes, in bytes.
func size(t reflect.Type) int { return int(t.Size()) } // #nosec G115 -- Go types are small

func (d *decoder) reset(body []byte) {
	clear(d.keys[:cap(d.keys)])
	d.scanner = scanner{buf: body, keys: d.keys[:0]}
	clear(d.path.segs[:cap(d.path.segs)])
	d.path.segs = d.path.segs[:0]
	d.arena.Reset()
	d.strings, d.floats = nil, nil
	d.budget = baseBudget + perByte*len(body)
}

// fail is SerializationException: the input cannot be read at the current path.
func (d *decoder) fail(format string, args ...any) error {
	return apierr.New(apierr.CodeSerialization, http.StatusBadRequest, "'%s' %s.", d.path.String(), fmt.Sprintf(format, args...))
}

func (d *decoder) fault(f fault) error {
	if f == faultSyntax || f == faultString || f == faultNumber {
		return d.fail("%s, at byte %d", string(f), d.pos)
	}
	if f == faultDepth {
		return d.fail("%s: at most %d levels", string(f), maxDepth)
	}
	if f == faultKeys {
		return d.fail("%s: at most %d that the API does not name", string(f), maxKeys)
	}
	return d.fail("%s", string(f))
}

// document reads the whole body as the value of p into v.
func (d *decoder) document(p place, v reflect.Value) error {
	if !utf8.Valid(d.buf) {
		return d.fail("is not valid UTF-8")
	}
	if err := d.value(p, v); err != nil {
		return err
	}
	if d.token() != 0 || d.pos < len(d.buf) {
		return d.fail("has more text after its JSON value, at byte %d", d.pos)
	}
	return nil
}

// value reads one value that is not null into v, which p describes.
func (d *decoder) value(p place, v reflect.Value) error {
	if p.ptr {
		if d.budget -= size(p.typ); d.budget < 0 {
			return d.fail("makes the input too large for the size of the body")
		}
		target := d.room(p.typ, v.Type())
		if err := d.bare(p.plan, target.Elem()); err != nil {
			return err
		}
		v.Set(target)
		return nil
	}
	return d.bare(p.plan, v)
}

// room returns a pointer to a new value of t; to is the type of the pointer.
// Strings and numbers come several to an allocation: they live as long as their
// input anyway.
func (d *decoder) room(t, to reflect.Type) reflect.Value {
	switch t.Kind() {
	case reflect.String:
		if len(d.strings) == 0 {
			d.strings = make([]string, roomStrings)
		}
		s := &d.strings[0]
		d.strings = d.strings[1:]
		return reflect.ValueOf(s).Convert(to)
	case reflect.Float32:
		if len(d.floats) == 0 {
			d.floats = make([]float32, roomFloats)
		}
		f := &d.floats[0]
		d.floats = d.floats[1:]
		return reflect.ValueOf(f).Convert(to)
	}
	return reflect.New(t)
}

func (d *decoder) bare(p *plan, v reflect.Value) error {
	switch p.shape.Kind {
	case awsapi.Structure, awsapi.Union:
		if p.shape.EventStream {
			return d.fail("is an event stream, which cannot stand in JSON")
		}
		return d.object(p, v)
	case awsapi.List:
		return d.list(p, v)
	case awsapi.Map:
		return d.mapping(p, v)
	case awsapi.String:
		return d.text(v)
	case awsapi.Blob:
		return d.blob(v)
	case awsapi.Timestamp:
		return d.timestamp(v)
	case awsapi.JSON:
		return d.freeForm(v)
	case awsapi.Boolean:
		switch {
		case d.token() == 't' && d.literal("true"):
			v.SetBool(true)
		case d.token() == 'f' && d.literal("false"):
			v.SetBool(false)
		default:
			return d.wrongType("a boolean")
		}
		return nil
	default:
		return d.numeric(p.shape.Kind, v)
	}
}

// wrongType says what stands at the current position instead of want.
func (d *decoder) wrongType(want string) error {
	var got string
	switch c := d.token(); {
	case c == '"':
		got = "a string"
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == 't' || c == 'f':
		got = "a boolean"
	case c == 'n':
		got = "null"
	case c == '-' || c >= '0' && c <= '9':
		got = "a number"
	default:
		return d.fault(faultSyntax)
	}
	return d.fail("must be %s, not %s", want, got)
}

// object reads a structure or union.
func (d *decoder) object(p *plan, v reflect.Value) error {
	if d.token() != '{' {
		return d.wrongType("an object")
	}
	if f := d.open('{'); f != "" {
		return d.fault(f)
	}
	unknown := d.newKeySet()
	defer unknown.close()
	var seen [maxMembers / 64]uint64
	set := 0
	for first := true; ; first = false {
		done, f := d.more('}', first)
		if f != "" {
			return d.fault(f)
		}
		if done {
			break
		}
		raw, escaped, f := d.str()
		if f != "" {
			return d.fault(f)
		}
		if escaped {
			raw = appendUnescaped(nil, raw)
		}
		if !d.take(':') {
			return d.fault(faultSyntax)
		}
		i, known := p.keys[string(raw)]
		if !known {
			if f := unknown.add(raw); f != "" {
				return d.fault(f)
			}
			if f := d.skip(); f != "" {
				return d.fault(f)
			}
			continue
		}
		if seen[i/64]&(1<<(i%64)) != 0 {
			return d.fail("has the key %q twice", clip(string(raw)))
		}
		seen[i/64] |= 1 << (i % 64)
		if d.null() {
			continue
		}
		fl := &p.fields[i]
		d.path.member(fl.member.Name)
		if err := d.value(fl.place, v.Field(i)); err != nil {
			return err
		}
		d.path.pop()
		set++
	}
	if p.shape.Kind == awsapi.Union && set != 1 {
		return unionError(d.path.String(), p.shape, set)
	}
	return nil
}

// unionError is ValidationException for a union with other than one member.
func unionError(at string, s *awsapi.Shape, set int) error {
	names := make([]string, len(s.Members))
	for i := range s.Members {
		names[i] = s.Members[i].Name
	}
	return apierr.Validation("'%s' must have exactly one member of [%s], but has %d.", at, strings.Join(names, ", "), set)
}

func (d *decoder) list(p *plan, v reflect.Value) error {
	if d.token() != '[' {
		return d.wrongType("an array")
	}
	if f := d.open('['); f != "" {
		return d.fault(f)
	}
	if d.token() == ']' {
		v.Set(reflect.MakeSlice(p.typ, 0, 0))
	}
	for n := 0; ; n++ {
		done, f := d.more(']', n == 0)
		if f != "" {
			return d.fault(f)
		}
		if done {
			return nil
		}
		if n == v.Cap() {
			v.Grow(1)
			if d.budget -= (v.Cap() - n) * size(p.typ.Elem()); d.budget < 0 {
				return d.fail("has too many items for the size of the body")
			}
		}
		v.SetLen(n + 1)
		item := v.Index(n)
		item.SetZero()
		d.path.item(n)
		if p.elem.shape.Kind != awsapi.JSON && d.null() {
			return d.fail("must not be null")
		}
		if err := d.value(p.elem, item); err != nil {
			return err
		}
		d.path.pop()
	}
}

func (d *decoder) mapping(p *plan, v reflect.Value) error {
	if d.token() != '{' {
		return d.wrongType("an object")
	}
	if f := d.open('{'); f != "" {
		return d.fault(f)
	}
	m := reflect.MakeMap(p.typ)
	v.Set(m)
	for first := true; ; first = false {
		done, f := d.more('}', first)
		if f != "" {
			return d.fault(f)
		}
		if done {
			return nil
		}
		raw, escaped, f := d.str()
		if f != "" {
			return d.fault(f)
		}
		key := reflect.New(p.key.typ).Elem()
		key.SetString(d.intern(raw, escaped))
		if !d.take(':') {
			return d.fault(faultSyntax)
		}
		if m.MapIndex(key).IsValid() {
			return d.fail("has the key %q twice", clip(key.String()))
		}
		if d.budget -= mapEntry + size(p.typ.Elem()); d.budget < 0 {
			return d.fail("has too many entries for the size of the body")
		}
		d.path.key(key.String())
		if p.elem.shape.Kind != awsapi.JSON && d.null() {
			return d.fail("must not be null")
		}
		item := reflect.New(p.typ.Elem()).Elem()
		if err := d.value(p.elem, item); err != nil {
			return err
		}
		m.SetMapIndex(key, item)
		d.path.pop()
	}
}

func (d *decoder) text(v reflect.Value) error {
	if d.token() != '"' {
		return d.wrongType("a string")
	}
	raw, escaped, f := d.str()
	if f != "" {
		return d.fault(f)
	}
	v.SetString(d.intern(raw, escaped))
	return nil
}

// intern copies a string's text into the arena.
func (d *decoder) intern(raw []byte, escaped bool) string {
	if len(raw) == 0 {
		return ""
	}
	if d.arena.Cap()-d.arena.Len() < len(raw) {
		d.arena.Reset()
		d.arena.Grow(max(len(raw), min(len(d.buf)-d.pos+len(raw), arenaChunk)))
	}
	start := d.arena.Len()
	for escaped {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			break
		}
		n := escapeLen(raw[i:])
		var one [utf8.UTFMax]byte
		d.arena.Write(raw[:i])
		d.arena.Write(appendUnescaped(one[:0], raw[i:i+n]))
		raw = raw[i+n:]
	}
	d.arena.Write(raw)
	return d.arena.String()[start:]
}

func (d *decoder) blob(v reflect.Value) error {
	if d.token() != '"' {
		return d.wrongType("a string of base64 text")
	}
	raw, escaped, f := d.str()
	if f != "" {
		return d.fault(f)
	}
	if escaped { // some encoders write "\/"
		raw = appendUnescaped(nil, raw)
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Decode(out, raw)
	if err != nil {
		return d.fail("is not base64 text")
	}
	v.SetBytes(out[:n])
	return nil
}

// timestamp reads ISO 8601 text or seconds since 1970.
func (d *decoder) timestamp(v reflect.Value) error {
	var t time.Time
	ok := false
	switch c := d.token(); {
	case c == '"':
		raw, _, f := d.str()
		if f != "" {
			return d.fault(f)
		}
		t, ok = parseTime(string(raw), formatISO)
	case c == '-' || c >= '0' && c <= '9':
		raw, _, f := d.number()
		if f != "" {
			return d.fault(f)
		}
		t, ok = parseTime(string(raw), formatUnix)
	default:
		return d.wrongType("a timestamp")
	}
	if !ok {
		return d.fail("is not a timestamp such as 2024-01-31T12:00:00Z")
	}
	*(v.Addr().Interface().(*time.Time)) = t
	return nil
}

// freeForm keeps one JSON value as it came, in memory of its own: it is small in
// most bodies, and must not hold the whole of a large one.
func (d *decoder) freeForm(v reflect.Value) error {
	d.token()
	start := d.pos
	if f := d.skip(); f != "" {
		return d.fault(f)
	}
	v.SetBytes(bytes.Clone(d.buf[start:d.pos]))
	return nil
}

func (d *decoder) numeric(k awsapi.Kind, v reflect.Value) error {
	want := "an integer"
	if k == awsapi.Float || k == awsapi.Double {
		want = "a number"
		if d.token() == '"' {
			return d.namedFloat(v)
		}
	}
	if c := d.token(); c != '-' && (c < '0' || c > '9') {
		return d.wrongType(want)
	}
	raw, whole, f := d.number()
	if f != "" {
		return d.fault(f)
	}
	if want == "a number" {
		x, err := strconv.ParseFloat(string(raw), v.Type().Bits())
		if err != nil {
			return d.fail("is a number out of range")
		}
		v.SetFloat(x)
		return nil
	}
	n, err := parseInteger(raw, whole, v.Type().Bits())
	switch err {
	case errFraction:
		return d.fail("must be an integer, not a fraction")
	case errRange:
		return d.fail("must be between %d and %d", minInt(v.Type().Bits()), maxInt(v.Type().Bits()))
	}
	v.SetInt(n)
	return nil
}

// namedFloat reads the three float values that JSON has no number for.
func (d *decoder) namedFloat(v reflect.Value) error {
	at := d.pos
	raw, _, f := d.str()
	if f != "" {
		return d.fault(f)
	}
	switch string(raw) {
	case "NaN":
		v.SetFloat(math.NaN())
	case "Infinity":
		v.SetFloat(math.Inf(1))
	case "-Infinity":
		v.SetFloat(math.Inf(-1))
	default:
		d.pos = at
		return d.wrongType("a number")
	}
	return nil
}
