package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// Bounds of answers that are read whole: 8 vectors of 16,384 numbers are some
// 2 MiB, a vocabulary of 260,000 tokens some 8 MiB; an error needs no more than a
// message.
const (
	maxAnswer = 64 << 20
	maxError  = 64 << 10
	maxAfter  = 300 // seconds that a server may send callers away for
)

// client talks to one server.
type client struct {
	rt     http.RoundTripper
	base   string // without a slash at the end
	key    secret.Value
	header http.Header
	paths  sync.Map // *url.URL by path; nobody changes one
}

// at is the address of a path. There are few paths, and each is parsed once.
func (c *client) at(path string) (*url.URL, error) {
	if u, ok := c.paths.Load(path); ok {
		return u.(*url.URL), nil
	}
	u, err := url.Parse(c.base + path)
	if err != nil {
		return nil, err
	}
	c.paths.Store(path, u)
	return u, nil
}

// errBadJSON stands for the decoder's error, which may quote the text.
var errBadJSON = errors.New("not the expected JSON")

// unreached is an error of a request that no connection was found for.
type unreached struct{ error }

func (e unreached) Unwrap() error { return e.error }

// serverError is an error that the server told. What it says may quote input and
// tell of the server's inside, so only these facts of it are kept.
type serverError struct {
	Status          int
	TooLong         bool          // the prompt and the output limit do not fit the context
	Prompt, Context int           // tokens, when TooLong and told
	After           time.Duration // Retry-After; 0 when not told
}

func (e *serverError) Error() string { return fmt.Sprintf("the server answered %d", e.Status) }

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

// do sends a request, with a JSON body unless that is nil, and returns the answer,
// whatever its status.
func (c *client) do(ctx context.Context, method, path string, body any, more http.Header) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", path, err)
		}
		content = bytes.NewReader(b)
	}
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	at, err := c.at(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "", content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	req.URL, req.Host = at, at.Host
	for _, h := range []http.Header{c.header, more} {
		for k, v := range h {
			req.Header[k] = v
		}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+string(c.key.Reveal()))
	}
	// An empty list marks the request as repeatable without sending a header:
	// the connection may be closing just as it is reused.
	req.Header["X-Idempotency-Key"] = []string{}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
		if !connected.Load() {
			err = unreached{err}
		}
		return nil, err
	}
	return resp, nil
}

// post sends a JSON body. An answer other than 200 is a *serverError.
func (c *client) post(ctx context.Context, path string, body any, more http.Header) (*http.Response, error) {
	resp, err := c.do(ctx, http.MethodPost, path, body, more)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = readError(resp)
		_ = resp.Body.Close() // read only
		return nil, err
	}
	return resp, err
}

// call sends a JSON body and decodes a JSON answer into out.
func (c *client) call(ctx context.Context, path string, body, out any) error {
	resp, err := c.post(ctx, path, body, nil)
	if err != nil {
		return err
	}
	return readAnswer(resp, path, out)
}

// get decodes the JSON answer of a GET into out.
func (c *client) get(ctx context.Context, path string, out any) error {
	resp, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close() // read only
		return readError(resp)
	}
	return readAnswer(resp, path, out)
}

func readAnswer(resp *http.Response, path string, out any) error {
	defer resp.Body.Close() // read only
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if json.Unmarshal(b, out) != nil {
		return fmt.Errorf("%s: %w", path, errBadJSON)
	}
	return nil
}

// readError turns an answer other than 200 into a *serverError.
func readError(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return fmt.Errorf("answer %d: %w", resp.StatusCode, err)
	}
	e := serverErrorOf(resp.StatusCode, b)
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.After = min(time.Duration(s), maxAfter) * time.Second
	}
	return e
}
