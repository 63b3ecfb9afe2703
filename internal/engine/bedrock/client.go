package bedrock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// maxAnswer bounds answers that are read whole: a vector of 16,384 numbers is some
// 200 KiB.
const maxAnswer = 8 << 20

var (
	errCutOff  = errors.New("the upstream's stream ended before its last event")
	errEndless = errors.New("the upstream's stream is longer than what was asked for")
	errNoUsage = errors.New("the upstream does not tell how many tokens it counted")
	errOrder   = errors.New("the upstream's events come in no order")
)

// noCredentials: there is nothing to sign with.
type noCredentials struct{ error }

func (e noCredentials) Unwrap() error { return e.error }

// serverError is an error that the upstream told. What it says may quote input and
// name the account there, so only these facts of it are kept.
type serverError struct {
	Status  int
	Code    string        // name of the exception, "" when it is none that we know
	TooLong bool          // the input does not fit
	About   string        // what a ValidationException is about, in our words; "" when not known
	After   time.Duration // Retry-After
	Origin  int           // originalStatusCode of a ModelErrorException
}

func (e *serverError) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("the upstream answered %d %s", e.Status, e.Code)
	}
	return fmt.Sprintf("the upstream answered %d", e.Status)
}

// codes are the exceptions that may be named in our log.
func codes() []string {
	return []string{
		apierr.CodeAccessDenied, apierr.CodeConflict, apierr.CodeExpiredToken, apierr.CodeIncompleteSignature, apierr.CodeInternal,
		apierr.CodeInvalidSignature, apierr.CodeMissingAuth, apierr.CodeModelError, apierr.CodeModelNotReady, apierr.CodeModelStreamError,
		apierr.CodeModelTimeout, apierr.CodeNotImplemented, apierr.CodeResourceNotFound, apierr.CodeSerialization,
		apierr.CodeServiceQuotaExceeded, apierr.CodeServiceUnavailable, apierr.CodeThrottling, apierr.CodeUnknownOperation,
		apierr.CodeUnrecognizedClient, apierr.CodeValidation, apierr.CodeRequestTooLarge,
	}
}

// refused makes a *serverError of an answer that was not wanted.
func refused(r remote.Refusal) error {
	e := serverErrorOf(r.Status, r.Header.Get("X-Amzn-Errortype"), r.Body)
	e.After = r.After
	return e
}

// serverErrorOf reads an exception: its name, as header, event or body tell it, and
// its body. Names on the wire may be lowerCamel, or have a namespace around them.
func serverErrorOf(status int, name string, body []byte) *serverError {
	var b struct {
		Type     string `json:"__type"`
		Message  string `json:"message"`
		Original int    `json:"originalStatusCode"`
	}
	_ = json.Unmarshal(body, &b) // what is not there stays empty
	if name == "" {
		name = b.Type
	}
	if _, after, ok := strings.Cut(name, "#"); ok {
		name = after
	}
	name, _, _ = strings.Cut(name, ":")
	e := &serverError{Status: status}
	if b.Original >= 100 && b.Original <= 599 {
		e.Origin = b.Original
	}
	for _, c := range codes() {
		if strings.EqualFold(c, name) {
			e.Code = c
		}
	}
	e.TooLong, e.About = read(b.Message)
	return e
}

// read finds what a message of a ValidationException is about.
func read(message string) (tooLong bool, about string) {
	m := strings.ToLower(message)
	for _, sign := range []string{"too long", "too many input tokens", "context length", "context window", "maximum context", "input length and `max_tokens` exceed"} {
		if strings.Contains(m, sign) {
			return true, ""
		}
	}
	for _, topic := range []struct{ sign, about string }{
		{"doesn't support tool", "toolConfig: the model does not use tools"},
		{"does not support tool", "toolConfig: the model does not use tools"},
		{"doesn't support system", "system: the model takes no system prompt"},
		{"doesn't support the image", "messages: the model sees no images"},
		{"doesn't support image", "messages: the model sees no images"},
		{"output_config", "outputConfig: the model does not take this output format"},
		{"outputconfig", "outputConfig: the model does not take this output format"},
		{"maximum tokens you requested", "maxTokens: it exceeds the model's limit"},
		{"stop sequence", "stopSequences: the model does not take these"},
		{"temperature", "temperature: the model does not take this value"},
		{"top_p", "topP: the model does not take this value"},
		{"topp", "topP: the model does not take this value"},
		{"toolchoice", "toolConfig.toolChoice: the model does not take this choice"},
		{"tool_choice", "toolConfig.toolChoice: the model does not take this choice"},
		{"tool", "toolConfig: the model does not take these tools, calls or results"},
		{"prefill", "messages: the model cannot continue a turn of the assistant"},
		{"must end with a user message", "messages: the model cannot continue a turn of the assistant"},
		{"image", "messages: the model does not take these images"},
	} {
		if strings.Contains(m, topic.sign) {
			return false, topic.about
		}
	}
	return false, ""
}

