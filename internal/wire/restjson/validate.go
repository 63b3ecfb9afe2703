package restjson

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// maxListed is how many violations a message spells out; the rest is counted.
const maxListed = 20

// Validate checks in, a pointer to op's input struct, against every constraint
// of the model: required members, lengths (characters of strings, bytes of
// blobs, items of lists, entries of maps), ranges, patterns, enums, and unions
// with exactly one member.
//
// The error is ValidationException 400 in AWS's words, with the number of
// violations and the place of each. A value is repeated only when neither it nor
// what holds it is sensitive, and then no more than 64 characters of it. Any
// other error means that in does not fit op.
func (c *Codec) Validate(svc *awsapi.Service, op *awsapi.Operation, in any) error {
	if op.Input == 0 {
		return nil
	}
	ip, v, err := c.input(svc, op, in)
	if err != nil {
		return err
	}
	w := c.validators.Get().(*validator)
	defer c.validators.Put(w)
	w.reset()
	defer w.reset()
	w.members(ip.body, v, ip.body.shape.Sensitive)
	if w.broken != nil {
		return w.broken
	}
	return w.result()
}

// validator collects the violations of one input. It is pooled.
type validator struct {
	path   path
	found  []string
	count  int
	broken error // a pattern that does not compile
}

func (w *validator) reset() {
	clear(w.path.segs[:cap(w.path.segs)])
	w.path.segs = w.path.segs[:0]
	w.found, w.count, w.broken = nil, 0, nil
}

func (w *validator) result() error {
	switch {
	case w.count == 0:
		return nil
	case w.count == 1:
		return apierr.Validation("1 validation error detected: %s", w.found[0])
	case w.count > len(w.found):
		return apierr.Validation("%d validation errors detected: %s; and %d more", w.count, strings.Join(w.found, "; "), w.count-len(w.found))
	}
	return apierr.Validation("%d validation errors detected: %s", w.count, strings.Join(w.found, "; "))
}

// add notes one violation of the value at the current path. value is how the
// message shows the value: "null", a quoted text, or "" for none.
func (w *validator) add(value, constraint string) {
	if w.count++; len(w.found) >= maxListed {
		return
	}
	if value != "" {
		value += " "
	}
	w.found = append(w.found, fmt.Sprintf("Value %sat '%s' failed to satisfy constraint: %s", value, w.path.String(), constraint))
}

// members checks the fields of a structure or union.
func (w *validator) members(p *plan, v reflect.Value, sensitive bool) {
	set := 0
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.Field(i)
		absent := isNil(fv)
		if !absent {
			set++
		} else if !f.member.Required {
			continue
		}
		w.path.member(f.said)
		if absent {
			w.add("null", "Member must not be null")
		} else {
			w.value(f.place, fv, sensitive || f.member.Sensitive)
		}
		w.path.pop()
	}
	if p.shape.Kind == awsapi.Union && !p.shape.EventStream && set != 1 {
		names := make([]string, len(p.fields))
		for i := range p.fields {
			names[i] = p.fields[i].member.Name
		}
		w.add("", fmt.Sprintf("Member must have exactly one member set of: [%s]", strings.Join(names, ", ")))
	}
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Func:
		return v.IsNil()
	}
	return false
}

func (w *validator) value(p place, v reflect.Value, sensitive bool) {
	if p.ptr {
		v = v.Elem()
	}
	s := p.shape
	sensitive = sensitive || s.Sensitive
	switch s.Kind {
	case awsapi.Structure, awsapi.Union:
		if !s.EventStream {
			w.members(p.plan, v, sensitive)
		}
	case awsapi.List:
		w.size(s, v.Len(), echo{})
		for i := range v.Len() {
			w.path.item(i)
			w.value(p.elem, v.Index(i), sensitive)
			w.path.pop()
		}
	case awsapi.Map:
		w.size(s, v.Len(), echo{})
		w.entries(p.plan, v, sensitive)
	case awsapi.String:
		w.text(p.plan, v.String(), sensitive)
	case awsapi.Blob:
		w.size(s, v.Len(), echo{})
	case awsapi.Integer, awsapi.Long:
		w.between(s, float64(v.Int()), v, sensitive)
	case awsapi.Float, awsapi.Double:
		w.between(s, v.Float(), v, sensitive)
	}
}

// entries checks keys and values of a map, in the order of the keys.
func (w *validator) entries(p *plan, v reflect.Value, sensitive bool) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		before := w.count
		shown := k.String()
		if sensitive || p.key.shape.Sensitive {
			shown = "*"
		}
		w.path.key(shown)
		w.text(p.key, k.String(), sensitive || p.key.shape.Sensitive)
		if w.count == before { // a map with bad keys is reported by its keys
			w.value(p.elem, v.MapIndex(k), sensitive)
		}
		w.path.pop()
	}
}

// text checks a string.
func (w *validator) text(p *plan, s string, sensitive bool) {
	shape := p.shape
	if len(shape.Enum) == 0 && p.pattern == nil && !shape.HasMin && !shape.HasMax {
		return
	}
	shown := echo{s, !sensitive}
	if len(shape.Enum) > 0 && !slices.Contains(shape.Enum, s) {
		w.add(shown.quoted(), "Member must satisfy enum value set: ["+strings.Join(shape.Enum, ", ")+"]")
	}
	if shape.HasMin || shape.HasMax {
		n := utf8.RuneCountInString(s)
		w.size(shape, n, shown)
		if shape.HasMax && float64(n) > shape.Max {
			return // a text that is too long is not worth a match
		}
	}
	if p.pattern == nil {
		return
	}
	ok, err := p.pattern.match(s, sensitive)
	if err != nil {
		w.broken = fmt.Errorf("restjson: pattern of %s: %w", shape.Name, err)
	} else if !ok {
		w.add(shown.quoted(), "Member must satisfy regular expression pattern: "+shape.Pattern)
	}
}

// echo is a text that a message may repeat.
type echo struct {
	text  string
	shown bool
}

func (e echo) quoted() string {
	if !e.shown {
		return ""
	}
	return "'" + clip(e.text) + "'"
}

// size checks a length.
func (w *validator) size(s *awsapi.Shape, n int, e echo) {
	if s.HasMin && float64(n) < s.Min {
		w.add(e.quoted(), "Member must have length greater than or equal to "+plain(s.Min))
	}
	if s.HasMax && float64(n) > s.Max {
		w.add(e.quoted(), "Member must have length less than or equal to "+plain(s.Max))
	}
}

// between checks a number, of which x is the value and v the holder. NaN is in
// no range.
func (w *validator) between(s *awsapi.Shape, x float64, v reflect.Value, sensitive bool) {
	low := s.HasMin && !(x >= s.Min)
	high := s.HasMax && !(x <= s.Max)
	if !low && !high {
		return
	}
	shown := ""
	switch {
	case sensitive:
	case v.CanInt():
		shown = "'" + strconv.FormatInt(v.Int(), 10) + "'"
	default:
		shown = "'" + strconv.FormatFloat(x, 'g', -1, v.Type().Bits()) + "'"
	}
	if low {
		w.add(shown, "Member must have value greater than or equal to "+plain(s.Min))
	}
	if high {
		w.add(shown, "Member must have value less than or equal to "+plain(s.Max))
	}
}

func plain(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
