package remote

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
	"sync/atomic"
	"time"
)

const (
	maxRefusal = 64 << 10        // bytes: an error needs no more than a message
	maxAfter   = 5 * time.Minute // that a server may send callers away for
	maxPaths   = 32              // that are remembered: more than any API has
)

var (
	// ErrBadJSON stands for the decoder's error, which may quote the text.
	ErrBadJSON = errors.New("not the expected JSON")
	// ErrTooLarge is the ErrBadJSON of an answer that was not read to its end.
	ErrTooLarge = fmt.Errorf("%w: larger than what was asked for", ErrBadJSON)
)

// Unreached is the error of a request that no connection was found for.
type Unreached struct{ Err error }

// Error implements error.
func (e Unreached) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e Unreached) Unwrap() error { return e.Err }

// Request is one to a Server.
type Request struct {
	Method string
	Path   string // escaped, with a slash at its beginning
	Name   string // names the request in errors; "" means Path
	// JSON is sent as JSON unless it is nil, else Body with its content type unless
	// that is nil.
	JSON any
	Body []byte
	Type string
	// Header is sent with this request; it wins over the server's.
	Header http.Header
	// Once says that the request must not be sent again. Others are, when the
	// connection was closing just as it was used again.
	Once bool
	// Want is the status of the answer; 0 takes any.
	Want int
}

// name names a request in errors.
func (r *Request) name() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Path
}

// content is the body of a request and its type.
func (r *Request) content() (body []byte, kind string, err error) {
	if r.JSON == nil {
		return r.Body, r.Type, nil
	}
	if body, err = json.Marshal(r.JSON); err != nil {
		return nil, "", fmt.Errorf("encode %s: %w", r.name(), err)
	}
	return body, "application/json", nil
}

// Refusal is an answer of another status than the one that was wanted.
type Refusal struct {
	Status int
	Header http.Header
	Body   []byte        // at most 64 KiB of it
	After  time.Duration // Retry-After, at most 5 minutes; 0 when not told
}

// Do sends a request and returns its answer, whose body the caller closes.
//
// Errors: what Config.Refused makes of an answer that was not wanted; an Unreached
// when there was no connection; what Config.Sign returned.
func (s *Server) Do(ctx context.Context, r *Request) (*http.Response, error) {
	body, kind, err := r.content()
	if err != nil {
		return nil, err
	}
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	at, err := s.at(r.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name(), err)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "", content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name(), err)
	}
	req.URL, req.Host = at, at.Host
	for k, v := range r.Header {
		req.Header[k] = v
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if err := s.authorize(req, body); err != nil {
		return nil, err
	}
	for k, v := range s.c.Header {
		if req.Header.Get(k) == "" {
			req.Header[k] = v
		}
	}
	if !r.Once {
		// An empty list marks the request as repeatable without sending a header:
		// the connection may be closing just as it is reused.
		req.Header["X-Idempotency-Key"] = []string{}
	}
	resp, err := s.c.Transport.RoundTrip(req)
	if err != nil {
		err = fmt.Errorf("%s: %w", r.name(), err)
		if !connected.Load() {
			err = Unreached{err}
		}
		return nil, err
	}
	if r.Want != 0 && resp.StatusCode != r.Want {
		return nil, s.refused(resp)
	}
	return resp, nil
}

// at is the address of a path. There are few paths, and each is parsed once.
func (s *Server) at(path string) (*url.URL, error) {
	if u, ok := s.paths.Load(path); ok {
		return u.(*url.URL), nil
	}
	u, err := url.Parse(s.c.Base + path)
	if err != nil {
		return nil, err
	}
	if s.known.Load() < maxPaths { // those with an id in them are without number
		if _, there := s.paths.LoadOrStore(path, u); !there {
			s.known.Add(1)
		}
	}
	return u, nil
}

// authorize makes a request one of ours.
func (s *Server) authorize(req *http.Request, body []byte) error {
	if s.c.Sign != nil {
		return s.c.Sign(req, body)
	}
	if !s.c.Key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+string(s.c.Key.Reveal()))
	}
	return nil
}

// refused turns an answer that was not wanted into an error.
func (s *Server) refused(resp *http.Response) error {
	defer resp.Body.Close() // read only
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return fmt.Errorf("answer %d: %w", resp.StatusCode, err)
	}
	r := Refusal{Status: resp.StatusCode, Header: resp.Header, Body: b}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		r.After = min(time.Duration(n), maxAfter/time.Second) * time.Second
	}
	return s.c.Refused(r)
}

// Call sends a request, decodes its JSON answer of at most so many bytes into out,
// and returns the answer's header.
//
// Errors: those of Do; ErrTooLarge and ErrBadJSON, of which out may hold a part.
func (s *Server) Call(ctx context.Context, r *Request, most int64, out any) (http.Header, error) {
	resp, err := s.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // read only
	b, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", r.name(), err)
	case int64(len(b)) > most:
		err = fmt.Errorf("%s: %w", r.name(), ErrTooLarge)
	case json.Unmarshal(b, out) != nil:
		err = fmt.Errorf("%s: %w", r.name(), ErrBadJSON)
	default:
		return resp.Header, nil
	}
	return nil, err
}
