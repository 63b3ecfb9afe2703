// Package fault makes models fail on purpose, so that people can test what their
// own code does about it: waiting, throttling, time-outs, errors and replies that
// break off, at given rates, for some account, some model or the calls that ask.
//
// Rules are kept as records and answered from memory. A call that no rule is about
// pays for one read of a pointer.
package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// KindRule is the kind of the records of rules. A rule lies in the account that it
// is about, one about every account in none; its name is the record's.
const KindRule = "fault/rule"

// defaultPoll is how often Run looks for changes of other processes.
const defaultPoll = 250 * time.Millisecond

// MetadataKey is the key of requestMetadata whose value names rules, with commas
// between them.
const MetadataKey = "outcrop-fault"

// EveryAccount is the account of a rule that is about all accounts.
const EveryAccount = "*"

// The bounds and defaults of rules.
const (
	MaxLatency     = 15 * time.Minute
	DefaultAfter   = 3              // tokens
	DefaultLasts   = 24 * time.Hour // of a rule: nobody shall search for a forgotten one
	MaxLasts       = 30 * 24 * time.Hour
	MaxRules       = 1000 // of one account
	maxAfter       = 100_000
	maxCount       = 1_000_000
	maxModelLength = 2048
)

// Type is what goes wrong.
type Type string

// The types of faults. The words are those of the API.
const (
	Latency       Type = "LATENCY"        // the reply begins late
	Throttling    Type = "THROTTLING"     // ThrottlingException, 429
	Timeout       Type = "TIMEOUT"        // ModelTimeoutException, 408
	ModelError    Type = "MODEL_ERROR"    // ModelErrorException, 424
	NotReady      Type = "NOT_READY"      // ModelNotReadyException, 429
	Unavailable   Type = "UNAVAILABLE"    // ServiceUnavailableException, 503
	InternalError Type = "INTERNAL_ERROR" // InternalServerException, 500
	// StreamBreak is modelStreamErrorException after some tokens; a call without a
	// stream gets ModelErrorException, as whenever a reply breaks off.
	StreamBreak Type = "STREAM_BREAK"
	// ConnectionCut closes the connection after some tokens, without a word.
	ConnectionCut Type = "CONNECTION_CUT"
)

// Types are all types of faults.
func Types() []Type {
	return []Type{Latency, Throttling, Timeout, ModelError, NotReady, Unavailable, InternalError, StreamBreak, ConnectionCut}
}

// broken says that the fault comes after the reply began.
func (t Type) broken() bool { return t == StreamBreak || t == ConnectionCut }

// anywhere says that operations with a reply can have every fault.
func anywhere(Type) bool { return true }

// counting says that CountTokens can have the fault: it asks for no reply.
func (t Type) counting() bool {
	switch t {
	case Latency, Throttling, Unavailable, InternalError:
		return true
	}
	return false
}

// Trigger says which calls a rule is about.
type Trigger string

// The triggers.
const (
	Always    Trigger = "ALWAYS"           // every call of the rule's account to its model
	OnRequest Trigger = "REQUEST_METADATA" // of those only the ones whose requestMetadata name the rule
)

var (
	// ErrNone says that there is no such rule.
	ErrNone = errors.New("fault: no such rule")
	// ErrMany says that an account has MaxRules rules.
	ErrMany = errors.New("fault: too many rules")
)

// InvalidError says what is wrong with a rule.
type InvalidError struct{ Field, Reason string }

func (e *InvalidError) Error() string { return "fault: " + e.Field + ": " + e.Reason }

