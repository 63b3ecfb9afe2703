package restjson

import (
	"fmt"
	"net/textproto"
	"reflect"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

const maxMembers = 128 // members of one structure; the widest of the models has 41

// plan ties a shape to the Go type that holds it.
type plan struct {
	shape   *awsapi.Shape
	typ     reflect.Type // without pointer
	pattern *pattern     // nil: any text

	fields []field        // Structure, Union: one per member
	keys   map[string]int // JSON key -> field, for members that live in a JSON body
	elem   place          // List element, Map value
	key    *plan          // Map key
}

// place is a plan with the way its value is held.
type place struct {
	*plan
	ptr bool // *T, else T
}

// field is one member and where it travels.
type field struct {
	place
	member *awsapi.Member
	inBody bool
	key    string // `"name":`
	said   string // what messages about constraints call it
}

type planKey struct {
	svc   *awsapi.Service
	shape awsapi.ShapeID
	typ   reflect.Type
}

// The Go types that are not told by their kind.
var (
	typeTime     = reflect.TypeFor[time.Time]()
	typeBytes    = reflect.TypeFor[[]byte]()
	typeDocument = reflect.TypeFor[awsapi.Document]()
	typeEvents   = reflect.TypeFor[awsapi.Events]()
)

// place builds the plan of a shape held as t. c.mu is held.
func (c *Codec) place(svc *awsapi.Service, id awsapi.ShapeID, t reflect.Type) (place, error) {
	ptr := t.Kind() == reflect.Pointer
	if ptr {
		t = t.Elem()
	}
	p, err := c.plan(svc, id, t)
	return place{p, ptr}, err
}

// plan builds the plan of a shape whose values are t. c.mu is held. A recursive
// shape finds itself in c.plans.
func (c *Codec) plan(svc *awsapi.Service, id awsapi.ShapeID, t reflect.Type) (*plan, error) {
	key := planKey{svc, id, t}
	if p, ok := c.plans[key]; ok {
		return p, nil
	}
	s := svc.Shape(id)
	p := &plan{shape: s, typ: t}
	c.plans[key] = p
	if err := c.fill(p, svc); err != nil {
		delete(c.plans, key)
		return nil, fmt.Errorf("shape %s: %w", s.Name, err)
	}
	return p, nil
}

func (c *Codec) fill(p *plan, svc *awsapi.Service) (err error) {
	t := p.typ
	ok := false
	switch p.shape.Kind {
	case awsapi.Structure, awsapi.Union:
		if t == typeEvents && p.shape.EventStream {
			return nil
		}
		return c.fillStruct(p, svc)
	case awsapi.List:
		if t.Kind() != reflect.Slice {
			break
		}
		p.elem, err = c.place(svc, p.shape.Elem, t.Elem())
		return err
	case awsapi.Map:
		if t.Kind() != reflect.Map || t.Key().Kind() != reflect.String {
			break
		}
		if p.key, err = c.plan(svc, p.shape.Key, t.Key()); err != nil {
			return err
		}
		p.elem, err = c.place(svc, p.shape.Elem, t.Elem())
		return err
	case awsapi.String:
		ok = t.Kind() == reflect.String
		p.pattern = c.patternOf(p.shape)
	case awsapi.Integer:
		ok = t.Kind() == reflect.Int32
	case awsapi.Long:
		ok = t.Kind() == reflect.Int64
	case awsapi.Float:
		ok = t.Kind() == reflect.Float32
	case awsapi.Double:
		ok = t.Kind() == reflect.Float64
	case awsapi.Boolean:
		ok = t.Kind() == reflect.Bool
	case awsapi.Blob:
		ok = t == typeBytes
	case awsapi.Timestamp:
		ok = t == typeTime
	case awsapi.JSON:
		ok = t == typeDocument
	}
	if !ok {
		return fmt.Errorf("the Go type %s does not fit kind %d", t, p.shape.Kind)
	}
	return nil
}

func (c *Codec) fillStruct(p *plan, svc *awsapi.Service) error {
	if p.typ.Kind() != reflect.Struct || p.typ.NumField() != len(p.shape.Members) || len(p.shape.Members) > maxMembers {
		return fmt.Errorf("the Go type %s does not have the shape's %d members", p.typ, len(p.shape.Members))
	}
	p.fields = make([]field, len(p.shape.Members))
	p.keys = make(map[string]int, len(p.shape.Members))
	for i := range p.shape.Members {
		m := &p.shape.Members[i]
		pl, err := c.place(svc, m.Shape, p.typ.Field(i).Type)
		if err != nil {
			return fmt.Errorf("member %s: %w", m.Name, err)
		}
		p.fields[i] = field{place: pl, member: m, inBody: m.Location == awsapi.InBody, key: string(appendString(nil, m.Key())) + ":", said: said(m.Name)}
		if p.fields[i].inBody {
			p.keys[m.Key()] = i
		}
	}
	return nil
}

// said is how AWS names a member in messages about constraints: RoleSessionName
// is 'roleSessionName' there.
func said(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// inputPlan tells where the members of an operation's input travel.
type inputPlan struct {
	op      *awsapi.Operation
	body    *plan
	labels  []int          // field of each label, in the order of the path
	query   map[string]int // parameter -> field
	headers []header
	payload int // field that is the whole body, or -1
	token   int // field of the idempotency token, or -1
	hasBody bool
}

type header struct {
	name  string // canonical
	field int
}

func (c *Codec) buildInput(svc *awsapi.Service, op *awsapi.Operation, t reflect.Type) (*inputPlan, error) {
	p, err := c.plan(svc, op.Input, t)
	if err != nil {
		return nil, err
	}
	ip := &inputPlan{op: op, body: p, query: make(map[string]int), payload: -1, token: -1}
	uri := make(map[string]int)
	for i := range p.fields {
		f := &p.fields[i]
		if f.member.IdempotencyToken {
			ip.token = i
		}
		switch f.member.Location {
		case awsapi.InBody:
			ip.hasBody = true
		case awsapi.InPayload:
			ip.payload = i
		case awsapi.InURI:
			uri[f.member.Key()] = i
		case awsapi.InQuery:
			ip.query[f.member.Key()] = i
		case awsapi.InHeader:
			ip.headers = append(ip.headers, header{textproto.CanonicalMIMEHeaderKey(f.member.Key()), i})
		default:
			return nil, fmt.Errorf("member %s: place %d is not supported in requests", f.member.Name, f.member.Location)
		}
		if err := checkText(f); err != nil {
			return nil, err
		}
	}
	for seg := range strings.SplitSeq(op.URI, "/") {
		name, isLabel := strings.CutPrefix(seg, "{")
		if !isLabel {
			continue
		}
		i, known := uri[strings.TrimRight(name, "+}")]
		if !known {
			return nil, fmt.Errorf("label %s has no member", seg)
		}
		ip.labels = append(ip.labels, i)
	}
	if len(ip.labels) != len(uri) {
		return nil, fmt.Errorf("template %s has %d labels for %d members", op.URI, len(ip.labels), len(uri))
	}
	return ip, nil
}

// checkText refuses members whose kind cannot travel as text.
func checkText(f *field) error {
	switch f.member.Location {
	case awsapi.InURI, awsapi.InHeader, awsapi.InStatusCode:
		if !textual(f.shape.Kind) {
			return fmt.Errorf("member %s: kind %d cannot travel as text", f.member.Name, f.shape.Kind)
		}
	case awsapi.InQuery:
		if k := f.shape.Kind; !textual(k) && (k != awsapi.List || !textual(f.elem.shape.Kind)) {
			return fmt.Errorf("member %s: kind %d cannot travel in a query", f.member.Name, k)
		}
	}
	return nil
}

func textual(k awsapi.Kind) bool { return k >= awsapi.String && k <= awsapi.Timestamp }

// outputPlan tells where the members of an operation's output travel.
type outputPlan struct {
	op      *awsapi.Operation
	body    *plan
	headers []header
	status  int // field that is the HTTP status, or -1
	payload int // field that is the whole body, or -1
}

func (c *Codec) buildOutput(svc *awsapi.Service, op *awsapi.Operation, t reflect.Type) (*outputPlan, error) {
	p, err := c.plan(svc, op.Output, t)
	if err != nil {
		return nil, err
	}
	o := &outputPlan{op: op, body: p, status: -1, payload: -1}
	for i := range p.fields {
		f := &p.fields[i]
		switch f.member.Location {
		case awsapi.InBody:
		case awsapi.InPayload:
			o.payload = i
		case awsapi.InStatusCode:
			o.status = i
		case awsapi.InHeader:
			o.headers = append(o.headers, header{textproto.CanonicalMIMEHeaderKey(f.member.Key()), i})
		default:
			return nil, fmt.Errorf("member %s: place %d is not supported in responses", f.member.Name, f.member.Location)
		}
		if err := checkText(f); err != nil {
			return nil, err
		}
	}
	return o, nil
}
