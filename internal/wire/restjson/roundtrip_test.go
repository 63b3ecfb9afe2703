package restjson

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// requestOf writes an input the way a client does: the inverse of Decode.
func requestOf(t testing.TB, ip *inputPlan, v reflect.Value) Request {
	t.Helper()
	var r Request
	text := func(f *field, v reflect.Value) string {
		return string(appendText(nil, f.plan, reflect.Indirect(v), timeFormat(f.member)))
	}
	for _, i := range ip.labels {
		r.Labels = append(r.Labels, text(&ip.body.fields[i], v.Field(i)))
	}
	r.Header = make(http.Header)
	for _, h := range ip.headers {
		if !isNil(v.Field(h.field)) {
			r.Header.Set(h.name, text(&ip.body.fields[h.field], v.Field(h.field)))
		}
	}
	query := url.Values{"X-Unbound": {"1", "2"}}
	for name, i := range ip.query {
		f, fv := &ip.body.fields[i], v.Field(i)
		switch {
		case isNil(fv):
		case f.shape.Kind == awsapi.List:
			for j := range fv.Len() {
				query.Add(name, string(appendText(nil, f.elem.plan, fv.Index(j), timeFormat(f.member))))
			}
		default:
			query.Set(name, text(f, fv))
		}
	}
	r.Query = query.Encode()
	if len(query)%2 == 0 { // both spellings of a space
		r.Query = strings.ReplaceAll(r.Query, "+", "%20")
	}
	var err error
	switch {
	case ip.payload < 0:
		r.Body, err = appendMembers(nil, ip.body, v, nil)
	case ip.body.fields[ip.payload].shape.Kind == awsapi.Blob:
		r.Body = v.Field(ip.payload).Bytes()
	case !isNil(v.Field(ip.payload)):
		r.Body, err = appendValue(nil, ip.body.fields[ip.payload].place, v.Field(ip.payload), formatISO)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const rounds = 40 // random values per operation and direction

func TestEveryInputRoundTrips(t *testing.T) {
	t.Parallel()
	c := New()
	for _, o := range operations() {
		if o.op.Input == 0 {
			continue
		}
		t.Run(o.svc.Name+"."+o.op.Name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(rounds) {
				m := maker{rand.New(rand.NewPCG(seed, 1))}
				want := o.newIn()
				ip, v, err := c.input(o.svc, o.op, want)
				if err != nil {
					t.Fatal(err)
				}
				m.fillStruct(ip.body, v, 0)
				req := requestOf(t, ip, v)
				got := o.newIn()
				if err := c.Decode(o.svc, o.op, req, got); err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, err, req.Body)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("seed %d: %s\n%s\n%s", seed, d, req.Query, req.Body)
				}
				// Whatever was decoded can be judged, and hashed alike.
				if err := c.Validate(o.svc, o.op, got); err != nil {
					wantValidation(t, err)
				}
				_, h1, ok1, err1 := c.TokenOf(o.svc, o.op, want)
				_, h2, ok2, err2 := c.TokenOf(o.svc, o.op, got)
				if h1 != h2 || ok1 != ok2 || err1 != nil || err2 != nil {
					t.Fatalf("seed %d: hashes differ or fail: %v %v", seed, err1, err2)
				}
			}
		})
	}
}

func TestEveryOutputRoundTrips(t *testing.T) {
	t.Parallel()
	c := New()
	for _, o := range operations() {
		if o.op.Output == 0 {
			continue
		}
		t.Run(o.svc.Name+"."+o.op.Name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(rounds) {
				m := maker{rand.New(rand.NewPCG(seed, 2))}
				want := o.newOut()
				p, v, err := c.output(o.svc, o.op, want)
				if err != nil {
					t.Fatal(err)
				}
				m.fillStruct(p.body, v, 0)
				if p.payload >= 0 && p.body.fields[p.payload].shape.EventStream {
					v.Field(p.payload).Set(reflect.ValueOf(awsapi.Events(func(func(any, error) bool) {})))
				}
				r, err := c.AppendOutput(nil, o.svc, o.op, want)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if r.Status != o.op.Status {
					t.Errorf("status %d, want %d", r.Status, o.op.Status)
				}
				got := o.newOut()
				readOutput(t, p, reflect.ValueOf(got).Elem(), r)
				if d := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool {
					return p.Last().Type() == typeEvents
				}, cmp.Ignore())); d != "" {
					t.Fatalf("seed %d: %s\n%s", seed, d, r.Body)
				}
			}
		})
	}
}

