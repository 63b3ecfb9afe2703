// Package provision keeps provisioned throughput: model units that an account has
// set aside for itself. A model unit is one slot of the server of a model's
// weights: one request that it works on at a time, whoever else waits.
//
// A Book holds who has what, as records, and answers from memory; a Keeper makes
// the engines set the slots aside.
package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Kind is the kind of the records. Their names are the ids.
const Kind = "provision/throughput"

// DefaultUnits is how many model units an account may have in a region, of all
// models together.
//
// Source: AWS General Reference, Amazon Bedrock quotas, "Model units no-commitment
// Provisioned Throughputs across base models": 2.
const DefaultUnits = 2

// MaxPerRegion is how many throughputs an account may have in a region, those that
// failed included, which have no units.
const MaxPerRegion = 100

// Status says where a throughput stands. The words are those of the API.
type Status string

// The states.
const (
	Creating  Status = "Creating"  // its slots are being set aside
	InService Status = "InService" // it serves
	Updating  Status = "Updating"  // it goes over to another model, and serves the old one meanwhile
	Failed    Status = "Failed"    // nothing is set aside
)

// Commitment is how long a throughput is kept at least. The words are those of the
// API.
type Commitment string

// The commitments.
const (
	Hourly    Commitment = "" // none
	OneMonth  Commitment = "OneMonth"
	SixMonths Commitment = "SixMonths"
)

// end is when a commitment that begins now is over.
func (c Commitment) end(now time.Time) time.Time {
	switch c {
	case OneMonth:
		return now.AddDate(0, 1, 0)
	case SixMonths:
		return now.AddDate(0, 6, 0)
	}
	return time.Time{}
}

var (
	// ErrNone says that the account has no such throughput in the region.
	ErrNone = errors.New("provision: no such throughput")
	// ErrName says that the name is taken in the account and region.
	ErrName = errors.New("provision: name taken")
	// ErrUnits says that the account would have more units than its quota, or more
	// throughputs than MaxPerRegion.
	ErrUnits = errors.New("provision: too many model units")
	// ErrCommitted says that the commitment is not over.
	ErrCommitted = errors.New("provision: committed")
	// ErrBusy says that the throughput is not in service.
	ErrBusy = errors.New("provision: not in service")
)

// Throughput is one provisioned throughput. It is never changed in place.
type Throughput struct {
	Account string `json:"-"` // 12 digits
	Region  string `json:"-"`
	ID      string `json:"-"` // 12 characters [a-z0-9]; unique in account and region

	Name    string `json:"name"`    // unique in account and region
	Units   int    `json:"units"`   // at least 1
	Model   string `json:"model"`   // id of the foundation model that it serves
	Desired string `json:"desired"` // id of the one that it goes over to; Model when there is none
	Status  Status `json:"status"`
	// Failure is why it failed, or why its last update did; "" when nothing has.
	Failure    string     `json:"failure,omitempty"`
	Commitment Commitment `json:"commitment,omitempty"`
	Expires    time.Time  `json:"expires,omitzero"` // end of the commitment; zero: none
	Created    time.Time  `json:"created"`          // kept to the millisecond
	Updated    time.Time  `json:"updated"`          // kept to the millisecond
}

// ARN is the throughput's name across AWS.
func (t *Throughput) ARN() string {
	return arn.Bedrock(t.Region, t.Account, "provisioned-model", t.ID)
}

func (t *Throughput) key() record.Key {
	return record.Key{Account: t.Account, Region: t.Region, Name: t.ID}
}

// Config is what a Book is made of.
type Config struct {
	Records record.Store // required
	Units   int          // that an account may have in a region; 0 means DefaultUnits
	// Together counts the units, and the throughputs, of all regions of an account: where
	// nobody lists the regions that are served, anybody can make up their names.
	Together bool
	Now      func() time.Time // nil means time.Now
}

// Book holds all throughputs. It is safe for concurrent use.
type Book struct {
	cfg    Config
	all    *record.Mirror[*Throughput]
	making sync.Mutex // held while names and units are counted and used
	shown  atomic.Pointer[shown]

	// changed holds a value when something changed since the Keeper looked.
	changed chan struct{}
}

// shown is what readers see.
type shown struct {
	byID   map[place]*Throughput
	byName map[place]*Throughput
}

type place struct{ account, region, name string }

