package restjson

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

type streamKey struct {
	svc   *awsapi.Service
	shape awsapi.ShapeID
}

// streamPlan is the union of a stream's events with a framer for each.
type streamPlan struct {
	*plan
	framers []eventstream.Framer
}

func (c *Codec) stream(svc *awsapi.Service, id awsapi.ShapeID, t reflect.Type) (*streamPlan, error) {
	key := streamKey{svc, id}
	if p, ok := c.streams.Load(key); ok {
		if sp := p.(*streamPlan); sp.typ == t {
			return sp, nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.plan(svc, id, t)
	if err != nil {
		return nil, err
	}
	sp := &streamPlan{plan: p, framers: make([]eventstream.Framer, len(p.fields))}
	for i := range p.fields {
		f := &p.fields[i]
		if f.shape.Error != nil {
			sp.framers[i], err = eventstream.NewExceptionFramer(f.member.Name)
		} else {
			sp.framers[i], err = eventstream.NewEventFramer(f.member.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", f.member.Name, err)
		}
	}
	c.streams.Store(key, sp)
	return sp, nil
}

// event finds the one member that is set in ev, a pointer to the union of the
// stream's events.
func (c *Codec) event(svc *awsapi.Service, stream awsapi.ShapeID, ev any) (*streamPlan, int, reflect.Value, error) {
	v, err := structOf(ev)
	if err != nil {
		return nil, 0, v, fmt.Errorf("restjson: event: %w", err)
	}
	sp, err := c.stream(svc, stream, v.Type())
	if err != nil {
		return nil, 0, v, fmt.Errorf("restjson: event: %w", err)
	}
	found := -1
	for i := range sp.fields {
		if isNil(v.Field(i)) {
			continue
		}
		if found >= 0 {
			return nil, 0, v, fmt.Errorf("restjson: %s has two members set", sp.shape.Name)
		}
		found = i
	}
	if found < 0 {
		return nil, 0, v, fmt.Errorf("restjson: %s has no member set", sp.shape.Name)
	}
	return sp, found, v.Field(found), nil
}

// AppendEvent appends the JSON payload of one event to dst. ev points to the
// generated union of the stream's events with exactly one member set; name is
// that member's name, the event's type on the wire.
func (c *Codec) AppendEvent(dst []byte, svc *awsapi.Service, stream awsapi.ShapeID, ev any) (name string, payload []byte, err error) {
	sp, i, v, err := c.event(svc, stream, ev)
	if err != nil {
		return "", dst, err
	}
	f := &sp.fields[i]
	out, err := appendValue(dst, f.place, v, formatISO)
	if err != nil {
		return "", dst, fmt.Errorf("restjson: event %s: %w", f.member.Name, err)
	}
	return f.member.Name, out, nil
}

// AppendEventFrame appends one event as a whole frame, or as an exception frame
// when the member that is set is an exception. It copies nothing twice and
// allocates only when dst must grow. On an error dst is returned as it was.
func (c *Codec) AppendEventFrame(dst []byte, svc *awsapi.Service, stream awsapi.ShapeID, ev any) ([]byte, error) {
	sp, i, v, err := c.event(svc, stream, ev)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	f := &sp.fields[i]
	out, err := appendValue(sp.framers[i].Begin(dst), f.place, v, formatISO)
	if err != nil {
		return dst, fmt.Errorf("restjson: event %s: %w", f.member.Name, err)
	}
	return sp.framers[i].End(out, start)
}

// AppendErrorFrame appends the frame that ends a stream with e: an exception
// frame when the stream models e's code, else an error frame, which carries any
// code. SDKs drop exception names that they do not know.
func AppendErrorFrame(dst []byte, svc *awsapi.Service, stream awsapi.ShapeID, e *apierr.Error) ([]byte, error) {
	for i := range svc.Shape(stream).Members {
		m := &svc.Shape(stream).Members[i]
		if svc.Shape(m.Shape).Error != nil && svc.Shape(m.Shape).Name == e.Code {
			return eventstream.AppendException(dst, m.Name, AppendError(nil, e))
		}
	}
	return eventstream.AppendError(dst, e.Code, e.Message)
}

// AppendError appends the JSON body of e: its message and the extra members
// that it has. The code travels in the header HeaderErrorType or, in a stream,
// in the frame's headers.
func AppendError(dst []byte, e *apierr.Error) []byte {
	dst = append(dst, `{"message":`...)
	dst = appendString(dst, e.Message)
	dst = AppendErrorFields(dst, e)
	if e.OriginalStatus != 0 {
		dst = append(dst, `,"originalStatusCode":`...)
		dst = strconv.AppendInt(dst, int64(e.OriginalStatus), 10)
	}
	if e.OriginalMessage != "" {
		dst = append(dst, `,"originalMessage":`...)
		dst = appendString(dst, e.OriginalMessage)
	}
	return append(dst, '}')
}

// AppendErrorFields appends e's further members to an unfinished JSON object, a
// comma before each, in the order of their names.
func AppendErrorFields(dst []byte, e *apierr.Error) []byte {
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		dst = appendString(append(dst, ','), name)
		dst = appendString(append(dst, ':'), e.Fields[name])
	}
	return dst
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }
