package session

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/call"
)

var errForm = errors.New("session: the token has a form that this version does not know")

// encode writes a session: its secret, the principal and what bounds it. packed is
// how many bytes policies and tags take.
func (c *packer) encode(p *call.Principal, sec []byte) (plain []byte, packed int, err error) {
	s := p.Session
	var base writer
	for _, t := range []string{
		string(p.Type), p.Account, p.ARN, p.UserID, p.Name,
		s.RoleARN, s.RoleID, s.RoleName, s.Name, s.Owner, s.SourceIdentity, s.Provider, s.Subject, s.Audience,
		s.Origin, s.Elevation,
	} {
		base.text(t)
	}
	base.time(s.Issued)
	base.time(s.Expires)
	base.time(s.MFA)
	base.flag(s.Chained)

	var bounds writer
	bounds.list(s.Policies)
	bounds.list(s.PolicyARNs)
	bounds.number(int64(len(s.Tags)))
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		bounds.text(k)
		bounds.text(s.Tags[k])
	}
	bounds.list(s.TransitiveTags)

	head, err := c.pack(base.b)
	if err != nil {
		return nil, 0, err
	}
	tail, err := c.pack(bounds.b)
	if err != nil {
		return nil, 0, err
	}
	if len(s.Policies)+len(s.PolicyARNs)+len(s.Tags) > 0 {
		packed = len(tail)
	}
	var out writer
	out.text(string(sec))
	out.text(string(head))
	out.text(string(tail))
	return out.b, packed, nil
}

// decode undoes encode.
func decode(plain []byte) (p call.Principal, sec []byte, err error) {
	in := reader{b: plain}
	sec = []byte(in.text())
	head, tail := in.text(), in.text()
	if !in.done() {
		return p, nil, errForm
	}
	base, err := unpack([]byte(head))
	if err != nil {
		return p, nil, err
	}
	bounds, err := unpack([]byte(tail))
	if err != nil {
		return p, nil, err
	}
	s := &call.Session{}
	r := reader{b: base}
	p.Type = call.PrincipalType(r.text())
	for _, t := range []*string{
		&p.Account, &p.ARN, &p.UserID, &p.Name,
		&s.RoleARN, &s.RoleID, &s.RoleName, &s.Name, &s.Owner, &s.SourceIdentity, &s.Provider, &s.Subject, &s.Audience,
		&s.Origin, &s.Elevation,
	} {
		*t = r.text()
	}
	s.Issued, s.Expires, s.MFA = r.time(), r.time(), r.time()
	s.Chained = r.flag()

	b := reader{b: bounds}
	s.Policies, s.PolicyARNs = b.list(), b.list()
	if n := b.count(); n > 0 {
		s.Tags = make(map[string]string, n)
		for range n {
			k := b.text()
			s.Tags[k] = b.text()
		}
	}
	s.TransitiveTags = b.list()
	if !r.done() || !b.done() || len(sec) != secretBytes {
		return p, nil, errForm
	}
	p.Session = s
	return p, sec, nil
}

// writer writes values one behind the other: numbers as varints, texts behind
// their length.
type writer struct{ b []byte }

func (w *writer) number(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (w *writer) text(t string) {
	w.number(int64(len(t)))
	w.b = append(w.b, t...)
}

func (w *writer) list(l []string) {
	w.number(int64(len(l)))
	for _, t := range l {
		w.text(t)
	}
}

// time writes whole seconds; 0 is no time at all.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.number(0)
		return
	}
	w.number(t.Unix())
}

func (w *writer) flag(on bool) {
	if on {
		w.number(1)
		return
	}
	w.number(0)
}

// reader undoes writer. The first value that does not fit makes all later ones
// zero; done tells.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() int64 {
	n, used := binary.Varint(r.b)
	if r.bad || used <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[used:]
	return n
}

// count is a number of things that take a byte each, at least.
func (r *reader) count() int {
	n := r.number()
	if n < 0 || n > int64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count()
	t := string(r.b[:n])
	r.b = r.b[n:]
	return t
}

func (r *reader) list() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	l := make([]string, n)
	for i := range l {
		l[i] = r.text()
	}
	return l
}

func (r *reader) time() time.Time {
	n := r.number()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (r *reader) flag() bool { return r.number() != 0 }

// done reports whether everything was read and nothing is left.
func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }
