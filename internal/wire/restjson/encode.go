package restjson

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// HeaderField is one response header, its name in canonical spelling.
type HeaderField struct{ Name, Value string }

// Response is what an output struct becomes on the wire.
type Response struct {
	Status      int // HTTP status of success
	ContentType string
	Headers     []HeaderField // of members that travel in headers, without Content-Type
	Body        []byte        // nil when Events is set
	Events      awsapi.Events // the body as events, for AppendEvent; nil for a plain body
	Stream      awsapi.ShapeID
}

// usualOutput is room for most outputs, in bytes.
const usualOutput = 512

// AppendOutput encodes out, a pointer to op's output struct. The body is
// appended to dst, which may be nil; a blob that is the whole body is returned
// as it is instead. Members that are nil are left out.
//
// Errors mean that out does not fit op or holds what JSON cannot carry, such as
// a free-form document that is not JSON.
func (c *Codec) AppendOutput(dst []byte, svc *awsapi.Service, op *awsapi.Operation, out any) (Response, error) {
	r := Response{Status: op.Status, ContentType: ContentType}
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	if op.Output == 0 {
		return r.withBody(append(dst, '{', '}')), nil
	}
	o, v, err := c.output(svc, op, out)
	if err != nil {
		return r, err
	}
	for _, h := range o.headers {
		o.header(&r, h, v.Field(h.field))
	}
	if o.status >= 0 {
		if s := v.Field(o.status); !isNil(s) {
			r.Status = int(reflect.Indirect(s).Int())
		}
	}
	if o.payload < 0 {
		if dst == nil {
			dst = make([]byte, 0, usualOutput)
		}
		body, err := appendMembers(dst, o.body, v, nil)
		if err != nil {
			return r, fmt.Errorf("restjson: output of %s: %w", op.Name, err)
		}
		return r.withBody(body), nil
	}
	f, pv := &o.body.fields[o.payload], v.Field(o.payload)
	switch {
	case f.shape.EventStream:
		r.Events, _ = pv.Interface().(awsapi.Events)
		r.Stream = f.member.Shape
		r.ContentType = eventstream.ContentType
		if r.Events == nil {
			return r, fmt.Errorf("restjson: output of %s has no events", op.Name)
		}
		return r, nil
	case f.shape.Kind == awsapi.Blob:
		return r.withBody(pv.Bytes()), nil
	case isNil(pv):
		return r.withBody(append(dst, '{', '}')), nil
	}
	body, err := appendValue(dst, f.place, pv, formatISO)
	if err != nil {
		return r, fmt.Errorf("restjson: output of %s: %w", op.Name, err)
	}
	return r.withBody(body), nil
}

func (r Response) withBody(body []byte) Response {
	if r.Status == http.StatusNoContent {
		r.ContentType = ""
		return r
	}
	r.Body = body
	return r
}

func (o *outputPlan) header(r *Response, h header, v reflect.Value) {
	f := &o.body.fields[h.field]
	if isNil(v) {
		return
	}
	value := string(appendText(nil, f.plan, reflect.Indirect(v), timeFormat(f.member)))
	if h.name == "Content-Type" {
		r.ContentType = value
		return
	}
	r.Headers = append(r.Headers, HeaderField{h.name, value})
}

var errDocument = errors.New("free-form document is not JSON")

// appendMembers writes the members of a structure or union that live in a JSON
// body. keep overrides which ones; nil keeps those.
func appendMembers(dst []byte, p *plan, v reflect.Value, keep func(*field) bool) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	var err error
	for i := range p.fields {
		f := &p.fields[i]
		if keep == nil && !f.inBody || keep != nil && !keep(f) {
			continue
		}
		fv := v.Field(i)
		if isNil(fv) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, f.key...)
		if dst, err = appendValue(dst, f.place, fv, timeFormat(f.member)); err != nil {
			return dst, fmt.Errorf("%s: %w", f.member.Name, err)
		}
	}
	return append(dst, '}'), nil
}

// appendValue writes one value that is not nil.
func appendValue(dst []byte, p place, v reflect.Value, format string) ([]byte, error) {
	if p.ptr {
		v = v.Elem()
	}
	switch p.shape.Kind {
	case awsapi.Structure, awsapi.Union:
		if p.shape.EventStream {
			return dst, errors.New("event stream inside JSON")
		}
		return appendMembers(dst, p.plan, v, nil)
	case awsapi.List:
		return appendList(dst, p.plan, v, format)
	case awsapi.Map:
		return appendMap(dst, p.plan, v, format)
	case awsapi.String:
		return appendString(dst, v.String()), nil
	case awsapi.Integer, awsapi.Long:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case awsapi.Float, awsapi.Double:
		return appendFloat(dst, v.Float(), v.Type().Bits()), nil
	case awsapi.Boolean:
		return strconv.AppendBool(dst, v.Bool()), nil
	case awsapi.Blob:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"'), nil
	case awsapi.Timestamp:
		t, ok := timeOf(v)
		if !ok {
			return dst, errors.New("timestamp outside the years 1 to 9999")
		}
		if format == formatUnix {
			return appendTime(dst, t, format), nil
		}
		return append(appendTime(append(dst, '"'), t, format), '"'), nil
	case awsapi.JSON:
		if !validDocument(v.Bytes()) {
			return dst, errDocument
		}
		return append(dst, v.Bytes()...), nil
	}
	return dst, fmt.Errorf("shape %s has no kind", p.shape.Name)
}

func timeOf(v reflect.Value) (time.Time, bool) {
	var t time.Time
	if v.CanAddr() {
		t = *(v.Addr().Interface().(*time.Time))
	} else {
		t, _ = v.Interface().(time.Time)
	}
	y := t.UTC().Year()
	return t, y >= 1 && y <= 9999
}

func validDocument(b []byte) bool {
	s := scanner{buf: b}
	return utf8.Valid(b) && s.skip() == "" && s.token() == 0 && s.pos == len(b)
}

func appendList(dst []byte, p *plan, v reflect.Value, format string) ([]byte, error) {
	dst = append(dst, '[')
	var err error
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		item := v.Index(i)
		if p.elem.ptr && item.IsNil() {
			return dst, fmt.Errorf("item %d is nil", i)
		}
		if dst, err = appendValue(dst, p.elem, item, format); err != nil {
			return dst, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return append(dst, ']'), nil
}

// appendMap writes the entries in the order of their keys, so that equal maps
// give equal texts.
func appendMap(dst []byte, p *plan, v reflect.Value, format string) ([]byte, error) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	dst = append(dst, '{')
	var err error
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, k.String()), ':')
		item := v.MapIndex(k)
		if p.elem.ptr && item.IsNil() {
			return dst, errors.New("map entry is nil")
		}
		if dst, err = appendValue(dst, p.elem, item, format); err != nil {
			return dst, fmt.Errorf("map entry: %w", err)
		}
	}
	return append(dst, '}'), nil
}

// appendFloat writes the shortest number that reads back as x. What JSON has no
// number for travels as a string, by the rules of restJson1.
func appendFloat(dst []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(dst, `"-Infinity"`...)
	}
	abs, format := math.Abs(x), byte('f')
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, bits)
}

// appendString writes s as a JSON string. Only quotes, backslashes and control
// characters are escaped; bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
