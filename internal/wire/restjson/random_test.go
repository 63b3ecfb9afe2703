package restjson

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// maker makes random values of shapes. They have the right types but need not
// satisfy the constraints.
type maker struct {
	*rand.Rand
}

// fillStruct sets members of v at random; a union gets exactly one.
func (m maker) fillStruct(p *plan, v reflect.Value, depth int) {
	only := -1
	if p.shape.Kind == awsapi.Union {
		only = m.IntN(len(p.fields))
		if depth > 6 { // end recursion with the first plain member, if there is one
			if i := slices.IndexFunc(p.fields, func(f field) bool { return f.shape.Kind >= awsapi.String }); i >= 0 {
				only = i
			}
		}
	}
	for i := range p.fields {
		f := &p.fields[i]
		skip := only >= 0 && i != only || only < 0 && f.member.Location != awsapi.InURI && (m.IntN(3) == 0 || depth > 6 && f.shape.Kind < awsapi.String)
		if skip || f.shape.EventStream {
			continue
		}
		m.fill(f.place, v.Field(i), depth+1, f.member.Location)
	}
}

func (m maker) fill(p place, v reflect.Value, depth int, loc awsapi.Location) {
	if p.ptr {
		v.Set(reflect.New(p.typ))
		v = v.Elem()
	}
	switch p.shape.Kind {
	case awsapi.Structure, awsapi.Union:
		m.fillStruct(p.plan, v, depth)
	case awsapi.List:
		n := m.IntN(4)
		if depth > 8 {
			n = 0
		}
		if loc == awsapi.InQuery {
			n++ // an empty list leaves no trace in a query
		}
		v.Set(reflect.MakeSlice(p.typ, n, n))
		for i := range n {
			m.fill(p.elem, v.Index(i), depth+1, loc)
		}
	case awsapi.Map:
		v.Set(reflect.MakeMap(p.typ))
		for range m.IntN(3) {
			k, e := reflect.New(p.key.typ).Elem(), reflect.New(p.typ.Elem()).Elem()
			k.SetString(m.text(loc))
			m.fill(p.elem, e, depth+1, loc)
			v.SetMapIndex(k, e)
		}
	case awsapi.String:
		v.SetString(m.text(loc))
	case awsapi.Integer, awsapi.Long:
		v.SetInt(int64(m.Uint64()) >> m.IntN(64) >> (64 - v.Type().Bits()))
	case awsapi.Float, awsapi.Double:
		v.SetFloat(m.float(v.Type().Bits()))
	case awsapi.Boolean:
		v.SetBool(m.IntN(2) == 0)
	case awsapi.Blob:
		b := make([]byte, 1+m.IntN(20))
		for i := range b {
			b[i] = byte(m.Uint32())
		}
		v.SetBytes(b)
	case awsapi.Timestamp:
		t := time.UnixMilli(m.Int64N(250_000_000_000_000)).UTC()
		if m.IntN(2) == 0 {
			t = t.Truncate(time.Second)
		}
		v.Set(reflect.ValueOf(t))
	case awsapi.JSON:
		v.SetBytes([]byte(m.document(0)))
	}
}

func (m maker) float(bits int) float64 {
	for {
		x := math.Float64frombits(m.Uint64())
		if bits == 32 {
			x = float64(math.Float32frombits(m.Uint32()))
		}
		if m.IntN(2) == 0 {
			x = float64(m.IntN(1000)) / 8
		}
		if !math.IsNaN(x) { // NaN is not equal to itself
			return x
		}
	}
}

// text makes strings of the characters that encoders get wrong. Headers carry
// no control characters, and neither headers nor labels may be empty.
func (m maker) text(loc awsapi.Location) string {
	pool := []string{"a", "B", "7", " ", "/", ":", "%", "%2F", "+", "&", "=", "?", "#", ";", ",", "\"", "\\", "'", "<", ">", "é", "€", "日", "😀", "\u2028", "\ufffd", "{", "}", "."}
	if loc == awsapi.InBody || loc == awsapi.InPayload {
		pool = append(pool, "\x00", "\n", "\t", "\r", "\b", "\x1f", "\x7f")
	}
	n := m.IntN(12)
	if loc != awsapi.InBody {
		n++
	}
	var b strings.Builder
	for range n {
		b.WriteString(pool[m.IntN(len(pool))])
	}
	if loc == awsapi.InHeader {
		return "h" + b.String() + "h" // HTTP trims the ends
	}
	return b.String()
}

func (m maker) document(depth int) string {
	switch n := m.IntN(6); {
	case n == 0 && depth < 4:
		return `{"k":` + m.document(depth+1) + `, "l" : ` + m.document(depth+1) + `}`
	case n == 1 && depth < 4:
		return `[` + m.document(depth+1) + ` ,` + m.document(depth+1) + `]`
	case n == 2:
		return string(appendString(nil, m.text(awsapi.InBody)))
	case n == 3:
		return "-12.50e+3"
	case n == 4:
		return "true"
	}
	return `{}`
}
