package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

// writeStream sends events as frames, each flushed as soon as it is made. The
// status line waits for the first event, so an error before it is an ordinary
// HTTP error; fail makes an exception frame of a later one.
func (g *Gateway) writeStream(q *request, a restjson.Response) error {
	var frame []byte
	if q.events != nil {
		if err := q.openAnswer(a); err != nil {
			return err
		}
	}
	g.release.opened()
	defer g.release.closed()
	for ev, err := range a.Events {
		if err != nil {
			return err
		}
		if frame, err = g.rest.AppendEventFrame(frame[:0], q.svc, a.Stream, ev); err != nil {
			return err
		}
		if !q.wrote {
			setHeaders(q.w.Header(), a, eventstream.ContentType)
			q.modelHeaders()
			q.status(a.Status)
			q.stream = a.Stream
		}
		if err := q.writeFrame(frame); err != nil {
			return err
		}
	}
	if !q.wrote {
		return apierr.ModelError("The model ended its reply before the first event.")
	}
	q.extendWrite() // for the end of the body, which net/http writes
	return nil
}

// writeException ends a stream with the frame that stands for e.
func (g *Gateway) writeException(q *request, e *apierr.Error) error {
	frame, err := restjson.AppendErrorFrame(nil, q.svc, q.stream, e)
	if err != nil {
		return err
	}
	return q.writeFrame(frame)
}

func (q *request) writeFrame(frame []byte) error {
	q.extendWrite()
	if _, err := q.w.Write(frame); err != nil {
		return clientGone{err}
	}
	if err := q.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return clientGone{err}
	}
	q.restWrite()
	return nil
}

// restWrite ends the deadline of a write that is done. In HTTP/1 a deadline
// matters only to a write. In HTTP/2 it resets the stream when it passes, also
// while the model thinks or the caller of a dialog does.
func (q *request) restWrite() {
	if q.r.ProtoMajor > 1 {
		_ = q.rc.SetWriteDeadline(time.Time{})
	}
}

// inStream returns e as this stream can say it. SDKs drop exception names that
// the stream does not model: an engine's failure then takes the nearest name,
// ModelStreamErrorException, and everything else InternalServerException.
func inStream(svc *awsapi.Service, stream awsapi.ShapeID, e *apierr.Error) *apierr.Error {
	models := func(code string) bool {
		for _, m := range svc.Shape(stream).Members {
			if svc.Shape(m.Shape).Error != nil && svc.Shape(m.Shape).Name == code {
				return true
			}
		}
		return false
	}
	if models(e.Code) {
		return e
	}
	switch e.Code {
	case apierr.CodeModelError, apierr.CodeModelTimeout, apierr.CodeModelNotReady:
		if models(apierr.CodeModelStreamError) {
			m := apierr.ModelStreamError("%s", e.Message)
			m.OriginalStatus, m.OriginalMessage = e.HTTPStatus(), e.Message
			return m
		}
	}
	if e.Code == apierr.CodeAccessDenied && models(apierr.CodeValidation) { // a retry would be no use
		return apierr.Validation("%s", e.Message)
	}
	if models(apierr.CodeInternal) {
		return apierr.New(apierr.CodeInternal, http.StatusInternalServerError, "%s", e.Message)
	}
	return e
}