// post sends a JSON body to an operation of the model. An answer other than 200 is
// a *serverError.
func (u *upstream) post(ctx context.Context, operation, accept string, body any) (*http.Response, error) {
	return u.Do(ctx, u.request(operation, accept, body))
}

// call sends a JSON body and decodes a JSON answer into out. It returns the
// answer's header.
func (u *upstream) call(ctx context.Context, operation string, body, out any) (http.Header, error) {
	return u.Call(ctx, u.request(operation, "application/json", body), maxAnswer, out)
}

// request is one to an operation of the model. Errors name the operation: the path
// may name an account.
func (u *upstream) request(operation, accept string, body any) *remote.Request {
	return &remote.Request{
		Method: http.MethodPost, Path: u.path + operation, Name: operation, JSON: body, Header: http.Header{"Accept": {accept}}, Want: http.StatusOK,
	}
}

// failure turns what went wrong into the error for the caller. begun says that a
// part of the reply went out already.
func (u *upstream) failure(ctx context.Context, begun bool, err error) error {
	if e := remote.Settled(ctx, err, "The model's server stopped answering. Try again."); e != nil {
		return e
	}
	se, told := errors.AsType[*serverError](err)
	if told && !begun {
		if e := u.refusal(se); e != nil {
			return e.WithCause(err)
		}
	}
	if _, ok := errors.AsType[remote.Unreached](err); ok {
		return apierr.ModelNotReady("The model %q is not ready: its upstream cannot be reached now.", u.ID).WithCause(err)
	}
	e := apierr.ModelError("The model failed before it replied. Try again.")
	if begun {
		e = apierr.ModelStreamError("The model failed in the middle of the reply.")
	}
	if _, ok := errors.AsType[noCredentials](err); ok {
		u.Log.Error("there are no credentials for the upstream", "error", err)
	}
	if told {
		e.OriginalStatus = se.Status
		if se.Origin != 0 {
			e.OriginalStatus = se.Origin
		}
	}
	e.Err = err
	return e
}

// refusal is the error for an answer that says why there is no reply; nil when it
// says nothing of use to a caller.
func (u *upstream) refusal(se *serverError) *apierr.Error {
	switch {
	case se.TooLong, se.Status == http.StatusRequestEntityTooLarge:
		return apierr.Validation("Input is too long for requested model.")
	case se.Code == apierr.CodeThrottling, se.Code == apierr.CodeServiceQuotaExceeded, se.Code == "" && se.Status == http.StatusTooManyRequests:
		e := apierr.Throttling("Too many requests: the upstream of this model takes no more now. Try again later.")
		e.RetryAfter = se.After
		return e
	case se.Code == apierr.CodeModelNotReady, se.Status == http.StatusServiceUnavailable, se.Status == http.StatusBadGateway:
		e := apierr.ModelNotReady("The model %q is not ready: its upstream cannot answer now.", u.ID)
		e.RetryAfter = se.After
		return e
	case se.Code == apierr.CodeModelTimeout, se.Status == http.StatusGatewayTimeout, se.Status == http.StatusRequestTimeout:
		return apierr.ModelTimeout("The model's server did not answer in time. Try again.")
	case se.Code == apierr.CodeValidation && se.About != "":
		return apierr.Validation("%s.", se.About)
	case se.Code == apierr.CodeValidation:
		return apierr.Validation("The upstream of this model refused the request as invalid.")
	case se.Status == http.StatusUnauthorized, se.Status == http.StatusForbidden:
		u.Log.Error("the upstream refuses our credentials, or does not let them use the model", "status", se.Status, "code", se.Code)
	case se.Status == http.StatusNotFound:
		u.Log.Error("the upstream does not have the model", "status", se.Status, "code", se.Code)
	}
	return nil
}
