package gateway

import (
	"errors"
	"net/http"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

const eventStreamType = "application/vnd.amazon.eventstream"

// writeStream sends events as frames, each flushed as soon as it is made. The
// status line waits for the first event, so an error before it is an ordinary
// HTTP error; a later one is an exception frame.
func (g *Gateway) writeStream(q *request, a restjson.Response) error {
	var frame []byte
	for ev, err := range a.Events {
		if err != nil {
			if !q.wrote || q.r.Context().Err() != nil {
				return err
			}
			return errors.Join(err, g.writeException(q, a.Stream, apierr.From(err)))
		}
		if !q.wrote {
			setHeaders(q.w.Header(), a, eventStreamType)
			q.modelHeaders()
			q.status(a.Status)
		}
		if frame, err = g.rest.AppendEventFrame(frame[:0], q.svc, a.Stream, ev); err != nil {
			return err
		}
		if err := q.writeFrame(frame); err != nil {
			return err
		}
	}
	if !q.wrote {
		return apierr.ModelError("The model ended its reply before the first event.")
	}
	return nil
}

// writeException ends a stream with the frame that stands for e.
func (g *Gateway) writeException(q *request, stream awsapi.ShapeID, e *apierr.Error) error {
	q.ErrorCode = e.Code
	frame, err := restjson.AppendErrorFrame(nil, q.svc, stream, inStream(q.svc, stream, e))
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
	return nil
}

// inStream returns e as this stream can say it. SDKs drop exception names that
// the stream does not model, so an engine's failure takes the nearest name that
// it does: ModelStreamErrorException.
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
	return e
}