// Rule says which calls go wrong, how and how often.
type Rule struct {
	Name    string `json:"-"` // 1 to 64 letters, digits and hyphens; unique in an account
	Account string `json:"-"` // 12 digits, or EveryAccount
	// Model is the id of the model, as the catalogue has it or as callers write it;
	// "*" in it stands for any text. "" means every model.
	Model   string  `json:"model,omitempty"`
	Type    Type    `json:"type"`
	Trigger Trigger `json:"trigger"`
	// Rate is the share of the calls that go wrong, over 0 up to 1; 0 means 1.
	Rate float64 `json:"rate"`
	// Latency is waited before the reply, or before the error: 0 to MaxLatency.
	// Latency needs it.
	Latency time.Duration `json:"latency,omitempty"`
	// After is how many tokens come before StreamBreak and ConnectionCut; 0 means
	// DefaultAfter. A reply that is shorter breaks off before its end.
	After int `json:"after,omitempty"`
	// Max is how many calls go wrong, since the server started or the rule was
	// changed; 0 means all.
	Max int `json:"max,omitempty"`
	// Seed makes the sequence of calls that go wrong the same every time; nil: by
	// chance.
	Seed    *int64    `json:"seed,omitempty"`
	By      string    `json:"by"` // ARN of who made it
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"` // it does nothing from then on, and is removed
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9-]{1,64}$`)

// check fills in defaults and looks for mistakes.
func (r *Rule) check(now time.Time) error {
	r.Trigger, r.Rate = cmp.Or(r.Trigger, Always), cmp.Or(r.Rate, 1)
	if r.Expires.IsZero() {
		r.Expires = now.Add(DefaultLasts)
	}
	if r.Type.broken() {
		r.After = cmp.Or(r.After, DefaultAfter)
	}
	switch lasts := r.Expires.Sub(now); {
	case !validName.MatchString(r.Name):
		return &InvalidError{"ruleName", "want 1 to 64 letters, digits and hyphens"}
	case r.Account != EveryAccount && !arn.ValidAccount(r.Account):
		return &InvalidError{"accountId", `want 12 digits, or "*" for every account`}
	case !slices.Contains(Types(), r.Type):
		return &InvalidError{"fault", fmt.Sprintf("there is no fault %q", r.Type)}
	case r.Trigger != Always && r.Trigger != OnRequest:
		return &InvalidError{"trigger", fmt.Sprintf("there is no trigger %q", r.Trigger)}
	case !(r.Rate > 0 && r.Rate <= 1): // also what is no number
		return &InvalidError{"rate", "want a share over 0 and up to 1"}
	case r.Latency < 0 || r.Latency > MaxLatency:
		return &InvalidError{"latencyMilliseconds", fmt.Sprintf("want 0 to %d", MaxLatency.Milliseconds())}
	case r.Type == Latency && r.Latency == 0:
		return &InvalidError{"latencyMilliseconds", "LATENCY needs it"}
	case r.After != 0 && !r.Type.broken():
		return &InvalidError{"afterTokens", fmt.Sprintf("%s comes before the first token", r.Type)}
	case r.After < 0 || r.After > maxAfter:
		return &InvalidError{"afterTokens", fmt.Sprintf("want 1 to %d", maxAfter)}
	case r.Max < 0 || r.Max > maxCount:
		return &InvalidError{"maxFaults", fmt.Sprintf("want 1 to %d", maxCount)}
	case lasts <= 0 || lasts > MaxLasts:
		return &InvalidError{"durationSeconds", fmt.Sprintf("want up to %d", int(MaxLasts.Seconds()))}
	case len(r.Model) > maxModelLength:
		return &InvalidError{"modelId", fmt.Sprintf("want up to %d characters", maxModelLength)}
	}
	return nil
}

// Counted is a rule and what it did since the server started or the rule changed.
type Counted struct {
	Rule
	Calls  int64 // that it was about
	Faults int64 // of them went wrong
}

// live is a rule at work. The rule never changes.
type live struct {
	Rule
	key   uint64 // of the draws
	calls atomic.Int64
	hits  atomic.Int64
}

func (l *live) counted() Counted {
	return Counted{Rule: l.Rule, Calls: l.calls.Load(), Faults: l.hits.Load()}
}

// Config is what Rules are made of.
type Config struct {
	Records record.Store     // required
	Poll    time.Duration    // how often Run looks for changes of other processes; 0 means 250 ms
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil discards
}

// Rules are the rules of a server. They are safe for concurrent use.
type Rules struct {
	cfg Config
	all *record.Mirror[*live]
	// now are the rules by name, as calls see them; nil when there are none, which
	// is what nearly every call finds.
	now atomic.Pointer[[]*live]
}

// Open reads all rules.
func Open(ctx context.Context, cfg Config) (*Rules, error) {
	cfg.Poll = cmp.Or(cfg.Poll, defaultPoll)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Rules{cfg: cfg}
	r.all = record.NewMirror(cfg.Records, KindRule, read, r.show, cfg.Now)
	if err := r.all.Follow(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func read(rec *record.Record) (*live, error) {
	l := &live{}
	if err := record.Read(*rec, &l.Rule); err != nil {
		return nil, err
	}
	l.Name, l.Account = rec.Name, cmp.Or(rec.Account, EveryAccount)
	if l.Seed != nil {
		l.key = uint64(*l.Seed) // #nosec G115 -- any 64 bits will do
	} else {
		l.key = maphash.String(maphash.MakeSeed(), "")
	}
	return l, nil
}

// show lets calls see the rules as they are now.
func (r *Rules) show() {
	var now []*live
	for _, l := range r.all.All() {
		now = append(now, l)
	}
	if now == nil {
		r.now.Store(nil)
		return
	}
	slices.SortFunc(now, func(a, b *live) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Account, b.Account))
	})
	r.now.Store(&now)
}

func keyOf(account, name string) record.Key {
	if account == EveryAccount {
		account = ""
	}
	return record.Key{Account: account, Name: name}
}

// Put keeps a rule, in the place of one of the same account and name, and returns
// it with the defaults filled in. It holds for the next call.
//
// Errors: *InvalidError, ErrMany, those of the store.
func (r *Rules) Put(ctx context.Context, rule Rule) (Counted, error) {
	rule.Created = r.cfg.Now().UTC()
	if err := rule.check(rule.Created); err != nil {
		return Counted{}, err
	}
	if n := len(r.of(rule.Account)); n >= MaxRules {
		if _, ok := r.all.Get(keyOf(rule.Account, rule.Name)); !ok {
			return Counted{}, ErrMany
		}
	}
	err := r.all.Change(ctx, keyOf(rule.Account, rule.Name), func(*live, bool) (any, error) { return &rule, nil })
	if err != nil {
		return Counted{}, fmt.Errorf("keep fault rule %s: %w", rule.Name, err)
	}
	return Counted{Rule: rule}, nil
}

// Delete ends a rule. Errors: ErrNone, those of the store.
func (r *Rules) Delete(ctx context.Context, account, name string) error {
	err := r.all.Change(ctx, keyOf(account, name), func(_ *live, ok bool) (any, error) {
		if !ok {
			return nil, ErrNone
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("delete fault rule %s: %w", name, err)
	}
	return nil
}

// List returns the rules that are about the calls of an account, those about every
// account among them; of all accounts when account is "". They are in the order of
// account and name. Rules that have expired are left out.
func (r *Rules) List(account string) []Counted {
	out := []Counted{}
	for _, l := range r.of(account) {
		out = append(out, l.counted())
	}
	if account != "" && account != EveryAccount {
		for _, l := range r.of(EveryAccount) {
			out = append(out, l.counted())
		}
	}
	slices.SortFunc(out, func(a, b Counted) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Name, b.Name))
	})
	return out
}

// of are the rules that lie in an account; of all accounts when it is "".
func (r *Rules) of(account string) []*live {
	now := r.now.Load()
	if now == nil {
		return nil
	}
	var out []*live
	at := r.cfg.Now()
	for _, l := range *now {
		if (account == "" || l.Account == account) && at.Before(l.Expires) {
			out = append(out, l)
		}
	}
	return out
}

// Run follows what other processes change, and removes rules that have expired,
// until ctx ends. It always returns nil: while the store fails, everything stays as
// it is.
func (r *Rules) Run(ctx context.Context) error {
	record.Poll(ctx, r.cfg.Log, record.Chore{Every: r.cfg.Poll, Fails: "fault rules are not followed: the store fails", Do: func(ctx context.Context) error {
		if err := r.all.Follow(ctx); err != nil {
			return err
		}
		return r.prune(ctx)
	}})
	return nil
}

// prune removes rules that have expired.
func (r *Rules) prune(ctx context.Context) error {
	now := r.now.Load()
	if now == nil {
		return nil
	}
	at := r.cfg.Now()
	for _, l := range *now {
		if at.Before(l.Expires) {
			continue
		}
		err := r.all.Change(ctx, keyOf(l.Account, l.Name), func(old *live, ok bool) (any, error) {
			if !ok || at.Before(old.Expires) { // somebody made it anew
				return nil, record.ErrKeep
			}
			return nil, nil
		})
		if err != nil {
			return fmt.Errorf("remove the expired fault rule %s: %w", l.Name, err)
		}
		r.cfg.Log.Info("a fault rule expired", "rule", l.Name, "account", l.Account)
	}
	return nil
}
