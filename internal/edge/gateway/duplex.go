package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
	"github.com/outcrop/outcrop/internal/wire/restjson"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const (
	// duplexFrame is the largest frame that a client may send: an event of
	// 1,000,000 bytes in base64, in JSON, in two frames.
	duplexFrame = 1_500_000
	// duplexWait is how long a client may be silent between two events.
	duplexWait = 5 * time.Minute
)

// takesEvents reports whether the body of an operation is a stream of events.
func takesEvents(svc *awsapi.Service, op *awsapi.Operation) bool {
	if op == nil || op.Input == 0 {
		return false
	}
	for _, m := range svc.Shape(op.Input).Members {
		if svc.Shape(m.Shape).EventStream {
			return true
		}
	}
	return false
}

// openDuplex readies a request whose body is read while it is answered. Its
// caller is known from the headers; each event proves itself.
func (g *Gateway) openDuplex(q *request, cred credential) error {
	chain, err := cred.verifyEvents(q)
	if err != nil {
		return err
	}
	if !g.bodies.take(duplexFrame) {
		return apierr.Unavailable("The server holds as many request bytes as it may. Try again.")
	}
	q.held = duplexFrame
	if q.r.ProtoMajor == 1 {
		if err := q.rc.EnableFullDuplex(); err != nil {
			return fmt.Errorf("answer while the request is read: %w", err)
		}
	}
	if q.r.Header.Get("Expect") != "" {
		// net/http says it at the first read, which comes behind the answer's head:
		// too late, clients then wait for a second before they send.
		q.w.WriteHeader(http.StatusContinue)
	}
	r := eventstream.NewReader(q.r.Body)
	r.Max = duplexFrame
	q.events = g.inputEvents(q, r, chain)
	return nil
}

// inputEvents reads, verifies and opens the frames of the body. The stream ends
// with a signed frame that holds no event; a body that ends before it was cut.
// When the server stops, it does not wait for the next event.
func (g *Gateway) inputEvents(q *request, r *eventstream.Reader, chain *sigv4.Events) awsapi.Events {
	return func(yield func(any, error) bool) {
		ctx := q.context()
		woken := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(woken)
			_ = q.rc.SetReadDeadline(time.Now())
		})
		defer func() {
			if !stop() {
				<-woken // q.rc is not for use behind the request's end
			}
		}()
		for {
			_ = q.rc.SetReadDeadline(time.Now().Add(duplexWait)) // not every test writer has one
			if err := ctx.Err(); err != nil {                    // and it may just have overruled the one above
				yield(nil, err)
				return
			}
			ev, err := nextEvent(g.cfg.Now, r, chain)
			if err != nil {
				if stopped, ok := errors.AsType[*apierr.Error](context.Cause(ctx)); ok {
					err = stopped
				}
				yield(nil, err)
				return
			}
			if ev == nil {
				q.arrived = true
				return
			}
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// nextEvent returns nil at the end of the stream.
func nextEvent(now func() time.Time, r *eventstream.Reader, chain *sigv4.Events) (*awsapi.InputEvent, error) {
	outer, err := r.Next()
	if err != nil {
		return nil, frameError(err)
	}
	date, _ := outer.Header(sigv4.HeaderDate)
	sig, _ := outer.Header(sigv4.HeaderSignature)
	if err := chain.Verify(now(), date.Time(), sig.Bytes(), outer.Payload); err != nil {
		return nil, err
	}
	if len(outer.Payload) == 0 {
		return nil, nil
	}
	inner, n, err := eventstream.Decode(outer.Payload)
	if err != nil || n != len(outer.Payload) {
		return nil, apierr.Validation("An event of the request body is not one whole frame.").WithCause(err)
	}
	name := inner.Text(eventstream.HeaderEventType)
	if inner.Text(eventstream.HeaderMessageType) != eventstream.MessageEvent || name == "" {
		return nil, apierr.Validation("An event of the request body lacks its :message-type or :event-type.")
	}
	return &awsapi.InputEvent{Name: name, Payload: inner.Payload}, nil
}

func frameError(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, eventstream.ErrShort):
		return clientGone{err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return apierr.Validation("No event came for %s.", duplexWait)
	case errors.Is(err, eventstream.ErrTooLarge):
		return apierr.Validation("An event of the request body is larger than %d bytes.", duplexFrame)
	case errors.Is(err, eventstream.ErrMalformed), errors.Is(err, eventstream.ErrChecksum):
		return apierr.Validation("The request body is not a stream of events.").WithCause(err)
	}
	return clientGone{err}
}

// openAnswer sends the head of a duplex answer at once: clients wait for it
// before they send.
func (q *request) openAnswer(a restjson.Response) error {
	setHeaders(q.w.Header(), a, eventstream.ContentType)
	q.modelHeaders()
	q.status(a.Status)
	q.stream = a.Stream
	if err := q.rc.Flush(); err != nil {
		return clientGone{err}
	}
	q.restWrite()
	return nil
}
