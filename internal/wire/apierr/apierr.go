// Package apierr holds the only error whose text may reach a client.
//
// Every other error is wrapped with %w on its way up and becomes
// InternalServerException at the edge, so the text of a driver, a path or a
// prompt cannot leak.
package apierr

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// The exception names that Bedrock models or that its front door answers with.
const (
	CodeAccessDenied         = "AccessDeniedException"
	CodeConflict             = "ConflictException"
	CodeExpiredToken         = "ExpiredTokenException"
	CodeIncompleteSignature  = "IncompleteSignatureException"
	CodeInternal             = "InternalServerException"
	CodeInvalidSignature     = "InvalidSignatureException"
	CodeMissingAuth          = "MissingAuthenticationTokenException"
	CodeModelError           = "ModelErrorException"
	CodeModelNotReady        = "ModelNotReadyException"
	CodeModelStreamError     = "ModelStreamErrorException"
	CodeModelTimeout         = "ModelTimeoutException"
	CodeNotImplemented       = "NotImplementedException"
	CodeRequestTooLarge      = "RequestEntityTooLargeException"
	CodeResourceNotFound     = "ResourceNotFoundException"
	CodeSerialization        = "SerializationException"
	CodeServiceQuotaExceeded = "ServiceQuotaExceededException"
	CodeServiceUnavailable   = "ServiceUnavailableException"
	CodeThrottling           = "ThrottlingException"
	CodeUnknownOperation     = "UnknownOperationException"
	CodeUnrecognizedClient   = "UnrecognizedClientException"
	CodeValidation           = "ValidationException"
)

// Error is the only error whose text may reach a client.
type Error struct {
	Code    string // exception name as modelled, e.g. "ValidationException"
	Status  int    // HTTP status; 0 means 500
	Message string // safe for the caller to read
	// OriginalStatus and OriginalMessage are the extra members of
	// ModelErrorException and ModelStreamErrorException; zero values are not sent.
	OriginalStatus  int
	OriginalMessage string
	// Fields are further members of the modelled exception by their names, all of
	// them texts, such as the Reason of Organizations' InvalidInputException. The
	// JSON protocols send them; XML has no place for them.
	Fields map[string]string
	// RetryAfter is when a client should come back, sent in whole seconds; 0 means
	// that nobody knows.
	RetryAfter time.Duration
	Err        error // cause: logged, never sent
}

// Error returns code and message; the cause is left out on purpose.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus returns the status to answer with: Status, or 500 when unset.
func (e *Error) HTTPStatus() int {
	if e.Status == 0 {
		return http.StatusInternalServerError
	}
	return e.Status
}

// WithField returns a copy of e whose exception has one more member.
func (e *Error) WithField(name, value string) *Error {
	c := *e
	c.Fields = make(map[string]string, len(e.Fields)+1)
	for k, v := range e.Fields {
		c.Fields[k] = v
	}
	c.Fields[name] = value
	return &c
}

// WithCause returns a copy of e that carries err for the log.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// From returns err as an *Error. An unknown error becomes InternalServerException
// with a fixed message; err itself is kept as the cause. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeInternal, Status: http.StatusInternalServerError, Message: "The service hit an internal error. Try again; the server's log has the cause under this request id.", Err: err}
}

// New builds an error with the given code and status.
func New(code string, status int, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Message: fmt.Sprintf(format, args...)}
}

// Validation is ValidationException, 400. The message must name the field.
func Validation(format string, args ...any) *Error {
	return New(CodeValidation, http.StatusBadRequest, format, args...)
}

// AccessDenied is AccessDeniedException, 403.
func AccessDenied(format string, args ...any) *Error {
	return New(CodeAccessDenied, http.StatusForbidden, format, args...)
}

// NotFound is ResourceNotFoundException, 404.
func NotFound(format string, args ...any) *Error {
	return New(CodeResourceNotFound, http.StatusNotFound, format, args...)
}

// Conflict is ConflictException, 400 as bedrock and bedrock-runtime model it.
func Conflict(format string, args ...any) *Error {
	return New(CodeConflict, http.StatusBadRequest, format, args...)
}

// QuotaExceeded is ServiceQuotaExceededException, 400 as bedrock and
// bedrock-runtime model it; the SDKs do not retry it.
func QuotaExceeded(format string, args ...any) *Error {
	return New(CodeServiceQuotaExceeded, http.StatusBadRequest, format, args...)
}

// Throttling is ThrottlingException, 429; the SDKs retry it.
func Throttling(format string, args ...any) *Error {
	return New(CodeThrottling, http.StatusTooManyRequests, format, args...)
}

// ModelNotReady is ModelNotReadyException, 429; the SDKs retry it up to 5 times.
func ModelNotReady(format string, args ...any) *Error {
	return New(CodeModelNotReady, http.StatusTooManyRequests, format, args...)
}

// ModelTimeout is ModelTimeoutException, 408.
func ModelTimeout(format string, args ...any) *Error {
	return New(CodeModelTimeout, http.StatusRequestTimeout, format, args...)
}

// ModelError is ModelErrorException, 424: the engine failed before its first token.
func ModelError(format string, args ...any) *Error {
	return New(CodeModelError, http.StatusFailedDependency, format, args...)
}

// ModelStreamError is ModelStreamErrorException, 424: the engine failed mid-stream.
func ModelStreamError(format string, args ...any) *Error {
	return New(CodeModelStreamError, http.StatusFailedDependency, format, args...)
}

// Unavailable is ServiceUnavailableException, 503; the SDKs retry it.
func Unavailable(format string, args ...any) *Error {
	return New(CodeServiceUnavailable, http.StatusServiceUnavailable, format, args...)
}
