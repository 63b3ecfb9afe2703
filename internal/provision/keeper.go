package provision

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// The times between two looks of a Keeper.
const (
	defaultPoll  = 250 * time.Millisecond
	defaultRetry = 5 * time.Second
)

// KeeperConfig is what a Keeper is made of.
type KeeperConfig struct {
	Book   *Book           // required
	Engine engine.Reserver // required
	// Target finds the weights of a model in a region; slots are set aside where that
	// region's calls may be answered. Required.
	Target func(model, region string) (engine.Target, error)
	Poll   time.Duration // how often it looks for changes of other processes; 0 means 250 ms
	Retry  time.Duration // how often it tries again to set aside what it could not; 0 means 5 s
	Log    *slog.Logger  // nil discards
}

// Keeper sets slots aside for throughputs, in the order of their age, and gives
// them back for those that are gone.
//
// A new throughput that gets its slots is in service; one that does not has failed,
// and says why. What was in service when the server started gets its slots before
// any new one; should that fail, it stays in service, its calls get
// ModelNotReadyException, and the Keeper tries again.
type Keeper struct {
	cfg  KeeperConfig
	held map[string]grip // by ARN
	told map[string]bool // whose failure was logged
}

// grip is what is set aside for one throughput.
type grip struct {
	weights string
	mode    engine.Mode
	region  string
	units   int
}

func (g grip) target() engine.Target {
	return engine.Target{Weights: g.weights, Mode: g.mode, Regions: []string{g.region}}
}

// NewKeeper returns a Keeper that has set nothing aside.
func NewKeeper(cfg KeeperConfig) *Keeper {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Retry <= 0 {
		cfg.Retry = defaultRetry
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{cfg: cfg, held: map[string]grip{}, told: map[string]bool{}}
}

// Run keeps the engine at what the book says until ctx ends. It always returns nil:
// while the store or an engine fails, everything stays as it is.
func (k *Keeper) Run(ctx context.Context) error {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() {
		record.Poll(ctx, k.cfg.Log, record.Chore{Every: k.cfg.Poll, Do: k.cfg.Book.Follow, Fails: "provisioned throughput is not followed: the store fails"})
	})
	retry := time.NewTicker(k.cfg.Retry)
	defer retry.Stop()
	for {
		k.keep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-k.cfg.Book.changed:
		case <-retry.C:
		}
	}
}

// keep makes the engine hold what the book says.
func (k *Keeper) keep(ctx context.Context) {
	s := k.cfg.Book.shown.Load()
	there := make(map[string]bool, len(s.byID))
	all := make([]Throughput, 0, len(s.byID))
	for _, t := range s.byID {
		there[t.ARN()] = t.Status != Failed
		all = append(all, *t)
	}
	for name, g := range k.held {
		if !there[name] {
			k.free(ctx, name, g)
		}
	}
	sortByAge(all)
	for _, fresh := range []bool{false, true} {
		for i := range all {
			if t := &all[i]; t.Status != Failed && (t.Status == Creating) == fresh && ctx.Err() == nil {
				k.settle(ctx, t)
			}
		}
	}
}

// free gives back what is set aside.
func (k *Keeper) free(ctx context.Context, name string, g grip) {
	if err := k.cfg.Engine.Reserve(ctx, g.target(), name, 0); err != nil {
		k.cfg.Log.Error("provisioned throughput was not given back", "throughput", name, "weights", g.weights, "error", err)
		return
	}
	delete(k.held, name)
	delete(k.told, name)
}

// settle sets aside what one throughput should have, and notes what came of it.
func (k *Keeper) settle(ctx context.Context, t *Throughput) {
	name := t.ARN()
	if t.Status == InService {
		if _, err := k.hold(ctx, t, t.Model); err != nil {
			k.tell(ctx, t, err)
		} else {
			delete(k.told, name)
		}
		return
	}
	old, had := k.held[name]
	now, err := k.hold(ctx, t, t.Desired)
	if ctx.Err() != nil {
		return // the server stops: the next one goes on
	}
	noted := k.cfg.Book.edit(ctx, t.key(), func(r *Throughput) error {
		switch {
		case r.Status != t.Status || r.Desired != t.Desired:
			return record.ErrKeep // changed meanwhile: it is looked at again
		case err == nil:
			r.Status, r.Model, r.Failure = InService, r.Desired, ""
		case r.Status == Updating: // it goes on as it was
			r.Status, r.Desired, r.Failure = InService, r.Model, apierr.From(err).Message
		default:
			r.Status, r.Failure = Failed, apierr.From(err).Message
		}
		return nil
	})
	if err != nil {
		k.tell(ctx, t, err)
	}
	if noted != nil && !errors.Is(noted, ErrNone) {
		k.cfg.Log.Error("the state of provisioned throughput was not kept", "throughput", name, "error", noted)
	}
	if err == nil && had && (old.weights != now.weights || old.mode != now.mode) {
		if err := k.cfg.Engine.Reserve(ctx, old.target(), name, 0); err != nil {
			k.cfg.Log.Error("provisioned throughput was not given back", "throughput", name, "weights", old.weights, "error", err)
		}
	}
}

// hold sets aside what t should have of a model, unless it has.
func (k *Keeper) hold(ctx context.Context, t *Throughput, model string) (grip, error) {
	target, err := k.cfg.Target(model, t.Region)
	if err != nil {
		return grip{}, err
	}
	want := grip{target.Weights, target.Mode, t.Region, t.Units}
	if k.held[t.ARN()] == want {
		return want, nil
	}
	if err := k.cfg.Engine.Reserve(ctx, want.target(), t.ARN(), t.Units); err != nil {
		return grip{}, err
	}
	k.held[t.ARN()] = want
	return want, nil
}

// tell logs a failure, once.
func (k *Keeper) tell(ctx context.Context, t *Throughput, err error) {
	if name := t.ARN(); ctx.Err() == nil && !k.told[name] {
		k.told[name] = true
		k.cfg.Log.Warn("no throughput could be set aside", "throughput", name, "model", t.Desired, "units", t.Units, "error", err)
	}
}
