package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"reflect"
	"slices"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// scope is everything that two requests must have in common, beside what they say,
// to get the same reply.
type scope struct {
	Version int // of what keys and values look like
	Epoch   string
	Kind    string // what the key is for
	Account string
	Region  string
	Regions []string // where the call may be answered
	Model   string
	Profile string // ARN of an inference profile
	Weights catalog.Weights
	Files   []string // of the weights; their template is in them
	// Guardrail is the ARN of the guardrail, with its version.
	Guardrail []string
	Tier      string // of calls that share one generation
	Reserved  string // likewise
	Whole     bool   // likewise: events of a reply that is wanted whole may come late
	// Ordinal tells the replies of one call apart, when they need not be the same.
	Ordinal int
	Digits  []string // of a question, for semantic keys
}

// sum is the HMAC-SHA256 of a scope and a request.
func sum(secret []byte, s *scope, r *llm.Request) [32]byte {
	d := digest{h: hmac.New(sha256.New, secret), buf: make([]byte, 0, 4<<10)}
	d.value(reflect.ValueOf(s).Elem())
	d.value(reflect.ValueOf(r).Elem())
	d.flush()
	return [32]byte(d.h.Sum(nil))
}

// digest writes values into a hash so that different values give different bytes:
// all of them with their lengths, and fields by their names. Fields that say
// nothing (zero, or without elements) are left out, so that a field that is added
// to a type changes no key until it is used.
type digest struct {
	h   hash.Hash
	buf []byte // what is not in h yet
}

// flushAt is how much is gathered before it is hashed.
const flushAt = 4 << 10

func (d *digest) flush() {
	_, _ = d.h.Write(d.buf) // never fails
	d.buf = d.buf[:0]
}

func (d *digest) number(n uint64) { d.buf = binary.AppendUvarint(d.buf, n) }

func (d *digest) text(s string) {
	d.number(uint64(len(s)))
	for len(s) > 0 {
		n := min(len(s), flushAt)
		if d.buf = append(d.buf, s[:n]...); len(d.buf) >= flushAt {
			d.flush()
		}
		s = s[n:]
	}
}

func (d *digest) bytes(b []byte) {
	d.number(uint64(len(b)))
	d.flush()
	_, _ = d.h.Write(b)
}

// value writes one value. A type that it does not know is a mistake in the program.
func (d *digest) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		d.text(v.String())
	case reflect.Bool:
		if v.Bool() {
			d.number(1)
			return
		}
		d.number(0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.number(uint64(v.Int())) // #nosec G115 -- the same bits
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		d.number(math.Float64bits(v.Float()))
	case reflect.Pointer:
		if v.IsNil() {
			d.number(0)
			return
		}
		d.number(1)
		d.value(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			d.bytes(v.Bytes())
			return
		}
		d.number(uint64(v.Len())) // #nosec G115 -- not negative
		for i := range v.Len() {
			d.value(v.Index(i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return compare(a.String(), b.String()) })
		d.number(uint64(len(keys)))
		for _, k := range keys {
			d.text(k.String())
			d.value(v.MapIndex(k))
		}
	case reflect.Struct:
		t := v.Type()
		for i := range t.NumField() {
			f := v.Field(i)
			if empty(f) {
				continue
			}
			d.text(t.Field(i).Name)
			d.value(f)
		}
		d.text("") // the end: no field has this name
	default:
		panic("cache: a request holds a " + v.Type().String())
	}
}

// empty reports whether a field says nothing.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
