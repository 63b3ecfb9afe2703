package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// errUndecided says that a handler was about to answer a call that was never
// authorised.
var errUndecided = errors.New("gateway: a call without a decision")

// recheckEvery is how often the credentials of open calls are looked up again.
// It bounds how long a stream outlives a key or a session that was taken away
// by another process.
const recheckEvery = 500 * time.Millisecond

// authorize decides over a call, and keeps the decision true for as long as the
// call runs: when its rights or its credentials go, so does its context, with the
// refusal as the cause.
func (g *Gateway) authorize(q *request, n call.Need) error {
	ctx, cancel := context.WithCancelCause(q.r.Context())
	o := &openCall{call: *q.Call, need: n, credential: q.credential, ctx: ctx, cancel: cancel}
	// It is watched before it is decided: a change in between would go unnoticed.
	g.open.add(o)
	err := g.cfg.Access.Authorize(ctx, q.Call, n)
	if err == nil && (!q.Decision.Made || !q.Decision.Allowed) {
		err = errUndecided
	}
	if err != nil {
		g.open.close(o)
		return err
	}
	q.opened = o
	return nil
}

// context ends with the request, and with the permission once there is one.
func (q *request) context() context.Context {
	if q.opened != nil {
		return q.opened.ctx
	}
	return q.r.Context()
}

// hold keeps a call back that needs an approval. What only reads never does.
func (g *Gateway) hold(q *request, resources []string, in any) error {
	if g.cfg.Approvals == nil || q.events != nil {
		return nil
	}
	return g.cfg.Approvals.Hold(q.context(), q.Call, resources, in)
}

// Apply makes a call that was held back and is approved now: as its caller, with
// the rights that the caller has now. c carries the principal, its source and
// the region; input is the JSON of the operation's Go input.
//
// Its answer goes to nobody. Only that of a call with a client token is kept, for the
// caller who repeats it, as it is kept of a call that was not held back.
//
// Errors: those of the call; an operation that is not bound.
func (g *Gateway) Apply(ctx context.Context, c *call.Call, api, operation string, input []byte) error {
	var b *service.Route
	for op, r := range g.bound {
		if op.Name == operation && r.Service.Name == api {
			b = r
			break
		}
	}
	if b == nil {
		return apierr.New(apierr.CodeNotImplemented, http.StatusNotImplemented, "Outcrop does not implement %s of %s.", operation, api)
	}
	in := b.NewInput()
	if err := json.Unmarshal(input, in); err != nil {
		return fmt.Errorf("read the input of %s: %w", operation, err)
	}
	c.Start = g.cfg.Now()
	c.Service, c.Operation, c.Action, c.Partition = api, operation, b.Operation.Action, arn.Partition(c.Region)
	n := call.Need{Action: c.Action}
	if b.Resources != nil {
		var err error
		if n.Resources, err = b.Resources(ctx, c, in); err != nil {
			return err
		}
	}
	if err := g.cfg.Access.Authorize(ctx, c, n); err != nil {
		return err
	}
	if !c.Decision.Allowed {
		return errUndecided
	}
	if err := g.rest.Validate(b.Service, b.Operation, in); err != nil {
		return err
	}
	g.acted(c, n)
	token, hash, ok, err := g.rest.TokenOf(b.Service, b.Operation, in)
	if err != nil {
		return err
	}
	if !ok {
		_, err = b.Serve(ctx, c, in)
		return err
	}
	_, _, _, err = g.cfg.Idempotency.Do(ctx, tokenKey(c, b, token, hash), func() (int, []byte, error) {
		out, err := b.Serve(ctx, c, in)
		if err != nil {
			return 0, nil, err
		}
		// No operation of the other protocols has a token.
		a, err := g.rest.AppendOutput(nil, b.Service, b.Operation, out)
		return a.Status, a.Body, err
	})
	return err
}

// openCall is a call that is being served, as it was when it was allowed.
type openCall struct {
	call       call.Call // a copy: the call itself belongs to its goroutine
	need       call.Need
	credential credential
	ctx        context.Context
	cancel     context.CancelCauseFunc
}

// openCalls are the calls that are being served. It is safe for concurrent use.
type openCalls struct {
	mu  sync.Mutex
	all map[*openCall]struct{}
}

func (o *openCalls) add(c *openCall) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[c] = struct{}{}
}

// close forgets a call that has ended; nil is none.
func (o *openCalls) close(c *openCall) {
	if c == nil {
		return
	}
	o.mu.Lock()
	delete(o.all, c)
	o.mu.Unlock()
	c.cancel(nil)
}

// list returns the calls that are open now.
func (o *openCalls) list() []*openCall {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]*openCall, 0, len(o.all))
	for c := range o.all {
		all = append(all, c)
	}
	return all
}

// Run watches over open calls until ctx ends: a call whose rights or credentials
// are taken away is ended, within a second.
func (g *Gateway) Run(ctx context.Context) error {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	changed := g.changed()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			changed = g.changed() // first, so that no change falls in between
			for _, o := range g.open.list() {
				g.recheck(o, true)
			}
		case <-tick.C:
			for _, o := range g.open.list() {
				g.recheck(o, false)
			}
		}
	}
}

// changed is closed at the next change of what decisions depend on.
func (g *Gateway) changed() <-chan struct{} {
	if g.cfg.Changed == nil {
		return nil
	}
	return g.cfg.Changed()
}

// recheck ends a call that would be refused now. Trouble of the store refuses
// nobody, and a session that ends by itself lets its open calls finish, as AWS
// does.
func (g *Gateway) recheck(o *openCall, rights bool) {
	err := o.credential.alive(o.ctx)
	if err == nil && rights {
		c := o.call
		c.Decision = call.Decision{}
		err = g.cfg.Access.Authorize(o.ctx, &c, o.need)
	}
	e, refused := errors.AsType[*apierr.Error](err)
	if !refused || e.HTTPStatus() != http.StatusForbidden && e.HTTPStatus() != http.StatusUnauthorized || e.Code == apierr.CodeExpiredToken {
		return
	}
	o.cancel(apierr.AccessDenied("The permission for this call was taken away while it ran. %s", e.Message))
}
