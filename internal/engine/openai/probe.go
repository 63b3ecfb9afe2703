package openai

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var _ engine.Prober = (*Engine)(nil)

// Probe asks a server for its health, or for its list of models where it may have
// no such address. What has an answer below 500 is there. A server of which nothing
// is known is then asked what it is, so that no request has to wait for that.
func (e *Engine) Probe(ctx context.Context, t engine.Target) error {
	u := e.upstreams[t.Weights]
	if u == nil {
		return apierr.ModelNotReady("The model %q is not ready: no server is configured for it.", t.Weights)
	}
	fa := u.facts.Load()
	path := "/v1/models"
	if fa != nil && u.c.Gateway == "" && (fa.kind == LlamaServer || fa.kind == VLLM || fa.kind == SGLang) {
		path = "/health"
	}
	resp, err := u.Do(ctx, &remote.Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	_ = resp.Body.Close()                                         // read only
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("probe: %w", &serverError{Status: resp.StatusCode})
	}
	if fa != nil {
		return nil
	}
	w := e.fleet.Watch(context.WithoutCancel(ctx), u.c.FirstByte) // longer than a sign of life may take
	defer w.End()
	_, err = u.know(w.Context())
	return err
}
