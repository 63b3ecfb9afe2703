package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/weights"
)

// errStalled ends a try in which too little arrives.
var errStalled = errors.New("no data arrives")

// finalError is an error that another try would meet again.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

func permanent(err error) error { return &finalError{err} }

// busyError is an answer that asks to come again later.
type busyError struct {
	status string
	after  time.Duration // what the server asks for; 0 when it does not
}

func (e *busyError) Error() string { return "the server answers " + e.status }

func transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
	}
}

// remote downloads, with as many tries as it takes and may take.
func (t *transfer) remote(ctx context.Context) error {
	wait := firstWait
	for try := 1; ; try++ {
		before := t.done
		err := t.try(ctx)
		if err == nil {
			return nil
		}
		if cerr := ctx.Err(); cerr != nil {
			return context.Cause(ctx)
		}
		if _, ok := errors.AsType[*finalError](err); ok {
			return err
		}
		if t.done-before >= headway {
			try, wait = 1, firstWait
		}
		if try >= t.f.c.Tries {
			return fmt.Errorf("given up after %d tries, what is here already is kept: %w", try, err)
		}
		pause := wait + rand.N(wait/2) // #nosec G404 -- spreads load, guards nothing
		if busy, ok := errors.AsType[*busyError](err); ok && busy.after > pause {
			pause = min(busy.after, longestWait)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		wait = min(wait*2, longestWait)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// try makes one request and reads its answer.
func (t *transfer) try(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	watch := t.watch(cancel)
	defer watch.stop()

	if t.done > 0 && t.part.SHA256 == "" && t.origin.ETag == "" {
		// Nothing would prove that the rest belongs to the same contents.
		if err := t.reset(); err != nil {
			return permanent(err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.part.URL, nil)
	if err != nil {
		return permanent(errors.New("the address is malformed"))
	}
	for k, v := range t.part.Header {
		req.Header.Set(k, v)
	}
	req.Header.Set("User-Agent", t.f.c.Agent)
	req.Header.Set("Accept-Encoding", "identity") // ranges and digests are of the plain bytes
	if t.done > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(t.done, 10)+"-")
		if t.origin.ETag != "" {
			req.Header.Set("If-Range", t.origin.ETag)
		}
	}
	resp, err := t.f.c.Client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	size, more, err := t.answer(resp)
	if err != nil || !more {
		return err
	}
	if size >= 0 {
		t.step.Total(size)
		if err := weights.CheckSpace(filepath.Dir(t.path), size-t.done); err != nil {
			return permanent(err)
		}
	}
	if _, err := copyBytes(ctx, watch, resp.Body); err != nil {
		return cause(ctx, err)
	}
	if size >= 0 && t.done != size {
		if t.done > size {
			if err := t.reset(); err != nil {
				return permanent(err)
			}
		}
		return fmt.Errorf("the answer ended at %d of %d bytes", t.done, size)
	}
	return nil
}

// cause strips the address, whose query may be signed, from an error of the
// HTTP client, and tells a stall from other ends of the context.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); errors.Is(why, errStalled) {
		return why
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, network.ErrEgress) {
		return permanent(err)
	}
	return err
}

// answer looks at status and headers. It returns the size of the whole file,
// -1 when unknown, and whether a body is to be read.
func (t *transfer) answer(resp *http.Response) (size int64, more bool, err error) {
	etag := resp.Header.Get("ETag")
	if strings.HasPrefix(etag, "W/") || len(etag) < 3 || etag[0] != '"' {
		etag = "" // weak validators do not prove equal bytes
	}
	switch resp.StatusCode {
	case http.StatusOK:
		size = resp.ContentLength
		if t.done > 0 { // no ranges here, or other contents now
			if err := t.reset(); err != nil {
				return 0, false, permanent(err)
			}
		}
	case http.StatusPartialContent:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		changed := etag != "" && t.origin.ETag != "" && etag != t.origin.ETag
		if !ok || from != t.done || changed {
			if err := t.reset(); err != nil {
				return 0, false, permanent(err)
			}
			return 0, false, errors.New("the server sent another range than it was asked for")
		}
		size = total
		t.spliced = true
	case http.StatusRequestedRangeNotSatisfiable:
		_, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if ok && total == t.done && t.done > 0 {
			t.step.Total(total)
			return total, false, nil // it was whole already
		}
		if err := t.reset(); err != nil {
			return 0, false, permanent(err)
		}
		return 0, false, errors.New("the server does not have the range that is missing")
	default:
		return 0, false, status(resp)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return 0, false, permanent(fmt.Errorf("the server insists on the encoding %q", enc))
	}
	if size > t.f.c.MaxBytes {
		return 0, false, permanent(fmt.Errorf("the file is larger than %s", weights.Bytes(t.f.c.MaxBytes)))
	}
	if size >= 0 && t.part.Size > 0 && size != t.part.Size {
		return 0, false, permanent(fmt.Errorf("the server offers %d bytes, expected are %d", size, t.part.Size))
	}
	if err := t.note(origin{URL: show(t.url), ETag: etag, Size: max(size, 0)}); err != nil {
		return 0, false, permanent(err)
	}
	return size, true, nil
}

// status is the error for an answer without the file.
func status(resp *http.Response) error {
	code := resp.StatusCode
	text := strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
	if code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500 {
		var after time.Duration
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
			after = time.Duration(min(s, 3600)) * time.Second
		}
		return &busyError{status: text, after: after}
	}
	hint := ""
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = ": it needs a permission that is not there (token, accepted licence, proxy)"
	case http.StatusNotFound, http.StatusGone:
		hint = ": there is no such file"
	}
	return permanent(fmt.Errorf("the server answers %s%s", text, hint))
}

// contentRange reads "bytes 5-9/10" and "bytes */10"; total is -1 for "*".
func contentRange(v string) (from, total int64, ok bool) {
	v, ok = strings.CutPrefix(v, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, all, ok := strings.Cut(v, "/")
	if !ok {
		return 0, 0, false
	}
	total = -1
	var err error
	if all != "*" {
		if total, err = strconv.ParseInt(all, 10, 64); err != nil || total < 0 {
			return 0, 0, false
		}
	}
	if span == "*" {
		return -1, total, true
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, false
	}
	from, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	if err1 != nil || err2 != nil || from < 0 || end < from || (total >= 0 && end >= total) {
		return 0, 0, false
	}
	return from, total, true
}

// watcher passes bytes on and ends the try when too few come.
type watcher struct {
	t     *transfer
	fresh atomic.Int64 // bytes since the timer last fired
	timer *time.Timer
}

func (t *transfer) watch(cancel context.CancelCauseFunc) *watcher {
	w := &watcher{t: t}
	stall := t.f.c.Stall
	armed := make(chan struct{})
	w.timer = time.AfterFunc(stall, func() {
		<-armed
		if w.fresh.Swap(0) < stallBytes {
			cancel(fmt.Errorf("%w (fewer than %d bytes in %s)", errStalled, stallBytes, stall))
			return
		}
		w.timer.Reset(stall)
	})
	close(armed)
	return w
}

func (w *watcher) stop() { w.timer.Stop() }

// Write hands bytes to the transfer.
func (w *watcher) Write(b []byte) (int, error) {
	w.fresh.Add(int64(len(b)))
	return w.t.Write(b)
}