// Open reads all throughputs.
func Open(ctx context.Context, cfg Config) (*Book, error) {
	cfg.Units = cmp.Or(cfg.Units, DefaultUnits)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	b := &Book{cfg: cfg, changed: make(chan struct{}, 1)}
	b.shown.Store(&shown{})
	b.all = record.NewMirror(cfg.Records, Kind, read, b.show, cfg.Now)
	if err := b.all.Follow(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// Follow takes over what another process has changed. A Keeper does so by itself.
func (b *Book) Follow(ctx context.Context) error { return b.all.Follow(ctx) }

func read(r *record.Record) (*Throughput, error) {
	t := &Throughput{Account: r.Account, Region: r.Region, ID: r.Name}
	return t, record.Read(*r, t)
}

// show lets readers and the Keeper see what is there now.
func (b *Book) show() {
	s := &shown{byID: map[place]*Throughput{}, byName: map[place]*Throughput{}}
	for _, t := range b.all.All() {
		s.byID[place{t.Account, t.Region, t.ID}] = t
		s.byName[place{t.Account, t.Region, t.Name}] = t
	}
	b.shown.Store(s)
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// Get finds a throughput of an account in a region by its id or its name. Error:
// ErrNone.
func (b *Book) Get(account, region, idOrName string) (Throughput, error) {
	s := b.shown.Load()
	k := place{account, region, idOrName}
	if t := cmp.Or(s.byID[k], s.byName[k]); t != nil {
		return *t, nil
	}
	return Throughput{}, ErrNone
}

// Exists reports whether an account has a throughput of an id in a region.
func (b *Book) Exists(_ context.Context, account, region, id string) (bool, error) {
	_, ok := b.shown.Load().byID[place{account, region, id}]
	return ok, nil
}

// LookupProvisioned tells the ARN and the model of the throughput that a call names
// by its id or its name.
//
// Errors: ErrNone; with the ARN, ModelNotReadyException while it is being made and
// ValidationException when it failed.
func (b *Book) LookupProvisioned(account, region, idOrName string) (name, model string, err error) {
	t, err := b.Get(account, region, idOrName)
	if err != nil {
		return "", "", err
	}
	switch t.Status {
	case Creating:
		return t.ARN(), "", apierr.ModelNotReady("The provisioned throughput %s is being created. Try again soon.", t.Name)
	case Failed:
		return t.ARN(), "", apierr.Validation("The provisioned throughput %s failed and serves nothing.", t.Name)
	}
	return t.ARN(), t.Model, nil
}

// List returns the throughputs of an account in a region, the oldest first.
func (b *Book) List(account, region string) []Throughput {
	var out []Throughput
	for k, t := range b.shown.Load().byID {
		if k.account == account && k.region == region {
			out = append(out, *t)
		}
	}
	sortByAge(out)
	return out
}

func sortByAge(all []Throughput) {
	slices.SortFunc(all, func(a, b Throughput) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
}

// Create keeps a new throughput, of which Account, Region, ID, Name, Units, Model
// and Commitment count; it stands at Creating. When one of the same id and name is
// there already, a call was repeated and nothing is done.
//
// Errors: ErrName, ErrUnits, those of the store.
func (b *Book) Create(ctx context.Context, t Throughput) (Throughput, error) {
	b.making.Lock()
	defer b.making.Unlock()
	units, n := t.Units, 1
	for k, o := range b.shown.Load().byID {
		here := k.region == t.Region
		switch {
		case k.account != t.Account || !here && !b.cfg.Together:
			continue
		case here && o.ID == t.ID && o.Name == t.Name:
			return *o, nil
		case here && o.Name == t.Name:
			return Throughput{}, ErrName
		}
		if n++; o.Status != Failed {
			units += o.Units
		}
	}
	if units > b.cfg.Units || n > MaxPerRegion {
		return Throughput{}, ErrUnits
	}
	now := b.cfg.Now().UTC().Truncate(time.Millisecond)
	t.Created, t.Updated, t.Expires = now, now, t.Commitment.end(now)
	t.Status, t.Desired, t.Failure = Creating, t.Model, ""
	err := b.all.Change(ctx, t.key(), func(_ *Throughput, ok bool) (any, error) {
		if ok {
			return nil, ErrName
		}
		return &t, nil
	})
	return t, wrap(err, "create", t.Name)
}

// Units is how many model units an account may have in a region.
func (b *Book) Units() int { return b.cfg.Units }

// Update gives a throughput another name, or lets it go over to another model; ""
// leaves what is. It goes over in the background, see Keeper.
//
// Errors: ErrNone, ErrName, ErrBusy when it is not in service, those of the store.
func (b *Book) Update(ctx context.Context, account, region, id, name, model string) error {
	b.making.Lock()
	defer b.making.Unlock()
	if o := b.shown.Load().byName[place{account, region, name}]; o != nil && o.ID != id {
		return ErrName
	}
	return b.edit(ctx, record.Key{Account: account, Region: region, Name: id}, func(t *Throughput) error {
		if t.Status != InService {
			return ErrBusy
		}
		if name != "" {
			t.Name = name
		}
		if model != "" && model != t.Model {
			t.Desired, t.Status, t.Failure = model, Updating, ""
		}
		return nil
	})
}

// edit changes a throughput.
func (b *Book) edit(ctx context.Context, k record.Key, change func(t *Throughput) error) error {
	err := b.all.Change(ctx, k, func(old *Throughput, ok bool) (any, error) {
		if !ok {
			return nil, ErrNone
		}
		next := *old
		if err := change(&next); err != nil {
			return nil, err
		}
		next.Updated = b.cfg.Now().UTC().Truncate(time.Millisecond)
		return &next, nil
	})
	return wrap(err, "change", k.Name)
}

// Delete gives a throughput up.
//
// Errors: ErrNone; ErrCommitted until the commitment of one that did not fail is
// over; those of the store.
func (b *Book) Delete(ctx context.Context, account, region, id string) error {
	err := b.all.Change(ctx, record.Key{Account: account, Region: region, Name: id}, func(t *Throughput, ok bool) (any, error) {
		switch {
		case !ok:
			return nil, ErrNone
		case t.Status != Failed && b.cfg.Now().Before(t.Expires):
			return nil, ErrCommitted
		}
		return nil, nil
	})
	return wrap(err, "delete", id)
}

func wrap(err error, what, which string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s provisioned throughput %s: %w", what, which, err)
}
