package quota

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// The kinds of the records of this package.
const (
	KindSetting = "quota/setting"
	KindRequest = "quota/request"
)

const (
	defaultPoll = 250 * time.Millisecond
	maxPlans    = 1 << 14 // that are remembered
	maxARN      = 2048
)

// Everyone is the subject of a setting that is about each principal by itself.
const Everyone = "*"

// ErrNone says that there is no such setting or request.
var ErrNone = errors.New("quota: there is no such thing")

// InvalidError says what is wrong with a setting.
type InvalidError struct{ Field, Reason string }

func (e *InvalidError) Error() string { return "quota: " + e.Field + ": " + e.Reason }

// Setting is a value that somebody set. Where several are about a call, one of its
// account wins, then one of its model, then one of its region.
type Setting struct {
	Account string `json:"-"`               // 12 digits; "" is every account that has none of its own
	Region  string `json:"-"`               // "" is all regions together, but for those with a setting of their own
	Model   string `json:"model,omitempty"` // "" is every model, each by itself
	// Subject is the ARN of a user, a role, a root or an application inference profile;
	// Everyone is each principal by itself. "" is the whole account. Calls keep to the
	// quotas of the account and to those of their subjects.
	Subject string    `json:"subject,omitempty"`
	Kind    Kind      `json:"kind"`
	Value   int64     `json:"value"`           // 0 to MaxValue, or Unlimited
	Burst   int64     `json:"burst,omitempty"` // of a quota of a minute: how much at once; 0 means a tenth
	By      string    `json:"by,omitempty"`    // who set it
	Set     time.Time `json:"-"`
}

func (s *Setting) key() record.Key {
	return record.Key{Account: s.Account, Region: s.Region, Name: string(s.Kind) + " " + s.Model + " " + s.Subject}
}

func (s *Setting) check() error {
	switch {
	case s.Account != "" && !arn.ValidAccount(s.Account):
		return &InvalidError{"account", "want 12 digits"}
	case s.Region != "" && !arn.ValidRegion(s.Region):
		return &InvalidError{"region", fmt.Sprintf("%q is no AWS region", s.Region)}
	case !s.Kind.Valid():
		return &InvalidError{"kind", fmt.Sprintf("there is no quota %q", s.Kind)}
	case s.Value < Unlimited || s.Value > MaxValue:
		return &InvalidError{"value", fmt.Sprintf("want 0 to %d, or %d for no limit", MaxValue, Unlimited)}
	case s.Burst < 0 || s.Burst > MaxValue:
		return &InvalidError{"burst", fmt.Sprintf("want 1 to %d", MaxValue)}
	case s.Burst > 0 && s.Kind != Requests && s.Kind != Tokens:
		return &InvalidError{"burst", "only quotas of a minute have one"}
	case len(s.Model) > maxARN || strings.ContainsAny(s.Model, " \n"):
		return &InvalidError{"model", "this is no model id"}
	case s.Subject != "" && s.Subject != Everyone && (!strings.HasPrefix(s.Subject, "arn:") || len(s.Subject) > maxARN || strings.ContainsAny(s.Subject, " \n")):
		return &InvalidError{"principal", `want an ARN, or "*" for each principal by itself`}
	}
	return nil
}

// Config is what a Service is made of.
type Config struct {
	Records record.Store     // required
	Poll    time.Duration    // how often Run looks for changes of other processes; 0 means 250 ms
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil discards
}

// Service knows the values of quotas and the requests to change them. It is safe
// for concurrent use.
type Service struct {
	cfg      Config
	settings *record.Mirror[*Setting]
	requests *record.Mirror[*Request]
	now      atomic.Pointer[snapshot]
	holds    sync.Pool
}

// snapshot is the settings as they are now, and what follows from them.
type snapshot struct {
	settings []*Setting
	models   map[string]bool // that settings name
	regions  map[string]bool // that settings name
	mu       sync.RWMutex
	plans    map[planKey]*plan
}

type planKey struct{ account, region, model string }

// Open reads all settings and requests.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	cfg.Poll = cmp.Or(cfg.Poll, defaultPoll)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg}
	s.now.Store(&snapshot{plans: map[planKey]*plan{}})
	s.settings = record.NewMirror(cfg.Records, KindSetting, readSetting, s.show, cfg.Now)
	s.requests = record.NewMirror(cfg.Records, KindRequest, readRequest, nil, cfg.Now)
	if err := s.follow(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Service) follow(ctx context.Context) error {
	if err := s.settings.Follow(ctx); err != nil {
		return err
	}
	return s.requests.Follow(ctx)
}

func readSetting(rec *record.Record) (*Setting, error) {
	v := &Setting{}
	if err := record.Read(*rec, v); err != nil {
		return nil, err
	}
	v.Account, v.Region, v.Set = rec.Account, rec.Region, rec.Updated
	return v, nil
}

// show lets calls see the settings as they are now.
func (s *Service) show() {
	next := &snapshot{plans: map[planKey]*plan{}, models: map[string]bool{}, regions: map[string]bool{}}
	for _, v := range s.settings.All() {
		next.settings = append(next.settings, v)
		next.models[v.Model], next.regions[v.Region] = true, true
	}
	s.now.Store(next)
}

// Run follows what other processes change until ctx ends. It always returns nil:
// while the store fails, everything stays as it is.
func (s *Service) Run(ctx context.Context) error {
	record.Poll(ctx, s.cfg.Log, record.Chore{Every: s.cfg.Poll, Do: s.follow, Fails: "quotas are not followed: the store fails"})
	return nil
}

// Set keeps a setting, in the place of one about the same, and approves requests
// that it fulfils. It holds for the next call.
//
// Errors: *InvalidError, those of the store.
func (s *Service) Set(ctx context.Context, v Setting) error {
	if err := v.check(); err != nil {
		return err
	}
	err := s.settings.Change(ctx, v.key(), func(*Setting, bool) (any, error) { return &v, nil })
	if err != nil {
		return fmt.Errorf("set quota %s: %w", v.Kind, err)
	}
	return s.fulfil(ctx, v.By)
}

// Unset removes the setting about the same as v, so that a wider one or what is
// shipped holds. Errors: ErrNone, *InvalidError, those of the store.
func (s *Service) Unset(ctx context.Context, v Setting) error {
	if err := v.check(); err != nil {
		return err
	}
	err := s.settings.Change(ctx, v.key(), func(_ *Setting, ok bool) (any, error) {
		if !ok {
			return nil, ErrNone
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("unset quota %s: %w", v.Kind, err)
	}
	return nil
}

// Settings are the settings of an account; of all accounts, and those about every
// account, when it is "". They are in the order of account, region, model, subject
// and kind.
func (s *Service) Settings(account string) []Setting {
	var out []Setting
	for _, v := range s.now.Load().settings {
		if account == "" || v.Account == account {
			out = append(out, *v)
		}
	}
	slices.SortFunc(out, func(a, b Setting) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Region, b.Region), strings.Compare(a.Model, b.Model),
			strings.Compare(a.Subject, b.Subject), cmp.Compare(a.Kind.index(), b.Kind.index()))
	})
	return out
}

// Applied is the value of a quota of a whole account: 0 to MaxValue, or Unlimited.
func (s *Service) Applied(account, region, model string, k Kind) int64 {
	return s.plan(planKey{account, region, model}).whole[k.index()].Value
}

// Default is the value for accounts that have none of their own: what is shipped,
// unless the operator set another one for every account.
func (s *Service) Default(region, model string, k Kind) int64 {
	return s.Applied("", region, model, k)
}
