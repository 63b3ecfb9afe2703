// Package awsjson speaks the protocols AWS JSON 1.0 and 1.1: every operation is
// a POST to the root, the header X-Amz-Target names it, and bodies are JSON.
//
// Bodies are those of package restjson, whose codec reads, checks and writes
// them; the tables say where the two differ, which is in the form of timestamps.
// What stands here is the target, the media type and the form of errors. The
// package keeps no state; all functions are safe for concurrent use.
package awsjson

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

// HeaderTarget is the request header that names the operation, in the canonical
// spelling of net/http.
const HeaderTarget = "X-Amz-Target"

// maxTarget bounds the header, in bytes. AWS's longest is about 100.
const maxTarget = 256

// DefaultVersion is the version of the protocol in answers for no known service.
const DefaultVersion = "1.1"

// ContentType is the media type of svc's bodies, e.g. "application/x-amz-json-1.1".
// svc may be nil.
func ContentType(svc *awsapi.Service) string {
	if svc == nil {
		return "application/x-amz-json-" + DefaultVersion
	}
	return "application/x-amz-json-" + cmp.Or(svc.JSONVersion, DefaultVersion)
}

// Target takes the value of X-Amz-Target apart, at its last dot: some prefixes
// hold dots themselves. ok is false when there is no dot or a part is empty,
// when the operation has other characters than letters and digits, or when the
// whole is longer than 256 bytes.
func Target(header string) (prefix, operation string, ok bool) {
	i := strings.LastIndexByte(header, '.')
	if i <= 0 || i == len(header)-1 || len(header) > maxTarget {
		return "", "", false
	}
	for _, c := range []byte(header[i+1:]) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return "", "", false
		}
	}
	return header[:i], header[i+1:], true
}

// Codec reads and writes bodies. The zero value is of no use.
type Codec struct{ json *restjson.Codec }

// New returns a codec that shares what json has learned about Go types.
func New(json *restjson.Codec) Codec { return Codec{json} }

// Decode reads body into dst, a pointer to the zero input struct of op. An empty
// body means an empty object. Errors are those of restjson.Codec.Decode.
func (c Codec) Decode(svc *awsapi.Service, op *awsapi.Operation, body []byte, dst any) error {
	return c.json.Decode(svc, op, restjson.Request{Body: body}, dst)
}

// AppendOutput appends the JSON of out, a pointer to op's output struct, to dst;
// nothing when the model has no output for op. An error means that out does not
// fit op.
func (c Codec) AppendOutput(dst []byte, svc *awsapi.Service, op *awsapi.Operation, out any) ([]byte, error) {
	if op.Void {
		return dst, nil
	}
	r, err := c.json.AppendOutput(dst, svc, op, out)
	if err != nil {
		return dst, fmt.Errorf("awsjson: %w", err)
	}
	return r.Body, nil
}

// AppendError appends the body of e to dst: its code under "__type", its message
// under the name that the model has for it, and e's further members. svc may be
// nil when the service is not known. The status to send is Status's.
func AppendError(dst []byte, svc *awsapi.Service, e *apierr.Error) []byte {
	dst = restjson.AppendString(append(dst, `{"__type":`...), e.Code)
	dst = restjson.AppendString(append(dst, ','), messageKey(svc, e.Code))
	dst = restjson.AppendString(append(dst, ':'), e.Message)
	dst = restjson.AppendErrorFields(dst, e)
	return append(dst, '}')
}

// exception returns the shape of a modelled code, or nil.
func exception(svc *awsapi.Service, code string) *awsapi.Shape {
	if svc == nil {
		return nil
	}
	for i := range svc.Shapes {
		if s := &svc.Shapes[i]; s.Error != nil && s.Name == code {
			return s
		}
	}
	return nil
}

// messageKey is "message" or, as in Organizations, "Message".
func messageKey(svc *awsapi.Service, code string) string {
	if s := exception(svc, code); s != nil {
		for i := range s.Members {
			if key := s.Members[i].Key(); strings.EqualFold(key, "message") {
				return key
			}
		}
	}
	return "message"
}

// Status is the HTTP status to answer with: the protocol knows 400 for all that
// the caller can mend, where a REST API has 403, 404, 409 or 429, and the
// status of the model for exceptions. Errors of HTTP itself and of the server
// keep theirs.
//
// Source: Amazon DynamoDB developer guide, "Error handling with DynamoDB", which
// lists the codes that all services of the protocol share.
func Status(svc *awsapi.Service, e *apierr.Error) int {
	if s := exception(svc, e.Code); s != nil {
		return s.Error.Status
	}
	switch e.Code {
	case apierr.CodeAccessDenied, apierr.CodeExpiredToken, apierr.CodeIncompleteSignature, apierr.CodeInvalidSignature,
		apierr.CodeMissingAuth, apierr.CodeThrottling, apierr.CodeUnrecognizedClient:
		return http.StatusBadRequest
	}
	return e.HTTPStatus()
}
