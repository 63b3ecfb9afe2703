package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/restjson"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
	"github.com/outcrop/outcrop/internal/wire/sse"
)

// maxDirect is the most bytes of a direct request's body: what the same body may
// have through InvokeModel.
const maxDirect = 25_000_000

// directCodec answers in the form of another API. Requests of such APIs have
// their own way through serve, so nothing but errors is asked of it.
type directCodec struct {
	restCodec
	op *service.Direct
}

func (c directCodec) writeError(q *request, e *apierr.Error) {
	body := c.op.Error(e)
	h := q.w.Header()
	h["Content-Type"] = []string{restjson.ContentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	q.status(e.HTTPStatus())
	_, _ = q.w.Write(body) // the client may be gone
}

// newDirect indexes the operations by method and path.
func newDirect(ops []service.Direct) (map[string]*service.Direct, error) {
	m := make(map[string]*service.Direct, len(ops))
	for i := range ops {
		key := ops[i].Method + " " + ops[i].Path
		if m[key] != nil {
			return nil, fmt.Errorf("%s is bound twice", key)
		}
		m[key] = &ops[i]
	}
	return m, nil
}

// routeDirect finds an operation of another API by its exact path.
func (g *Gateway) routeDirect(q *request) bool {
	if len(g.direct) == 0 || q.r.URL.RawPath != "" {
		return false
	}
	op := g.direct[q.r.Method+" "+q.r.URL.Path]
	if op == nil {
		return false
	}
	q.direct, q.codec = op, directCodec{restCodec{g.rest}, op}
	q.Service, q.Operation = rt.Model.Name, op.Operation
	return true
}

// direct checks the key of a direct request, which has no other form.
func (a *authenticator) direct(q *request) (credential, error) {
	token := sigv4.BearerToken(q.r)
	if name := q.direct.KeyHeader; name != "" && token.IsZero() {
		token = secret.NewString(q.r.Header.Get(name))
	}
	if token.IsZero() {
		return credential{}, apierr.New(apierr.CodeMissingAuth, http.StatusUnauthorized, "No API key was sent. Send a bearer key: Authorization: Bearer <key>.")
	}
	cred, err := a.byToken(q, token)
	if e, ok := errors.AsType[*apierr.Error](err); ok && e.HTTPStatus() == http.StatusForbidden && (q.Source.TLS || q.loopback) {
		// Clients of these APIs know a wrong key by 401.
		return cred, apierr.New(e.Code, http.StatusUnauthorized, "%s", e.Message)
	}
	return cred, err
}

// serveDirect is what serve does once the caller is known.
func (g *Gateway) serveDirect(q *request) error {
	ctx := q.context()
	body := q.body
	q.body = nil // the call holds what is needed of it
	c, err := q.direct.Open(ctx, q.Call, body)
	if err != nil {
		return err
	}
	q.Action = c.Action
	if err := g.authorize(q, call.Need{Action: c.Action, Resources: c.Resources}); err != nil {
		return err
	}
	ctx = q.context()
	out, err := c.Serve(ctx)
	if err != nil {
		return err
	}
	if out.Events == nil {
		return g.write(q, restjson.Response{Status: http.StatusOK, ContentType: restjson.ContentType, Body: out.Body})
	}
	for ev, err := range out.Events {
		if err != nil {
			return err
		}
		if !q.wrote {
			h := q.w.Header()
			h["Content-Type"] = []string{sse.ContentType}
			h["Cache-Control"] = []string{"no-cache"}
			q.modelHeaders()
			q.status(http.StatusOK)
		}
		if err := q.writeFrame(ev); err != nil {
			return err
		}
	}
	if !q.wrote {
		return apierr.ModelError("The model ended its reply before the first event.")
	}
	q.extendWrite() // for the end of the body, which net/http writes
	return nil
}
