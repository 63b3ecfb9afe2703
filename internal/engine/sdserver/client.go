package sdserver

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Bounds of answers.
const (
	maxPicture = 32 << 20 // of one picture, in base64
	maxAnswer  = 4 << 20  // of everything else
)

var (
	errNumber   = errors.New("another number of pictures than was asked for")
	errEncoding = errors.New("a picture that is not in base64")
	errAddress  = errors.New("the address of a picture in place of the picture")
	errJob      = errors.New("the job failed")
)

// serverError is an error that the server told. What it says may quote a prompt, so
// only these facts of it are kept.
type serverError struct {
	Status  int
	Blocked bool // a filter of the server refused the prompt or what it made
	After   time.Duration
}

func (e *serverError) Error() string { return fmt.Sprintf("the server answered %d", e.Status) }

// refused makes a *serverError of an answer that was not wanted.
func refused(r remote.Refusal) error {
	e := &serverError{Status: r.Status, After: r.After}
	about := strings.ToLower(string(r.Body))
	for _, sign := range []string{"moderation_blocked", "content_policy", "content filter", "safety system"} {
		e.Blocked = e.Blocked || strings.Contains(about, sign)
	}
	return e
}

// get decodes the JSON answer of a GET, of at most so many bytes.
func (u *upstream) get(ctx context.Context, path string, most int64, out any) error {
	_, err := u.Call(ctx, &remote.Request{Method: http.MethodGet, Path: path, Want: http.StatusOK}, most, out)
	return err
}

// post sends a body and decodes the JSON answer, of at most so many bytes. No
// picture is made twice because a connection was closing.
func (u *upstream) post(ctx context.Context, path, kind string, body []byte, want int, most int64, out any) error {
	r := &remote.Request{Method: http.MethodPost, Path: path, Type: kind, Body: body, Once: true, Want: want}
	_, err := u.Call(ctx, r, most, out)
	return err
}

// picture decodes one picture.
func picture(text string) ([]byte, error) {
	if strings.HasPrefix(text, "data:") {
		_, text, _ = strings.Cut(text, ",")
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil, errEncoding
	}
	return b, nil
}

// failure turns what went wrong into the error for the caller.
func (u *upstream) failure(ctx context.Context, err error) error {
	if e := remote.Settled(ctx, err, "The model's server did not make the pictures in time. Try again."); e != nil {
		return e
	}
	notReady := apierr.ModelNotReady("The model %q is not ready: its server cannot be used now.", u.ID).WithCause(err)
	if _, ok := errors.AsType[remote.Unreached](err); ok {
		u.can.Store(nil)
		return notReady
	}
	e := apierr.ModelError("The model failed to make pictures. Try again.").WithCause(err)
	se, ok := errors.AsType[*serverError](err)
	if !ok {
		return e
	}
	e.OriginalStatus = se.Status
	switch {
	case se.Blocked:
		return apierr.Validation("The server of this model refused the request by its own filter.").WithCause(err)
	case se.Status == http.StatusTooManyRequests:
		busy := apierr.Throttling("Too many requests: the server of this model takes no more now. Try again later.").WithCause(err)
		busy.RetryAfter = se.After
		return busy
	case se.Status == http.StatusBadRequest, se.Status == http.StatusUnprocessableEntity:
		return apierr.Validation("The server of this model refused the request: it may not make pictures of this size, or by this task.").WithCause(err)
	case se.Status == http.StatusRequestEntityTooLarge:
		return apierr.Validation("The pictures of the request are too large for the server of this model.").WithCause(err)
	case se.Status == http.StatusNotFound, se.Status == http.StatusServiceUnavailable, se.Status == http.StatusBadGateway:
		return notReady
	case se.Status == http.StatusGatewayTimeout, se.Status == http.StatusRequestTimeout:
		return apierr.ModelTimeout("The model's server did not answer in time. Try again.").WithCause(err)
	case se.Status == http.StatusUnauthorized, se.Status == http.StatusForbidden:
		u.Log.Error("the server of pictures refuses our key", "status", se.Status)
	}
	return e
}
