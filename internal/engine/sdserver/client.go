package sdserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Bounds of answers.
const (
	maxPicture = 32 << 20 // of one picture, in base64
	maxAnswer  = 4 << 20  // of everything else
	maxError   = 64 << 10
)

var (
	errStalled  = errors.New("the server did not make the pictures in time")
	errBadJSON  = errors.New("not the expected JSON") // the decoder's error may quote the text
	errTooLarge = errors.New("the answer is larger than pictures of that size are")
	errNumber   = errors.New("another number of pictures than was asked for")
	errEncoding = errors.New("a picture that is not in base64")
	errAddress  = errors.New("the address of a picture in place of the picture")
	errJob      = errors.New("the job failed")
)

// unreached is an error of a request that no connection was found for.
type unreached struct{ error }

func (e unreached) Unwrap() error { return e.error }

// serverError is an error that the server told. What it says may quote a prompt, so
// only these facts of it are kept.
type serverError struct {
	Status  int
	Blocked bool // a filter of the server refused the prompt or what it made
	After   time.Duration
}

func (e *serverError) Error() string { return fmt.Sprintf("the server answered %d", e.Status) }

// do sends a request and returns an answer of one of the wanted statuses. Another
// one is a *serverError.
func (u *upstream) do(ctx context.Context, method, path, contentType string, body []byte, want int) (*http.Response, error) {
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, method, u.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for k, v := range u.c.Header {
		req.Header[k] = v
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if !u.c.Key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+string(u.c.Key.Reveal()))
	}
	if method == http.MethodGet {
		// An empty list marks the request as repeatable without sending a header: the
		// connection may be closing just as it is reused.
		req.Header["X-Idempotency-Key"] = []string{}
	}
	resp, err := u.http.Do(req)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
		if !connected.Load() {
			err = unreached{err}
		}
		return nil, err
	}
	if resp.StatusCode == want {
		return resp, nil
	}
	defer resp.Body.Close() // read only
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return nil, fmt.Errorf("answer %d: %w", resp.StatusCode, err)
	}
	e := &serverError{Status: resp.StatusCode}
	about := strings.ToLower(string(b))
	for _, sign := range []string{"moderation_blocked", "content_policy", "content filter", "safety system"} {
		e.Blocked = e.Blocked || strings.Contains(about, sign)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.After = min(time.Duration(s), 300) * time.Second
	}
	return nil, e
}

// decode reads a JSON answer of at most so many bytes.
func decode(resp *http.Response, most int64, out any) error {
	defer resp.Body.Close() // read only
	b, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return fmt.Errorf("answer: %w", err)
	case int64(len(b)) > most:
		return errTooLarge
	case json.Unmarshal(b, out) != nil:
		return errBadJSON
	}
	return nil
}

// get decodes the JSON answer of a GET.
func (u *upstream) get(ctx context.Context, path string, out any) error {
	resp, err := u.do(ctx, http.MethodGet, path, "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	return decode(resp, maxAnswer, out)
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
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return e
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStopping) {
		return errStopping.WithCause(err)
	} else if errors.Is(cause, errStalled) {
		return apierr.ModelTimeout("The model's server did not make the pictures in time. Try again.").WithCause(err)
	}
	notReady := apierr.ModelNotReady("The model %q is not ready: its server cannot be used now.", u.id).WithCause(err)
	if _, ok := errors.AsType[unreached](err); ok {
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
		u.log.Error("the server of pictures refuses our key", "status", se.Status)
	}
	return e
}
