package awsquery

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// Decode reads p into dst, a pointer to the zero input struct of op. It judges
// the syntax only; the constraints of the model are checked by
// restjson.Codec.Validate, which does not depend on the protocol.
//
// Lists are X.member.N, maps X.entry.N.key and X.entry.N.value; numbers may
// leave gaps, their order counts. "X=" alone is an empty list or map. Names
// that the API does not know are skipped.
//
// Errors: SerializationException 400 naming the parameter. Any other error means
// that dst does not fit op.
func Decode(svc *awsapi.Service, op *awsapi.Operation, p *Params, dst any) error {
	if op.Input == 0 {
		return nil
	}
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("awsquery: input of %s: %T is not a pointer", op.Name, dst)
	}
	d := decoder{svc}
	return d.structure(svc.Shape(op.Input), p.root(), v.Elem())
}

type decoder struct{ svc *awsapi.Service }

func wrong(name, want string) error {
	return apierr.New(apierr.CodeSerialization, http.StatusBadRequest, "'%s' must be %s.", name, want)
}

func (d decoder) structure(s *awsapi.Shape, n node, v reflect.Value) error {
	if v.Kind() != reflect.Struct || v.NumField() != len(s.Members) {
		return fmt.Errorf("awsquery: %s does not fit shape %s", v.Type(), s.Name)
	}
	for i := range s.Members {
		m := &s.Members[i]
		child, ok := n.child(m.Key())
		if !ok {
			continue
		}
		if err := d.value(m.Shape, child, v.Field(i), m.TimestampFormat); err != nil {
			return err
		}
	}
	return nil
}

func join(name, part string) string {
	if name == "" {
		return part
	}
	return name + "." + part
}

func (d decoder) value(id awsapi.ShapeID, n node, v reflect.Value, format string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	s := d.svc.Shape(id)
	switch s.Kind {
	case awsapi.Structure, awsapi.Union:
		return d.structure(s, n, v)
	case awsapi.List:
		return d.list(s, n, v)
	case awsapi.Map:
		return d.mapping(s, n, v)
	}
	if !n.set {
		return wrong(n.name, "a single value")
	}
	return scalar(s, n.value, v, n.name, format)
}

func scalar(s *awsapi.Shape, text string, v reflect.Value, name, format string) error {
	switch s.Kind {
	case awsapi.String:
		v.SetString(text)
	case awsapi.Boolean:
		if text != "true" && text != "false" {
			return wrong(name, "true or false")
		}
		v.SetBool(text == "true")
	case awsapi.Integer, awsapi.Long:
		x, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return wrong(name, fmt.Sprintf("an integer of at most %d bits", v.Type().Bits()))
		}
		v.SetInt(x)
	case awsapi.Float, awsapi.Double:
		x, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return wrong(name, "a number")
		}
		v.SetFloat(x)
	case awsapi.Blob:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return wrong(name, "base64 text")
		}
		v.SetBytes(b)
	case awsapi.Timestamp:
		t, ok := parseTime(text, format)
		if !ok {
			return wrong(name, "a timestamp such as 2024-01-31T12:00:00Z")
		}
		v.Set(reflect.ValueOf(t))
	default:
		return fmt.Errorf("awsquery: shape %s has kind %d", s.Name, s.Kind)
	}
	return nil
}

// parseTime reads ISO 8601 or seconds since 1970, whichever it is.
func parseTime(s, format string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if format == "unixTimestamp" || err != nil {
		x, numErr := strconv.ParseFloat(s, 64)
		if numErr != nil || math.IsNaN(x) || math.Abs(x) > 1<<38 {
			return t, false
		}
		t = time.UnixMilli(int64(math.Round(x * 1000)))
	}
	t = t.UTC()
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// numbered returns the nodes below n and word in the order of their numbers.
func numbered(n node, word string) ([]node, error) {
	if n.set && n.value != "" {
		return nil, wrong(n.name, fmt.Sprintf("given as %[1]s.%[2]s.1, %[1]s.%[2]s.2 and so on", n.name, word))
	}
	group, _ := n.child(word)
	var numbers []int
	for _, p := range group.below {
		key, _, _ := strings.Cut(p.name[len(group.name)+1:], ".")
		i, err := strconv.Atoi(key)
		if err != nil || i < 1 || strconv.Itoa(i) != key {
			return nil, wrong(n.name, "numbered from 1")
		}
		numbers = append(numbers, i)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	nodes := make([]node, len(numbers))
	for i, x := range numbers {
		nodes[i], _ = group.child(strconv.Itoa(x))
	}
	return nodes, nil
}

func (d decoder) list(s *awsapi.Shape, n node, v reflect.Value) error {
	items, err := numbered(n, "member")
	if err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if err := d.value(s.Elem, item, v.Index(i), ""); err != nil {
			return err
		}
	}
	return nil
}

func (d decoder) mapping(s *awsapi.Shape, n node, v reflect.Value) error {
	entries, err := numbered(n, "entry")
	if err != nil {
		return err
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(entries)))
	for _, e := range entries {
		key, _ := e.child("key")
		item, ok := e.child("value")
		if !key.set || !ok {
			return wrong(e.name, "a key with a value")
		}
		k, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		k.SetString(key.value)
		if v.MapIndex(k).IsValid() {
			return wrong(key.name, "different from the other keys")
		}
		if err := d.value(s.Elem, item, val, ""); err != nil {
			return err
		}
		v.SetMapIndex(k, val)
	}
	return nil
}
