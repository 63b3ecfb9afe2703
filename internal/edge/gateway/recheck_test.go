package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// callersHook runs once a caller was looked up again.
type callersHook struct {
	gateway.Callers
	again func()

	mu   sync.Mutex
	seen int
}

func (h *callersHook) SigV4(ctx context.Context, id, token string) (call.Principal, secret.Value, error) {
	h.mu.Lock()
	h.seen++
	n := h.seen
	h.mu.Unlock()
	if n == 2 { // the first is the request itself
		h.again()
	}
	return h.Callers.SigV4(ctx, id, token)
}

// outlive is a handler that ends with its rights, and fails when they never go.
func (f *fixture) outlive() {
	f.converse = func(ctx context.Context, _ *call.Call, _ *rt.ConverseInput) (*rt.ConverseOutput, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Second):
			return nil, errors.New("the call outlives its rights")
		}
	}
}

// A change that comes while open calls are looked through is not lost.
func TestChangeWhileLooking(t *testing.T) {
	t.Parallel()
	j := newJudge()
	f := start(t, j.rule, func(c *gateway.Config) { c.Callers = &callersHook{Callers: c.Callers, again: j.turn} })
	f.outlive()
	f.watch(t)
	s := f.listen(t)
	if a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(converseBody))); a.status != 403 || a.code != apierr.CodeAccessDenied {
		t.Errorf("%d %s %s", a.status, a.code, a.message)
	}
}

// lateJudge turns while it decides for the first time, and still allows.
type lateJudge struct {
	*judge
	once  sync.Once
	taken chan struct{} // gets one for each look at the changes
}

func (j *lateJudge) Authorize(ctx context.Context, c *call.Call, n call.Need) error {
	err := j.judge.Authorize(ctx, c, n)
	j.once.Do(func() {
		<-j.taken // the watch has begun
		j.turn()
		<-j.taken // and has taken notice
	})
	return err
}

func (j *lateJudge) change() <-chan struct{} {
	c := j.judge.change()
	select {
	case j.taken <- struct{}{}:
	default:
	}
	return c
}

// A change between the decision and the begin of a call is not lost.
func TestChangeWhileDeciding(t *testing.T) {
	t.Parallel()
	j := &lateJudge{judge: newJudge(), taken: make(chan struct{}, 8)}
	f := start(t, func(c *gateway.Config) { c.Access, c.Changed = j, j.change })
	f.outlive()
	f.watch(t)
	s := f.listen(t)
	if a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(converseBody))); a.status != 403 || a.code != apierr.CodeAccessDenied {
		t.Errorf("%d %s %s", a.status, a.code, a.message)
	}
}
