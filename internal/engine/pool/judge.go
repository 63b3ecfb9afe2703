package pool

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// outcome is what a request tells of its server.
type outcome uint8

const (
	silent outcome = iota // nothing: the caller left, the server was full or is not for this account
	served                // it works, whatever it said
	failed                // it does not
)

// judge tells what an error of an engine says of its server, and whether another
// one may do better. A server that was too slow for a request is at fault, but the
// caller's time is gone.
func judge(err error) (o outcome, again bool) {
	if err == nil {
		return served, false
	}
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		return silent, false
	}
	switch e.Code {
	case apierr.CodeThrottling, apierr.CodeAccessDenied:
		return silent, true
	case apierr.CodeModelNotReady, apierr.CodeServiceUnavailable:
		return failed, true
	case apierr.CodeModelTimeout, apierr.CodeModelStreamError:
		return failed, false
	case apierr.CodeModelError:
		s := e.OriginalStatus
		if s == 0 || s >= 500 || s == http.StatusUnauthorized || s == http.StatusForbidden {
			return failed, true
		}
	}
	return served, false
}

// broke reports whether a reply broke off after it had begun.
func broke(err error) bool {
	e, ok := errors.AsType[*apierr.Error](err)
	return ok && e.Code == apierr.CodeModelStreamError
}

// nobody is the error for a request that no server may answer.
func nobody(p *pool, t engine.Target, regional bool) error {
	if regional {
		return apierr.ModelNotReady("The model %q is not ready: none of its servers is in %s.", p.weights, strings.Join(t.Regions, ", "))
	}
	return apierr.ModelNotReady("The model %q is not ready: none of its servers can take this request now.", p.weights)
}

// unknown is the error for weights without a pool.
func unknown(t engine.Target) error {
	return apierr.ModelNotReady("The model %q is not ready: no server is configured for it.", t.Weights)
}

// Sizes of a budget, in second attempts.
const (
	budgetFirst = 200
	budgetMost  = 1000
	budgetEarn  = 0.5 // for each request that a server answered
)

// budget bounds second attempts: while nothing works at all, they would only add
// load. It is safe for concurrent use.
type budget struct {
	mu   sync.Mutex
	left float64
}

func newBudget() budget { return budget{left: budgetFirst} }

// earn counts a request that was answered.
func (b *budget) earn() {
	b.mu.Lock()
	b.left = min(b.left+budgetEarn, budgetMost)
	b.mu.Unlock()
}

// spend takes one attempt out; false means that there is none.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
