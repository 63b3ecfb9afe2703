package analyze

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// The kinds of the Registry's records. The name of an analyzer is its record's.
const (
	KindAnalyzer   = "access-analyzer/analyzer"
	KindGeneration = "access-analyzer/generation"
)

// The types of analyzers.
const (
	OfExternalAccess = "ACCOUNT"
	OfUnusedAccess   = "ACCOUNT_UNUSED_ACCESS"
)

// maxGenerations is how many policies that were made an account keeps; the oldest
// go first.
const maxGenerations = 100

var (
	// ErrNotFound says that there is no such analyzer or generation.
	ErrNotFound = errors.New("analyze: not found")
	// ErrExists says that there is an analyzer of the name.
	ErrExists = errors.New("analyze: exists already")
	// ErrQuota says that there is an analyzer of the type, and may be one only.
	ErrQuota = errors.New("analyze: one analyzer of a type in a region")
)

// Registered is an analyzer that an account keeps: what it looks for in a region.
type Registered struct {
	Account string    `json:"-"`
	Region  string    `json:"-"`
	Name    string    `json:"-"`
	Type    string    `json:"type"`           // OfExternalAccess or OfUnusedAccess
	Days    int       `json:"days,omitempty"` // of OfUnusedAccess; 0 means DefaultDays
	Created time.Time `json:"created"`
}

// ARN returns the analyzer's ARN.
func (r *Registered) ARN() string { return AnalyzerARN(r.Region, r.Account, r.Name) }

// AnalyzerARN builds the ARN of an analyzer.
func AnalyzerARN(region, account, name string) string {
	return "arn:" + arn.Partition(region) + ":access-analyzer:" + region + ":" + account + ":analyzer/" + name
}

// Generation is a policy that was made from activity when it was asked for.
type Generation struct {
	ID        string    `json:"-"` // UUID
	Principal string    `json:"principal"`
	Started   time.Time `json:"started"`
	Since     time.Time `json:"since"`
	Policy    string    `json:"policy,omitempty"`
	Exact     bool      `json:"exact"`
}

// Registry keeps the analyzers of accounts, and the policies that were made for
// them. It takes up what other processes wrote with its next change. It is safe for
// concurrent use.
type Registry struct {
	analyzers   *record.Mirror[*Registered]
	generations *record.Mirror[*Generation]
	now         func() time.Time
}

// OpenRegistry reads all records. now is nil for time.Now.
func OpenRegistry(ctx context.Context, s record.Store, now func() time.Time) (*Registry, error) {
	if now == nil {
		now = time.Now
	}
	r := &Registry{
		now: now,
		analyzers: record.NewMirror(s, KindAnalyzer, func(r *record.Record) (*Registered, error) {
			v := &Registered{Account: r.Account, Region: r.Region, Name: r.Name}
			return v, record.Read(*r, v)
		}, nil, now),
		generations: record.NewMirror(s, KindGeneration, func(r *record.Record) (*Generation, error) {
			v := &Generation{ID: r.Name}
			return v, record.Read(*r, v)
		}, nil, now),
	}
	if err := errors.Join(r.analyzers.Follow(ctx), r.generations.Follow(ctx)); err != nil {
		return nil, fmt.Errorf("read analyzers: %w", err)
	}
	return r, nil
}

func analyzerKey(account, region, name string) record.Key {
	return record.Key{Account: account, Region: region, Name: name}
}

// Create keeps an analyzer. Errors: ErrExists, ErrQuota.
func (r *Registry) Create(ctx context.Context, a Registered) (*Registered, error) {
	a.Created = r.now().UTC().Truncate(time.Second)
	err := r.analyzers.Change(ctx, analyzerKey(a.Account, a.Region, a.Name), func(_ *Registered, ok bool) (any, error) {
		if ok {
			return nil, ErrExists
		}
		for _, o := range r.Analyzers(a.Account, a.Region) {
			if o.Type == a.Type {
				return nil, ErrQuota
			}
		}
		return &a, nil
	})
	return &a, err
}

// Analyzer returns an analyzer. Errors: ErrNotFound.
func (r *Registry) Analyzer(account, region, name string) (*Registered, error) {
	if a, ok := r.analyzers.Get(analyzerKey(account, region, name)); ok {
		return a, nil
	}
	return nil, ErrNotFound
}

// Analyzers lists the analyzers of an account in a region by name.
func (r *Registry) Analyzers(account, region string) []*Registered {
	var out []*Registered
	for k, a := range r.analyzers.All() {
		if k.Account == account && k.Region == region {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *Registered) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// SetDays changes after how many days an analyzer finds something unused. Errors:
// ErrNotFound.
func (r *Registry) SetDays(ctx context.Context, account, region, name string, days int) error {
	return r.analyzers.Change(ctx, analyzerKey(account, region, name), func(old *Registered, ok bool) (any, error) {
		if !ok {
			return nil, ErrNotFound
		}
		c := *old
		c.Days = days
		return &c, nil
	})
}

// Delete removes an analyzer. Errors: ErrNotFound.
func (r *Registry) Delete(ctx context.Context, account, region, name string) error {
	return r.analyzers.Change(ctx, analyzerKey(account, region, name), func(_ *Registered, ok bool) (any, error) {
		if !ok {
			return nil, ErrNotFound
		}
		return nil, nil
	})
}

// Generate keeps a policy that was made, and forgets the oldest ones.
func (r *Registry) Generate(ctx context.Context, account string, g *Generated) (*Generation, error) {
	v := &Generation{
		ID: uuid.NewString(), Principal: g.Principal, Started: r.now().UTC().Truncate(time.Second), Since: g.Since, Policy: g.Policy, Exact: g.Exact,
	}
	all := r.Generations(account)
	for i := maxGenerations - 1; i < len(all); i++ {
		err := r.generations.Change(ctx, record.Key{Account: account, Name: all[i].ID}, func(*Generation, bool) (any, error) { return nil, nil })
		if err != nil {
			return nil, fmt.Errorf("forget generated policy %s: %w", all[i].ID, err)
		}
	}
	err := r.generations.Change(ctx, record.Key{Account: account, Name: v.ID}, func(*Generation, bool) (any, error) { return v, nil })
	return v, err
}

// Generation returns a policy that was made. Errors: ErrNotFound.
func (r *Registry) Generation(account, id string) (*Generation, error) {
	if g, ok := r.generations.Get(record.Key{Account: account, Name: id}); ok {
		return g, nil
	}
	return nil, ErrNotFound
}

// Generations lists the policies that were made for an account, newest first.
func (r *Registry) Generations(account string) []*Generation {
	var out []*Generation
	for k, g := range r.generations.All() {
		if k.Account == account {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *Generation) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.ID, b.ID)) })
	return out
}
