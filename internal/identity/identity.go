// Package identity is the directory of who exists: accounts, users, groups,
// roles and their policies, and what belongs to them.
//
// The whole directory stands in memory as one immutable state. Readers take it
// with one atomic load and never wait; a change is written to the record store
// first and becomes visible when it is durable. What another process writes to
// the same store is taken up by [Directory.Run].
//
// Everything is kept per account: no method finds an entity of another account
// than the one it is asked for.
package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// pollEvery is how often Run asks whether another process wrote.
const pollEvery = 250 * time.Millisecond

// Config is what a Directory is made of.
type Config struct {
	Records record.Store     // required
	Keys    *keys.Service    // required
	Root    *keys.RootKey    // seals the seeds of MFA devices; required by those operations
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil discards
	// Management is the management account of the organisation, 12 digits; ""
	// means keys.DefaultAccount. It exists from the start.
	Management string
	// ForbidLongTerm refuses to make long-term bearer keys.
	ForbidLongTerm bool
}

// Directory is the directory. It is safe for concurrent use.
type Directory struct {
	records    record.Store
	keys       *keys.Service
	root       *keys.RootKey
	now        func() time.Time
	log        *slog.Logger
	management string
	managed    map[string]*Policy // AWS managed policies by ARN; read-only
	nothing    *policy.Document   // allows nothing
	uses       *uses

	forbidLongTerm bool // no long-term bearer keys

	mu    sync.Mutex // held by writers and by reloads
	state atomic.Pointer[state]
}

// Open reads the directory from its store and makes the management account if
// there is none yet.
func Open(ctx context.Context, cfg Config) (*Directory, error) {
	d := &Directory{
		records: cfg.Records, keys: cfg.Keys, root: cfg.Root, now: cfg.Now, log: cfg.Log, management: cfg.Management,
		forbidLongTerm: cfg.ForbidLongTerm, uses: newUses(),
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.log == nil {
		d.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if d.management == "" {
		d.management = keys.DefaultAccount
	}
	if !arn.ValidAccount(d.management) {
		return nil, errors.New("management account: must be 12 digits")
	}
	var err error
	if d.managed, err = loadManaged(); err != nil {
		return nil, err
	}
	if d.nothing, err = policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"none:Nothing","Resource":"*"}}`), policy.Identity); err != nil {
		return nil, err
	}
	d.state.Store(newState())
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := d.loadUses(ctx); err != nil {
		return nil, err
	}
	if find(d.state.Load(), &accountKind, "", d.management) != nil {
		return d, d.adopt(ctx)
	}
	err = d.change(ctx, func(t *tx) error {
		if find(t.state, &accountKind, "", d.management) != nil {
			return nil
		}
		return put(t, &accountKind, "", &Account{
			ID: d.management, Name: "management", Email: "root@outcrop.invalid",
			Status: AccountActive, Created: d.now().UTC().Truncate(time.Second),
		})
	})
	if err != nil {
		return nil, err
	}
	return d, d.adopt(ctx)
}

// Management returns the id of the management account.
func (d *Directory) Management() string { return d.management }

// Run takes up the changes of other processes, within 250 ms, and writes last
// uses, every minute and at the end, until ctx ends. Trouble with the store is
// logged, and the directory stays as it was until the store answers again.
func (d *Directory) Run(ctx context.Context) error {
	record.Poll(ctx, d.log,
		record.Chore{Every: pollEvery, Do: d.Refresh, Fails: "the directory of identities cannot be read; its last state stays in force"},
		record.Chore{Every: flushEvery, Do: d.FlushUses, Fails: "last uses cannot be written; they are tried again"})
	return d.lastFlush(ctx)
}

// Changed returns a channel that is closed at the next change of anything that
// decisions depend on. Ask for it before a decision and wait after it.
func (d *Directory) Changed() <-chan struct{} { return d.state.Load().next }

// Announce tells those who wait for Changed that something beside the directory
// changed that decisions depend on, such as the policy of a resource.
func (d *Directory) Announce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.publish(d.state.Load().clone())
}

// publish makes s the state. d.mu is held.
func (d *Directory) publish(s *state) {
	old := d.state.Swap(s)
	close(old.next)
}

// Refresh takes up at once what other processes wrote. It costs one small read
// when nothing changed.
func (d *Directory) Refresh(ctx context.Context) error {
	rev, err := d.records.RecordsRevision(ctx)
	if err != nil {
		return fmt.Errorf("read the revision of the directory: %w", err)
	}
	if rev == d.state.Load().seen {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refresh(ctx)
}

// refresh reads every account whose guard is not as the state knows it. d.mu is
// held.
func (d *Directory) refresh(ctx context.Context) error {
	rev, err := d.records.RecordsRevision(ctx)
	if err != nil {
		return fmt.Errorf("read the revision of the directory: %w", err)
	}
	if rev == d.state.Load().seen {
		return nil
	}
	guards, err := d.records.ListRecords(ctx, record.Query{Kind: guardKind, AllAccounts: true})
	if err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	old := d.state.Load()
	next := old.clone()
	changed := false
	for _, g := range guards {
		if a := old.accounts[g.Account]; a != nil && a.version == g.Version {
			continue
		}
		a, err := d.readAccount(ctx, g.Account, g.Version)
		if err != nil {
			return err
		}
		next.accounts[g.Account] = a
		changed = true
	}
	next.seen = rev
	if !changed {
		// Nobody's business: the same state, but for the revision.
		next.next, next.cache = old.next, old.cache
		d.state.Store(next)
		return nil
	}
	d.publish(next)
	return nil
}

// readAccount reads all entities of an account; "" are those of the installation.
func (d *Directory) readAccount(ctx context.Context, id string, version int64) (*account, error) {
	a := &account{version: version, tables: make(map[string]any, len(kinds))}
	for _, k := range kinds {
		all, err := d.records.ListRecords(ctx, record.Query{Account: id, Kind: k.kindName()})
		if err != nil {
			return nil, fmt.Errorf("read the directory: %w", err)
		}
		t, err := k.load(all)
		if err != nil {
			return nil, err
		}
		a.tables[k.kindName()] = t
	}
	return a, nil
}
