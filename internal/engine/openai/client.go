package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/engine/remote"
)

// maxAnswer bounds answers that are read whole: 8 vectors of 16,384 numbers are
// some 2 MiB, a vocabulary of 260,000 tokens some 8 MiB.
const maxAnswer = 64 << 20

// serverError is an error that the server told. What it says may quote input and
// tell of the server's inside, so only these facts of it are kept.
type serverError struct {
	Status          int
	TooLong         bool          // the prompt and the output limit do not fit the context
	Prompt, Context int           // tokens, when TooLong and told
	After           time.Duration // Retry-After; 0 when not told
}

func (e *serverError) Error() string { return fmt.Sprintf("the server answered %d", e.Status) }

// answered makes a *serverError of an answer that was not wanted.
func answered(r remote.Refusal) error {
	e := serverErrorOf(r.Status, r.Body)
	e.After = r.After
	return e
}

// serverErrorOf reads an error from an answer or an event. Servers write it as
// {"error": {...}}, {"error": "..."} or {"object": "error", ...}. status 0 takes
// the code that the error itself has.
func serverErrorOf(status int, body []byte) *serverError {
	type detail struct {
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Code    json.RawMessage `json:"code"` // a number or a word
		Prompt  int             `json:"n_prompt_tokens"`
		Context int             `json:"n_ctx"`
	}
	var outer struct {
		detail
		Error json.RawMessage `json:"error"`
	}
	e := &serverError{Status: status}
	if json.Unmarshal(body, &outer) != nil {
		return e
	}
	d := outer.detail
	if len(outer.Error) > 0 && json.Unmarshal(outer.Error, &d) != nil {
		_ = json.Unmarshal(outer.Error, &d.Message) // a text, or nothing that is known
	}
	if status == 0 && (json.Unmarshal(d.Code, &e.Status) != nil || e.Status < 100 || e.Status > 599) {
		e.Status = http.StatusInternalServerError
	}
	about := strings.ToLower(d.Type + " " + string(d.Code) + " " + d.Message)
	for _, sign := range []string{"exceed_context_size", "context_length_exceeded", "context length", "context window", "maximum context"} {
		if strings.Contains(about, sign) {
			e.TooLong, e.Prompt, e.Context = true, d.Prompt, d.Context
			break
		}
	}
	return e
}

// refused reports whether the server did not take a request as it was, for
// another reason than its length.
func refused(err error) bool {
	se, ok := errors.AsType[*serverError](err)
	return ok && !se.TooLong && (se.Status == http.StatusBadRequest || se.Status == http.StatusUnprocessableEntity)
}

// absent reports whether the server does not know what it was asked for.
func absent(err error) bool {
	se, ok := errors.AsType[*serverError](err)
	return ok && (se.Status == http.StatusNotFound || se.Status == http.StatusMethodNotAllowed || se.Status == http.StatusNotImplemented)
}

// post sends a JSON body. An answer other than 200 is a *serverError.
func (u *upstream) post(ctx context.Context, path string, body any, more http.Header) (*http.Response, error) {
	return u.Do(ctx, &remote.Request{Method: http.MethodPost, Path: path, JSON: body, Header: more, Want: http.StatusOK})
}

// call sends a JSON body and decodes a JSON answer into out.
func (u *upstream) call(ctx context.Context, path string, body, out any) error {
	_, err := u.Call(ctx, &remote.Request{Method: http.MethodPost, Path: path, JSON: body, Want: http.StatusOK}, maxAnswer, out)
	return err
}

// get decodes the JSON answer of a GET into out.
func (u *upstream) get(ctx context.Context, path string, out any) error {
	_, err := u.Call(ctx, &remote.Request{Method: http.MethodGet, Path: path, Want: http.StatusOK}, maxAnswer, out)
	return err
}
