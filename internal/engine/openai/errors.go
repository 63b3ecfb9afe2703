package openai

import (
	"context"
	"errors"
	"net/http"

	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var (
	errCutOff  = errors.New("the server's stream ended before its end mark")
	errEndless = errors.New("the server's stream is longer than what was asked for")
	errNoUsage = errors.New("the server does not tell how many tokens it counted")
	errEnded   = errors.New("the server broke the reply off")
)

// broken reports whether err came from the connection and not from an answer.
func broken(err error) bool {
	_, answered := errors.AsType[*serverError](err)
	_, ours := errors.AsType[*apierr.Error](err)
	return err != nil && !answered && !ours && !errors.Is(err, remote.ErrBadJSON) && !errors.Is(err, errNoUsage)
}

// notReady is the error for a server that cannot be used now.
func notReady(id string, cause error) *apierr.Error {
	return apierr.ModelNotReady("The model %q is not ready: its server cannot be used now.", id).WithCause(cause)
}

// failure turns what went wrong into the error for the caller, and forgets a server
// that broke the connection. begun says that a part of the reply went out already.
func (u *upstream) failure(ctx context.Context, begun replied, err error) error {
	if broken(err) {
		u.suspect()
	}
	if e := remote.Settled(ctx, err, "The model's server stopped answering. Try again."); e != nil {
		return e
	}
	status := 0
	if se, ok := errors.AsType[*serverError](err); ok {
		if !begun {
			if e := u.refusal(se); e != nil {
				return e
			}
		}
		status = se.Status
	}
	if _, ok := errors.AsType[remote.Unreached](err); ok {
		return notReady(u.ID, err)
	}
	e := apierr.ModelError("The model failed before it replied. Try again.")
	if begun {
		e = apierr.ModelStreamError("The model failed in the middle of the reply.")
	}
	e.OriginalStatus, e.Err = status, err
	return e
}

// replied says whether a part of a reply has gone out.
type replied bool

// refusal is the error for an answer that says why there is no reply; nil when it
// says nothing of use to a caller.
func (u *upstream) refusal(se *serverError) error {
	switch {
	case se.TooLong && se.Context > 0:
		return apierr.Validation("Input is too long for requested model: %d input tokens, the context holds %d.", se.Prompt, se.Context).WithCause(se)
	case se.TooLong, se.Status == http.StatusRequestEntityTooLarge:
		return apierr.Validation("Input is too long for requested model.").WithCause(se)
	case se.Status == http.StatusTooManyRequests:
		e := apierr.Throttling("Too many requests: the server of this model takes no more now. Try again later.").WithCause(se)
		e.RetryAfter = se.After
		return e
	case se.Status == http.StatusServiceUnavailable, se.Status == http.StatusNotFound, se.Status == http.StatusBadGateway:
		e := notReady(u.ID, se)
		e.RetryAfter = se.After
		return e
	case se.Status == http.StatusGatewayTimeout, se.Status == http.StatusRequestTimeout:
		return apierr.ModelTimeout("The model's server did not answer in time. Try again.").WithCause(se)
	case se.Status == http.StatusUnauthorized, se.Status == http.StatusForbidden:
		u.Log.Error("the upstream server refuses our key", "status", se.Status)
	}
	return nil
}