// readOutput reads a response the way a client does.
func readOutput(t *testing.T, p *outputPlan, v reflect.Value, r Response) {
	t.Helper()
	values := map[string]string{"Content-Type": r.ContentType}
	for _, h := range r.Headers {
		values[h.Name] = h.Value
	}
	for _, h := range p.headers {
		s, ok := values[h.name]
		f, fv := &p.body.fields[h.field], v.Field(h.field)
		if !ok || h.name == "Content-Type" && r.ContentType == ContentType {
			continue
		}
		if f.ptr {
			fv.Set(reflect.New(f.typ))
			fv = fv.Elem()
		}
		if what := setText(f.plan, fv, s, timeFormat(f.member)); what != "" {
			t.Fatal(what)
		}
	}
	if r.Status == http.StatusNoContent || r.Events != nil {
		return
	}
	target := place{plan: p.body}
	if p.payload >= 0 {
		f := &p.body.fields[p.payload]
		if f.shape.Kind == awsapi.Blob {
			v.Field(p.payload).SetBytes(r.Body)
			return
		}
		target, v = f.place, v.Field(p.payload)
		if string(r.Body) == "{}" && target.ptr {
			return
		}
	}
	d := new(decoder)
	d.reset(r.Body)
	if err := d.document(target, v); err != nil {
		t.Fatalf("%v\n%s", err, r.Body)
	}
}

func TestEveryPatternCompiles(t *testing.T) {
	t.Parallel()
	c := New()
	for _, o := range operations() {
		if o.op.Input != 0 {
			if _, _, err := c.input(o.svc, o.op, o.newIn()); err != nil {
				t.Error(err)
			}
		}
		if o.op.Output != 0 {
			if _, _, err := c.output(o.svc, o.op, o.newOut()); err != nil {
				t.Error(err)
			}
		}
	}
	if len(c.patterns) < 50 {
		t.Fatalf("only %d patterns", len(c.patterns))
	}
	for source, p := range c.patterns {
		if _, err := p.compile(); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := New()
	ops := operations()
	for i, o := range ops {
		if o.op.Input == 0 {
			continue
		}
		in := o.newIn()
		ip, v, err := c.input(o.svc, o.op, in)
		if err != nil {
			f.Fatal(err)
		}
		maker{rand.New(rand.NewPCG(uint64(i), 3))}.fillStruct(ip.body, v, 3)
		r := requestOf(f, ip, v)
		f.Add(uint16(i), strings.Join(r.Labels, "\n"), r.Query, r.Body)
	}
	f.Fuzz(func(t *testing.T, which uint16, labels, query string, body []byte) {
		o := ops[int(which)%len(ops)]
		if o.op.Input == 0 {
			return
		}
		in := o.newIn()
		req := Request{Labels: strings.Split(labels, "\n"), Query: query, Body: body}
		if err := c.Decode(o.svc, o.op, req, in); err != nil {
			wantClientError(t, err)
			return
		}
		if err := c.Validate(o.svc, o.op, in); err != nil {
			wantClientError(t, err)
		}
		// What was read can be written and read again.
		ip, v, err := c.input(o.svc, o.op, in)
		if err != nil {
			t.Fatal(err)
		}
		if ip.payload >= 0 {
			return
		}
		text, err := appendMembers(nil, ip.body, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		again := o.newIn()
		if err := c.Decode(o.svc, o.op, Request{Body: text}, again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		text2, err := appendMembers(nil, ip.body, reflect.ValueOf(again).Elem(), nil)
		if err != nil || string(text) != string(text2) {
			t.Fatalf("%s\nbecomes\n%s, %v", text, text2, err)
		}
	})
}
