// Package promptrouter keeps prompt routers: names of two models of one family, one
// of which answers each request, whichever is judged good enough for it.
//
// Routers that accounts make are kept as records, in their account and region, and
// answered from memory. Default routers come from the catalogue and are never kept
// here; they have the same form.
//
// Source: Bedrock user guide, "Understanding intelligent prompt routing".
package promptrouter

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/record"
)

// Kind is the kind of the records of routers. Their name is the router's id.
const Kind = "bedrock/prompt-router"

// MaxPerRegion is how many routers an account may have in a region.
//
// Source: AWS General Reference, Amazon Bedrock quotas.
const MaxPerRegion = 500

// Models is how many models a router chooses from.
const Models = 2

// defaultPoll is how often Run looks for changes of other processes.
const defaultPoll = 250 * time.Millisecond

var (
	// ErrNone says that the account has no such router in the region.
	ErrNone = errors.New("promptrouter: no such router")
	// ErrExists says that the name is taken in the account and region.
	ErrExists = errors.New("promptrouter: name taken")
	// ErrMany says that the account has MaxPerRegion routers in the region.
	ErrMany = errors.New("promptrouter: too many routers")
)

// Router chooses between models.
type Router struct {
	Account     string `json:"-"` // 12 digits
	Region      string `json:"-"`
	ID          string `json:"-"` // 12 characters [a-z0-9]; of a default router e.g. "anthropic.claude:1"
	Default     bool   `json:"-"` // it is the installation's, not the account's
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Models are the ARNs of foundation models or inference profiles, Models of
	// them; Fallback is one of them.
	Models   []string `json:"models"`
	Fallback string   `json:"fallback"`
	// Difference is the response quality difference, in percent: 0..100. See Stronger.
	Difference float64   `json:"difference"`
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated"`
}

// NewID makes a random id: 12 characters [a-z0-9], some 60 bits.
func NewID() string { return strings.ToLower(rand.Text()[:12]) }

// Config is what a Service is made of.
type Config struct {
	Records record.Store     // required
	Poll    time.Duration    // how often Run looks for changes of other processes; 0 means 250 ms
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil discards
}

// Service keeps routers. It is safe for concurrent use.
type Service struct {
	cfg      Config
	all      *record.Mirror[*Router]
	creating sync.Mutex // held while a router is made, so that names and numbers are counted right
}

// Open reads all records.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	cfg.Poll = cmp.Or(cfg.Poll, defaultPoll)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, all: record.NewMirror(cfg.Records, Kind, read, nil, cfg.Now)}
	if err := s.all.Follow(ctx); err != nil {
		return nil, fmt.Errorf("read prompt routers: %w", err)
	}
	return s, nil
}

func read(rec *record.Record) (*Router, error) {
	r := &Router{}
	if err := record.Read(*rec, r); err != nil {
		return nil, err
	}
	r.Account, r.Region, r.ID = rec.Account, rec.Region, rec.Name
	return r, nil
}

// Run follows what other processes change until ctx ends. It always returns nil:
// while the store fails, everything stays as it is.
func (s *Service) Run(ctx context.Context) error {
	record.Poll(ctx, s.cfg.Log, record.Chore{Every: s.cfg.Poll, Do: s.all.Follow, Fails: "prompt routers are not followed: the store fails"})
	return nil
}

func key(account, region, id string) record.Key {
	return record.Key{Account: account, Region: region, Kind: Kind, Name: id}
}

// Create keeps a new router, whose account, region, id and name are set; Created and
// Updated are set here. before is called when nothing speaks against it, right before
// the router is there; its error ends the creation. A router of the same id and name
// is taken for the same: there is nothing to do then.
//
// Errors: ErrExists, ErrMany; those of before and of the store.
func (s *Service) Create(ctx context.Context, r Router, before func() error) error {
	s.creating.Lock()
	defer s.creating.Unlock()
	if err := s.all.Follow(ctx); err != nil {
		return fmt.Errorf("create prompt router: %w", err)
	}
	if old, ok := s.Lookup(r.Account, r.Region, r.ID); ok {
		if old.Name == r.Name {
			return nil
		}
		return ErrExists
	}
	have := s.List(r.Account, r.Region)
	if slices.ContainsFunc(have, func(o Router) bool { return o.Name == r.Name }) {
		return ErrExists
	}
	if len(have) >= MaxPerRegion {
		return ErrMany
	}
	if err := before(); err != nil {
		return err
	}
	r.Created = s.cfg.Now().UTC().Truncate(time.Millisecond)
	r.Updated = r.Created
	err := s.all.Change(ctx, key(r.Account, r.Region, r.ID), func(_ *Router, ok bool) (any, error) {
		if ok {
			return nil, ErrExists
		}
		return r, nil
	})
	if err != nil {
		return fmt.Errorf("create prompt router: %w", err)
	}
	return nil
}

// Lookup returns a router of an account in a region.
func (s *Service) Lookup(account, region, id string) (Router, bool) {
	r, ok := s.all.Get(key(account, region, id))
	if !ok {
		return Router{}, false
	}
	return *r, true
}

// Exists reports whether an account has a router in a region.
func (s *Service) Exists(_ context.Context, account, region, id string) (bool, error) {
	_, ok := s.Lookup(account, region, id)
	return ok, nil
}

// List returns the routers of an account in a region, the oldest first.
func (s *Service) List(account, region string) []Router {
	var out []Router
	for _, r := range s.all.All() {
		if r.Account == account && r.Region == region {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(a, b Router) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return out
}

// Delete removes a router. Errors: ErrNone; those of the store.
func (s *Service) Delete(ctx context.Context, account, region, id string) error {
	err := s.all.Change(ctx, key(account, region, id), func(_ *Router, ok bool) (any, error) {
		if !ok {
			return nil, ErrNone
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("delete prompt router: %w", err)
	}
	return nil
}

// Gap is by how much the reply of the stronger of two models is expected to be
// better than that of the weaker one, in percent, for a request of the difficulty
// that package difficulty estimates: nothing up to 0.5, which both answer well, then
// evenly up to 100 for a difficulty of 1.
func Gap(difficulty float64) float64 {
	return max(0, min(100, 200*difficulty-100))
}

// Stronger reports whether the stronger model of a router answers a request of the
// difficulty: when its reply is expected to be better by more than the router's
// difference, in percent. So a fallback that is the stronger model gives way to the
// other where the other is good enough, and a weaker fallback where the other is worth
// it.
func Stronger(difficulty, difference float64) bool { return Gap(difficulty) > difference }
