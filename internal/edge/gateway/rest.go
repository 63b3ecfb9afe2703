package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/restjson"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// restCodec speaks restJson1.
type restCodec struct{ rest *restjson.Codec }

func (c restCodec) decode(q *request, in any) error {
	_, query := sigv4.Target(q.r)
	return c.rest.Decode(q.svc, q.op, restjson.Request{Labels: q.match.Labels(), Query: query, Header: q.r.Header, Body: q.body, Events: q.events}, in)
}

func (c restCodec) validate(q *request, in any) error {
	return c.rest.Validate(q.svc, q.op, in)
}

func (c restCodec) token(q *request, in any) (string, [32]byte, bool, error) {
	return c.rest.TokenOf(q.svc, q.op, in)
}

func (c restCodec) encode(q *request, out any) (restjson.Response, error) {
	return c.rest.AppendOutput(nil, q.svc, q.op, out)
}

func (restCodec) writeError(q *request, e *apierr.Error) {
	body := restjson.AppendError(nil, e)
	h := q.w.Header()
	h.Set(restjson.HeaderErrorType, e.Code)
	h.Set("Content-Type", restjson.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.status(e.HTTPStatus())
	_, _ = q.w.Write(body) // the client may be gone
}

// retryAfter tells clients when to come back where that is known. Current SDKs read
// x-amz-retry-after, in milliseconds, and wait as long, but at most 5 s longer than
// they would have.
//
// Source: botocore 1.44, retries/standard.py; aws-sdk-go-v2 1.47, aws/retry.
func retryAfter(h http.Header, e *apierr.Error) {
	switch {
	case e.RetryAfter > 0:
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
		h.Set("X-Amz-Retry-After", strconv.FormatInt(e.RetryAfter.Milliseconds(), 10))
	case e.Code == apierr.CodeThrottling || e.Code == apierr.CodeServiceUnavailable:
		h.Set("Retry-After", "1")
	}
}
