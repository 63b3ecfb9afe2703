// Package resource keeps what access asks of Bedrock's resources: their tags and
// their resource policies. It holds all of them in memory, so a decision reads no
// database; a change is durable first and then seen by the next call.
//
// What an ARN names belongs to the account in it. A foundation model's ARN has no
// account: policies on it are kept for each account that put them, and concern
// that account alone.
package resource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Kind is the kind of the Book's records. Their name is the ARN, their account the
// one that the facts belong to, their region that of the ARN.
const Kind = "bedrock/resource"

const (
	// defaultPoll is how often Run looks for changes of other processes.
	defaultPoll = 250 * time.Millisecond
	// sweepEvery is how often Run forgets resources that are gone; it leaves alone
	// what was written less than sweepAge ago, which may belong to a resource that
	// is being made.
	sweepEvery = time.Hour
	sweepAge   = time.Hour
)

// Exists reports whether an account has a resource in a region. name is what
// follows the type and a slash in its ARN.
type Exists func(ctx context.Context, account, region, name string) (bool, error)

// Config is what a Book is made of.
type Config struct {
	Records record.Store // required
	// Exists tells of the types of resources that callers make, by the type in
	// their ARNs, e.g. "application-inference-profile". Run forgets the facts of
	// those that are gone.
	Exists map[string]Exists
	// Changed is called after each change that decisions depend on, also of another
	// process. It must not wait. nil: nobody wants to know.
	Changed func()
	Poll    time.Duration    // how often Run looks for changes of other processes; 0 means 250 ms
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil discards
}

// facts are what is known of a resource.
type facts struct {
	body
	policy *policy.Document
	broken error // the stored policy cannot be read: nothing may be decided with it
}

// body is the JSON of a record.
type body struct {
	Tags   map[string]string `json:"tags,omitempty"`
	Policy string            `json:"policy,omitempty"`
}

// Book keeps tags and policies. It is safe for concurrent use.
type Book struct {
	cfg Config
	all *record.Mirror[*facts]
}

// Open reads all records.
func Open(ctx context.Context, cfg Config) (*Book, error) {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{cfg: cfg, all: record.NewMirror(cfg.Records, Kind, read, cfg.Changed, cfg.Now)}
	if err := b.all.Follow(ctx); err != nil {
		return nil, fmt.Errorf("read tags and resource policies: %w", err)
	}
	return b, nil
}

// read reads a record. A policy that this version cannot read must not pass for
// none: it fails the decisions that need it.
func read(r *record.Record) (*facts, error) {
	f := &facts{}
	if err := record.Read(*r, &f.body); err != nil {
		return nil, err
	}
	if f.Policy != "" {
		if f.policy, f.broken = policy.Parse([]byte(f.Policy), policy.Resource); f.broken != nil {
			f.broken = fmt.Errorf("resource policy of %s: %w", r.Name, f.broken)
		}
	}
	return f, nil
}

// Run follows what other processes change, and forgets resources that are gone,
// until ctx ends. It always returns nil: while the store fails, the book stays as
// it is.
func (b *Book) Run(ctx context.Context) error {
	record.Poll(ctx, b.cfg.Log,
		record.Chore{Every: b.cfg.Poll, Do: b.all.Follow, Fails: "tags and resource policies are not followed: the store fails"},
		record.Chore{Every: sweepEvery, Do: b.sweep, Fails: "tags and policies of resources that are gone are not forgotten: the store fails"})
	return nil
}

// Resource implements access.Resources. The zero Resource stands for what is no
// ARN.
//
// Errors: a stored policy that cannot be read.
func (b *Book) Resource(_ context.Context, name, caller string) (access.Resource, error) {
	a, err := arn.Parse(name)
	if err != nil {
		return access.Resource{}, nil //nolint:nilerr // "*" and the like name nothing
	}
	f, ok := b.all.Get(keyOf(&a, caller, name))
	if !ok {
		return access.Resource{Account: a.Account}, nil
	}
	return access.Resource{Account: a.Account, Policy: f.policy, Tags: f.Tags}, f.broken
}

// keyOf names the facts of an ARN. Those of an account-less one are the caller's.
func keyOf(a *arn.ARN, caller, name string) record.Key {
	k := record.Key{Account: a.Account, Region: a.Region, Name: name}
	if k.Account == "" || k.Account == "aws" {
		k.Account = caller
	}
	return k
}

// Exists reports whether a resource is there that callers make. known is false for
// ARNs of types that the book was told nothing of.
func (b *Book) Exists(ctx context.Context, name string) (there, known bool, err error) {
	a, err := arn.Parse(name)
	if err != nil || a.Service != "bedrock" || a.Account == "" {
		return false, false, nil //nolint:nilerr // what is no ARN of a resource does not exist
	}
	kind, id := a.Split()
	exists, known := b.cfg.Exists[kind]
	if !known {
		return false, false, nil
	}
	there, err = exists(ctx, a.Account, a.Region, id)
	return there, true, err
}

// sweep forgets the facts of resources that are gone.
func (b *Book) sweep(ctx context.Context) error {
	old := b.cfg.Now().Add(-sweepAge)
	var errs []error
	for e := range b.all.All() {
		if !e.Updated.Before(old) {
			continue
		}
		there, known, err := b.Exists(ctx, e.Name)
		if err == nil && known && !there {
			err = b.Forget(ctx, e.Name)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// change replaces the facts of a resource by what edit makes of a copy of them.
// caller is the account that account-less ARNs belong to.
func (b *Book) change(ctx context.Context, name, caller string, edit func(v *body) error) error {
	a, err := arn.Parse(name)
	if err != nil {
		return fmt.Errorf("change tags or policy of %s: %w", name, err)
	}
	return b.all.Change(ctx, keyOf(&a, caller, name), func(old *facts, ok bool) (any, error) {
		v := body{}
		if ok {
			v = body{Tags: maps.Clone(old.Tags), Policy: old.Policy}
		}
		if err := edit(&v); err != nil {
			return nil, err
		}
		switch {
		case ok && maps.Equal(v.Tags, old.Tags) && v.Policy == old.Policy:
			return nil, record.ErrKeep
		case len(v.Tags) == 0 && v.Policy == "":
			return nil, nil
		}
		return v, nil
	})
}
