package llamacpp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/engine/reply"
)

// maxAnswer bounds the answers that are read whole: 8 vectors of 16,384 numbers
// are some 2 MiB.
const maxAnswer = 64 << 20

// client talks to one process over its socket.
type client struct {
	http *http.Client
	tr   *http.Transport
}

// newClient makes a client for the server on a unix socket. The server closes
// idle connections after 5 s and any connection after 100 requests, so ours are
// given up after 4 s, and a request that meets a closing connection before any
// answer is sent once more by net/http (see post).
func newClient(socket string) *client {
	var d net.Dialer
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
		IdleConnTimeout:     4 * time.Second,
		MaxIdleConnsPerHost: 16,
		DisableCompression:  true,
	}
	return &client{http: &http.Client{Transport: tr}, tr: tr}
}

func (c *client) close() { c.tr.CloseIdleConnections() }

// post sends a JSON body and returns the answer, whatever its status.
func (c *client) post(ctx context.Context, path string, body any) (*http.Response, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine"+path, bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	// An empty list marks the request as repeatable without sending a header:
	// the connection may be closing just as it is reused.
	req.Header["X-Idempotency-Key"] = []string{}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return resp, nil
}

// call sends a JSON body and decodes a JSON answer into out. An answer other
// than 200 is a *serverError.
func (c *client) call(ctx context.Context, path string, body, out any) error {
	resp, err := c.post(ctx, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // read only
	if resp.StatusCode != http.StatusOK {
		return readError(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if json.Unmarshal(b, out) != nil {
		return fmt.Errorf("%s: %w", path, errBadJSON)
	}
	return nil
}

// get decodes the JSON answer of a GET into out, which may be nil.
func (c *client) get(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer resp.Body.Close() // read only
	if resp.StatusCode != http.StatusOK {
		return readError(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if out != nil && json.Unmarshal(b, out) != nil {
		return fmt.Errorf("%s: %w", path, errBadJSON)
	}
	return nil
}

// health asks whether the model is loaded.
func (c *client) health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return c.get(ctx, "/health", nil)
}

// readError turns an answer other than 200 into a *serverError.
func readError(resp *http.Response) error {
	var a struct {
		Error *serverError `json:"error"`
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("answer %d: %w", resp.StatusCode, err)
	}
	if json.Unmarshal(b, &a) != nil || a.Error == nil {
		a.Error = &serverError{}
	}
	a.Error.Code = resp.StatusCode
	return a.Error
}

// broken reports whether err came from the connection and not from an answer or
// from the end of ctx.
func broken(ctx context.Context, err error) bool {
	var se *serverError
	return err != nil && ctx.Err() == nil && !errors.As(err, &se) && !errors.Is(err, errBadJSON) && !errors.Is(err, reply.ErrStream)
}

// refused reports whether the server did not take a request as it was, for
// another reason than its length.
func refused(err error) bool {
	se, ok := errors.AsType[*serverError](err)
	return ok && se.Code == 400 && se.Type != "exceed_context_size_error"
}
