package restjson

import (
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// Request is what Decode reads: the parts of an HTTP request that members of an
// input can travel in.
type Request struct {
	Labels []string    // values of the path's labels, decoded once, as route.Match returns them
	Query  string      // raw query, without the question mark
	Header http.Header // canonical keys
	Body   []byte
	Events awsapi.Events // the body, when it is a stream of events
}

// Decode reads req into dst, a pointer to the zero input struct of op. It judges
// the syntax only; Validate judges the constraints. A blob that is the whole body
// is req.Body itself, which must then not change as long as dst is in use;
// nothing else points into it.
//
// JSON keys are case-sensitive; members that the API does not know are checked
// and skipped; null means absent. An empty body means an empty object.
//
// Errors: SerializationException 400 naming the member for text that is not
// JSON, a wrong type, a number out of range, a key that stands twice, invalid
// UTF-8, more than 100 levels, or more than 250,000 keys that the API does not
// name; ValidationException 400 for a union that has
// other than one known member, a parameter or header that stands twice, and a
// path, query or header value that cannot be read. Any other error means that
// dst does not fit op.
func (c *Codec) Decode(svc *awsapi.Service, op *awsapi.Operation, req Request, dst any) error {
	if op.Input == 0 {
		return nil
	}
	ip, v, err := c.input(svc, op, dst)
	if err != nil {
		return err
	}
	for i, f := range ip.labels {
		if i >= len(req.Labels) {
			break
		}
		if err := ip.set(v, f, req.Labels[i]); err != nil {
			return err
		}
	}
	for _, h := range ip.headers {
		if err := ip.header(v, h, req.Header[h.name]); err != nil {
			return err
		}
	}
	if err := ip.readQuery(v, req.Query); err != nil {
		return err
	}
	return c.decodeBody(ip, v, &req)
}

func (c *Codec) decodeBody(ip *inputPlan, v reflect.Value, req *Request) error {
	body := req.Body
	target := place{plan: ip.body}
	if ip.payload >= 0 {
		f := &ip.body.fields[ip.payload]
		switch {
		case f.shape.EventStream:
			if req.Events != nil {
				v.Field(ip.payload).Set(reflect.ValueOf(req.Events))
			}
			return nil
		case f.shape.Kind == awsapi.Blob:
			if len(body) > 0 {
				v.Field(ip.payload).SetBytes(body)
			}
			return nil
		}
		target, v = f.place, v.Field(ip.payload)
	} else if !ip.hasBody {
		return nil
	}
	d := c.decoders.Get().(*decoder)
	defer c.decoders.Put(d)
	d.reset(body)
	defer d.reset(nil)
	if d.token() == 0 && d.pos == len(body) {
		return nil
	}
	return d.document(target, v)
}

// set reads the text s into field i.
func (ip *inputPlan) set(v reflect.Value, i int, s string) error {
	f := &ip.body.fields[i]
	target := v.Field(i)
	if f.ptr {
		target.Set(reflect.New(f.typ))
		target = target.Elem()
	}
	if what := setText(f.plan, target, s, timeFormat(f.member)); what != "" {
		return apierr.Validation("'%s' %s.", f.member.Name, what)
	}
	return nil
}

// header reads the lines of a header. An empty value counts as absent.
func (ip *inputPlan) header(v reflect.Value, h header, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	name := ip.body.fields[h.field].member.Key()
	if len(lines) > 1 {
		return apierr.Validation("The header %s must not stand twice.", name)
	}
	if lines[0] == "" {
		return nil
	}
	if !utf8.ValidString(lines[0]) {
		return apierr.Validation("The header %s is not valid UTF-8.", name)
	}
	return ip.set(v, h.field, lines[0])
}

// readQuery reads the parameters that members are bound to and skips others. A
// plus sign stands for a space, as AWS's signers read it.
func (ip *inputPlan) readQuery(v reflect.Value, raw string) error {
	if raw == "" || len(ip.query) == 0 {
		return nil
	}
	var seen [maxMembers / 64]uint64
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key, ok := unescapeQuery(key)
		if !ok {
			return apierr.Validation("The query string has a malformed percent escape.")
		}
		i, known := ip.query[key]
		if !known {
			continue
		}
		f := &ip.body.fields[i]
		if value, ok = unescapeQuery(value); !ok {
			return apierr.Validation("'%s' has a malformed percent escape.", f.member.Name)
		}
		if !utf8.ValidString(value) {
			return apierr.Validation("'%s' is not valid UTF-8.", f.member.Name)
		}
		if f.shape.Kind == awsapi.List {
			if err := ip.appendItem(v.Field(i), f, value); err != nil {
				return err
			}
			continue
		}
		if seen[i/64]&(1<<(i%64)) != 0 {
			return apierr.Validation("'%s' must not stand twice in the query string.", f.member.Name)
		}
		seen[i/64] |= 1 << (i % 64)
		if err := ip.set(v, i, value); err != nil {
			return err
		}
	}
	return nil
}

// appendItem adds one parameter to a list member.
func (ip *inputPlan) appendItem(list reflect.Value, f *field, s string) error {
	item := reflect.New(f.elem.typ)
	if what := setText(f.elem.plan, item.Elem(), s, timeFormat(f.member)); what != "" {
		return apierr.Validation("'%s' %s.", f.member.Name, what)
	}
	if !f.elem.ptr {
		item = item.Elem()
	}
	list.Set(reflect.Append(list, item))
	return nil
}

// unescapeQuery decodes s once. A bare semicolon is refused, because parsers
// disagree on whether it separates parameters.
func unescapeQuery(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+;") {
		return s, true
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ';':
			return "", false
		case '+':
			b.WriteByte(' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			r := escapedRune([]byte{'\\', 'u', '0', '0', s[i+1], s[i+2]})
			if r < 0 {
				return "", false
			}
			b.WriteByte(byte(r)) // #nosec G115 -- two hex digits
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), true
}
