package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// statusGone stands in records for a call whose client went away before the
// answer. It is never sent. Source: the custom of nginx.
const statusGone = 499

// codeGone is the error code of such a call in records.
const codeGone = "ClientDisconnected"

// clientGone marks an error of the connection, which no answer can reach.
type clientGone struct{ error }

func (c clientGone) Unwrap() error { return c.error }

// panicError is a panic that the gateway caught.
type panicError struct {
	text  string
	stack []byte
}

func (p *panicError) Error() string { return p.text }

// caught turns the value of a panic into an error. Only the runtime's own
// values are quoted: any other may hold a caller's text.
func caught(p any) error {
	if e, ok := p.(error); ok {
		if errors.Is(e, http.ErrAbortHandler) {
			return clientGone{e}
		}
		if _, ok := errors.AsType[runtime.Error](e); ok {
			return &panicError{"panic: " + e.Error(), debug.Stack()}
		}
	}
	return &panicError{fmt.Sprintf("panic with a %T", p), debug.Stack()}
}

// unavailable makes errors of the store that pass, with time or by an operator's
// hand, ServiceUnavailableException instead of an internal error.
func unavailable(err error) error {
	if _, ok := errors.AsType[*apierr.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, store.ErrFull):
		return apierr.Unavailable("The server's disk is full, so nothing was stored. Try again when its operator has made room.").WithCause(err)
	case errors.Is(err, store.ErrBusy):
		return apierr.Unavailable("The server's database is busy. Try again.").WithCause(err)
	}
	return err
}

// fail answers with err: as the protocol's error, as the frame that ends a
// stream, or, when neither can reach the client any more, by cutting the
// connection.
//
// The context of a request ends when its client goes away, when the server stops
// and waits no longer, or when the rights of the call are taken away: then its cause
// is an *apierr.Error, for the client. fail returns what the books shall say: that
// cause where the client was told it, else err.
func (g *Gateway) fail(q *request, err error) error {
	e := apierr.From(err)
	stopped, ok := errors.AsType[*apierr.Error](context.Cause(q.context()))
	if ok {
		e = stopped
	}
	switch {
	case errors.As(err, new(clientGone)):
		q.aborted = true
	case errors.Is(err, call.ErrHangUp):
		q.aborted = true
		if !q.wrote {
			q.Status = statusGone
		}
	case !ok && (q.whole() || errors.Is(err, context.Canceled)) && q.context().Err() != nil: // nobody is there to read it
		q.aborted = true
		if !q.wrote {
			q.Status = statusGone
		}
	case !q.wrote:
		q.ErrorCode = e.Code
		q.modelHeaders()
		retryAfter(q.w.Header(), e)
		g.unread(q)
		q.codec.writeError(q, e)
	case q.direct != nil:
		q.ErrorCode = e.Code
		q.aborted = q.writeFrame(q.direct.ErrorEvent(e)) != nil
	case q.stream != 0:
		e = inStream(q.svc, q.stream, e)
		q.ErrorCode = e.Code
		q.aborted = g.writeException(q, e) != nil
	default:
		q.ErrorCode = e.Code
		q.aborted = true
	}
	if ok && q.ErrorCode != "" {
		return stopped
	}
	return err
}

// finish closes the books of one call.
func (g *Gateway) finish(q *request, err error) {
	now := g.cfg.Now()
	if err != nil && q.ErrorCode == "" {
		q.ErrorCode = codeGone
	}
	if q.Principal.Account != "" && !q.unmetered {
		g.meter(q, now)
	}
	if g.cfg.Used != nil && q.Decision.Made {
		service, _, _ := strings.Cut(q.Action, ":")
		g.cfg.Used(&q.Principal, q.Action, service, q.Region, q.Start)
	}
	if q.opened != nil {
		g.acted(q.Call, q.opened.need)
	}
	if g.cfg.Ended != nil {
		g.cfg.Ended(q.Call, now.Sub(q.Start))
	}
	g.log(q, err, now.Sub(q.Start))
	g.age(q)
}

// age warns once of each model that is in use and will reach the end of its life.
func (g *Gateway) age(q *request) {
	if !q.Legacy || !q.Inferred {
		return
	}
	if _, told := g.legacy.LoadOrStore(q.ModelARN, true); !told {
		g.cfg.Log.Warn("a legacy model is in use: it will reach the end of its life", "model", q.ModelARN, "account", q.Principal.Account)
	}
}

// acted notes what an allowed call was allowed to do.
func (g *Gateway) acted(c *call.Call, n call.Need) {
	if g.cfg.Acted == nil || c.Decision.Open {
		return
	}
	g.cfg.Acted(&c.Principal, c.Start, n)
	g.cfg.Acted(&c.Principal, c.Start, c.Needs...)
	if c.Principal.Bearer {
		g.cfg.Acted(&c.Principal, c.Start, call.Need{Action: "bedrock:CallWithBearerToken"})
	}
}

// meter hands over the record of a call.
func (g *Gateway) meter(q *request, now time.Time) {
	rec := meter.Record{
		RequestID: q.ID, Time: q.Start, Account: q.Principal.Account, Region: q.Region,
		Principal: q.Principal.ARN, AccessKeyID: q.Principal.AccessKeyID,
		Service: q.Service, Operation: q.Operation,
		ModelID: q.ModelID, ServedBy: q.ServedBy, StandIn: q.StandIn,
		InputTokens: q.Usage.InputTokens, OutputTokens: q.Usage.OutputTokens, ReusedTokens: q.Usage.ReusedTokens,
		Status: q.Status, ErrorCode: q.ErrorCode,
		LatencyMS: q.Latency.Milliseconds(), FirstTokenMS: q.FirstToken.Milliseconds(), DurationMS: now.Sub(q.Start).Milliseconds(),
	}
	if err := g.cfg.Meter.Add(rec); err != nil {
		g.cfg.Log.Error("usage record not stored", "request_id", q.ID, "error", err)
	}
}

// log writes the one line of a call. Messages of errors stay out of it, since
// they may quote the request.
func (g *Gateway) log(q *request, err error, took time.Duration) {
	level := slog.LevelInfo
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("request_id", q.ID), slog.String("operation", q.Operation), slog.Int("status", q.Status),
		slog.String("account", q.Principal.Account), slog.String("key", q.Principal.AccessKeyID), slog.String("region", q.Region),
		slog.Duration("duration", took),
	)
	if q.ServedBy != "" {
		attrs = append(attrs, slog.String("model", q.ModelID), slog.String("served_by", q.ServedBy),
			slog.Int("input_tokens", q.Usage.InputTokens), slog.Int("output_tokens", q.Usage.OutputTokens))
	}
	if q.RouterARN != "" {
		attrs = append(attrs, slog.String("router", q.RouterARN))
	}
	if q.Legacy {
		attrs = append(attrs, slog.Bool("legacy", true))
	}
	if q.Server != "" {
		attrs = append(attrs, slog.String("server", q.Server))
	}
	if q.InferenceRegion != "" {
		attrs = append(attrs, slog.String("inference_region", q.InferenceRegion))
	}
	if q.Queued > 0 {
		attrs = append(attrs, slog.Duration("queued", q.Queued))
	}
	if q.Cache != "" {
		attrs = append(attrs, slog.String("cache", q.Cache))
	}
	if q.Similarity > 0 {
		attrs = append(attrs, slog.Float64("similarity", q.Similarity))
	}
	if q.Fault != "" {
		attrs = append(attrs, slog.String("fault", q.Fault))
	}
	if q.ErrorCode != "" {
		attrs = append(attrs, slog.String("error_code", q.ErrorCode))
	}
	if q.ErrorCode != "" && q.ErrorCode != codeGone {
		if e := apierr.From(err); e.Err != nil {
			attrs = append(attrs, slog.String("cause", cause(q, e.Err)))
		}
		if apierr.From(err).HTTPStatus() >= http.StatusInternalServerError {
			level = slog.LevelError
		}
		if p, ok := errors.AsType[*panicError](err); ok {
			attrs = append(attrs, slog.String("stack", string(p.stack)))
		}
	}
	g.cfg.Log.LogAttrs(context.WithoutCancel(q.context()), level, "call", attrs...)
}

// cause is what the log tells of the reason behind an error. Once an engine was
// asked, an error may quote a prompt or a reply, so only the types of the chain
// are told; engines log their own failures.
func cause(q *request, err error) string {
	if _, own := errors.AsType[*panicError](err); own || !q.Inferred {
		return err.Error()
	}
	var b strings.Builder
	for e := err; e != nil; e = errors.Unwrap(e) {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		fmt.Fprintf(&b, "%T", e)
	}
	return b.String()
}
