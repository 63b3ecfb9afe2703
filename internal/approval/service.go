package approval

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/record"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

const (
	kindRequest = "approval/request"
	kindRule    = "approval/rule"
	ruleName    = "rule"

	// followEvery is how often the changes of other processes are taken over.
	followEvery = 500 * time.Millisecond
	// keep is how long a final request is kept, and dropEvery how often older ones are
	// looked for.
	keep      = 400 * 24 * time.Hour
	dropEvery = time.Hour
)

// Config is what a Service is made of.
type Config struct {
	Records record.Store     // required
	Now     func() time.Time // nil means time.Now
	// Changed is called after every change: open calls of an elevation that was ended
	// have to end too. It must not wait; nil: nobody wants to know.
	Changed func()
}

// Service keeps requests and rules. It is safe for concurrent use.
type Service struct {
	now      func() time.Time
	requests *record.Mirror[*Request]
	rules    *record.Mirror[Rule]
}

// New returns a Service that knows what the store holds.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{now: cfg.Now}
	s.requests = record.NewMirror(cfg.Records, kindRequest, func(r *record.Record) (*Request, error) {
		v := new(Request)
		return v, record.Read(*r, v)
	}, cfg.Changed, cfg.Now)
	s.rules = record.NewMirror(cfg.Records, kindRule, func(r *record.Record) (v Rule, err error) {
		return v, record.Read(*r, &v)
	}, nil, cfg.Now)
	return s, s.follow(ctx)
}

func (s *Service) follow(ctx context.Context) error {
	return errors.Join(s.requests.Follow(ctx), s.rules.Follow(ctx))
}

// Run takes over what other processes change, and drops old requests, until ctx
// ends. Trouble with the store is tried again.
func (s *Service) Run(ctx context.Context) error {
	record.Poll(ctx, nil, record.Chore{Every: followEvery, Do: s.follow}, record.Chore{Every: dropEvery, Do: s.drop})
	return nil
}

// drop deletes requests that have been final for long.
func (s *Service) drop(ctx context.Context) error {
	now := s.now()
	var errs []error
	for k, r := range s.requests.All() {
		if r = r.At(now); r.Final() && now.Sub(r.End) > keep {
			errs = append(errs, s.requests.Change(ctx, k.Key, func(*Request, bool) (any, error) { return nil, nil }))
		}
	}
	return errors.Join(errs...)
}

func requestKey(account, id string) record.Key { return record.Key{Account: account, Name: id} }
func ruleKey(account string) record.Key        { return record.Key{Account: account, Name: ruleName} }

// Rule returns which actions of an account need an approval.
func (s *Service) Rule(account string) Rule {
	r, _ := s.rules.Get(ruleKey(account))
	return r
}

// SetRule replaces the rule of an account.
func (s *Service) SetRule(ctx context.Context, account string, actions []string) (Rule, error) {
	actions = slices.Compact(slices.Sorted(slices.Values(actions)))
	err := s.rules.Change(ctx, ruleKey(account), func(Rule, bool) (any, error) {
		if len(actions) == 0 {
			return nil, nil
		}
		return Rule{actions}, nil
	})
	return Rule{actions}, err
}

// Elevate asks for a session of a role. duration is 900 s to MaxDuration.
func (s *Service) Elevate(ctx context.Context, c *call.Call, roleARN, reason, ticket, policy string, duration time.Duration) (*Request, error) {
	r := s.request(c, Elevation, reason)
	r.Ticket, r.RoleARN, r.Policy, r.Duration = ticket, roleARN, policy, duration
	return r, s.add(ctx, r)
}

// Hold keeps a call back when the rule of its account names its action or one of
// its needs, and returns nil for every other call. in is the operation's input, which stands for
// the call from then on.
//
// A call with a client token is kept once: its repeats name the same request for as
// long as that waits.
//
// Errors: AccessDeniedException that names the request, once it is kept, and for a
// call that carries a Secret, which is not kept; ValidationException for an input that
// is too large to be kept.
func (s *Service) Hold(ctx context.Context, c *call.Call, resources []string, in any) error {
	rule := s.Rule(c.Principal.Account)
	held := rule.Holds(c.Action) || slices.ContainsFunc(c.Needs, func(n call.Need) bool { return rule.Holds(n.Action) })
	if c.ApprovedBy != "" || !held {
		return nil
	}
	if Secret(c.Action) {
		return apierr.AccessDenied("%s needs the approval of another principal in this account, and cannot wait for one: what it asks or answers is for its caller alone. It can be called when the account's approval rule leaves it out; see: outcrop access rule", c.Action)
	}
	return s.Keep(ctx, c, resources, in)
}

// Keep keeps a call back, whatever the rule of its account. Errors: as Hold.
func (s *Service) Keep(ctx context.Context, c *call.Call, resources []string, in any) error {
	if r := s.waiting(c); r != nil {
		return waits(r)
	}
	input, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("keep the input of %s: %w", c.Operation, err)
	}
	if len(input) > record.MaxBody/2 {
		return apierr.Validation("The request needs an approval and is too large to be kept: at most %d bytes.", record.MaxBody/2)
	}
	r := s.request(c, Change, c.Action)
	r.Service, r.Operation, r.Action, r.Resources, r.Input = c.Service, c.Operation, c.Action, resources, withoutNulls(input)
	r.TokenID, r.Caller, r.Source = c.TokenID, &c.Principal, &c.Source
	if err := s.add(ctx, r); err != nil {
		return err
	}
	return waits(r)
}

// waiting is the request that an earlier try of the same call left, by the same
// person; nil for none.
func (s *Service) waiting(c *call.Call) *Request {
	if c.TokenID == "" {
		return nil
	}
	now := s.now()
	for k, r := range s.requests.All() {
		if k.Account == c.Principal.Account && r.TokenID == c.TokenID && r.Requester.Origin == c.Principal.Origin() && !r.At(now).Final() {
			return r
		}
	}
	return nil
}

// waits is the answer to a call that is kept as a request.
func waits(r *Request) error {
	return apierr.AccessDenied("%s needs the approval of another principal in this account. It waits as %s until %s; see: outcrop access list", r.Action, r.ID, r.Expires.Format(time.RFC3339))
}

func (s *Service) request(c *call.Call, kind Kind, reason string) *Request {
	now := s.now().UTC().Truncate(time.Millisecond)
	return &Request{
		ID: "req-" + strings.ToLower(rand.Text()[:20]), Account: c.Principal.Account, Region: c.Region, Kind: kind, State: Pending,
		Reason: reason, Created: now, Expires: now.Add(MaxPending), Requester: person(&c.Principal),
	}
}

func person(p *call.Principal) Person { return Person{ARN: p.ARN, Origin: p.Origin()} }

// add stores a new request.
func (s *Service) add(ctx context.Context, r *Request) error {
	now, open, own := s.now(), 0, 0
	for k, o := range s.requests.All() {
		if k.Account != r.Account || o.At(now).Final() {
			continue
		}
		open++
		if o.Requester.Origin == r.Requester.Origin {
			own++
		}
	}
	switch {
	case own >= MaxOwn:
		return apierr.Throttling("%d access requests of yours wait already. Withdraw some, or have them decided, and try again.", own)
	case open >= MaxOpen:
		return apierr.Throttling("%d access requests of this account wait already. Decide or withdraw some and try again.", open)
	}
	return s.requests.Change(ctx, requestKey(r.Account, r.ID), func(*Request, bool) (any, error) { return r, nil })
}

// Get returns a request of an account. Errors: ResourceNotFoundException.
func (s *Service) Get(account, id string) (*Request, error) {
	r, ok := s.requests.Get(requestKey(account, id))
	if !ok {
		return nil, notFound(id)
	}
	return r.At(s.now()), nil
}

func notFound(id string) error {
	return apierr.NotFound("There is no access request %s in this account.", id)
}

// List returns the requests of an account, newest first. An empty state or kind
// stands for all of them.
func (s *Service) List(account string, state State, kind Kind) []*Request {
	now := s.now()
	var all []*Request
	for k, r := range s.requests.All() {
		r = r.At(now)
		if k.Account == account && (state == "" || r.State == state) && (kind == "" || r.Kind == kind) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Request) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	return all
}

// Running reports whether sessions of an elevation are good.
func (s *Service) Running(account, id string) bool {
	r, ok := s.requests.Get(requestKey(account, id))
	return ok && r.At(s.now()).State == Active
}

// step changes a request by edit, which gets a copy as it stands now.
func (s *Service) step(ctx context.Context, account, id string, edit func(r *Request, now time.Time) error) (*Request, error) {
	var next *Request
	err := s.requests.Change(ctx, requestKey(account, id), func(old *Request, ok bool) (any, error) {
		if !ok {
			return nil, notFound(id)
		}
		now := s.now().UTC().Truncate(time.Millisecond)
		c := *old.At(now)
		next = &c
		if err := edit(next, now); err != nil {
			return nil, err
		}
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	return next, nil
}

// Approve agrees to a pending request. A change is then to be made by its caller,
// who reports it by Finish.
//
// Errors: AccessDeniedException for whoever asked for it, and for an approver
// without a recent one-time code; ConflictException when it is not pending.
func (s *Service) Approve(ctx context.Context, account, id, comment string, by *call.Principal) (*Request, error) {
	return s.decide(ctx, account, id, comment, by, Approved)
}

// Reject refuses a pending request. Errors: as Approve.
func (s *Service) Reject(ctx context.Context, account, id, comment string, by *call.Principal) (*Request, error) {
	return s.decide(ctx, account, id, comment, by, Rejected)
}

func (s *Service) decide(ctx context.Context, account, id, comment string, by *call.Principal, to State) (*Request, error) {
	return s.step(ctx, account, id, func(r *Request, now time.Time) error {
		if r.State != Pending {
			return conflict(r)
		}
		if by.Origin() == r.Requester.Origin {
			return apierr.AccessDenied("Access request %s must be decided by somebody else than who made it.", id)
		}
		if by.Session == nil || by.Session.MFA.IsZero() || now.Sub(by.Session.MFA) > MaxMFAAge {
			return apierr.AccessDenied("Deciding over access requests needs a one-time code of the last %s: get a session with GetSessionToken, SerialNumber and TokenCode.", MaxMFAAge)
		}
		r.State, r.Comment, r.Decided, r.Approver = to, comment, now, new(person(by))
		if to == Rejected {
			r.End = now
		}
		return nil
	})
}

func conflict(r *Request) error {
	return apierr.New(apierr.CodeConflict, 409, "Access request %s is %s.", r.ID, r.State)
}

// Start begins an approved elevation, or goes on with an active one. Only who
// asked for it may.
//
// Errors: AccessDeniedException, ConflictException.
func (s *Service) Start(ctx context.Context, account, id string, by *call.Principal) (*Request, error) {
	return s.step(ctx, account, id, func(r *Request, now time.Time) error {
		if r.Kind != Elevation {
			return apierr.Validation("requestId: %s asks for a change, not for a session", id)
		}
		if by.Origin() != r.Requester.Origin {
			return apierr.AccessDenied("Only who made access request %s may start its session.", id)
		}
		switch r.State {
		case Approved:
			// Sessions end at whole seconds.
			r.State, r.Started, r.Ends = Active, now, now.Truncate(time.Second).Add(r.Duration)
		case Active:
			return record.ErrKeep
		default:
			return conflict(r)
		}
		return nil
	})
}

// End takes back a request that waits, or ends an elevation at once: its sessions
// are refused from the next call on, and what is open is cut. Whoever is allowed
// to call it may.
//
// Errors: ConflictException for a request that is final.
func (s *Service) End(ctx context.Context, account, id, comment string) (*Request, error) {
	return s.step(ctx, account, id, func(r *Request, now time.Time) error {
		if r.Final() {
			return conflict(r)
		}
		r.State, r.End, r.Comment = Ended, now, cmp.Or(comment, r.Comment)
		return nil
	})
}

// Finish notes that an approved change was made, or why it could not be.
func (s *Service) Finish(ctx context.Context, account, id, failure string) (*Request, error) {
	return s.step(ctx, account, id, func(r *Request, now time.Time) error {
		if r.Kind != Change || r.State != Approved {
			return conflict(r)
		}
		r.State, r.End, r.Failure = Applied, now, failure
		if failure != "" {
			r.State = Failed
		}
		return nil
	})
}

// withoutNulls leaves out the members of a JSON object that are null, at any
// depth, so that people can read it. It returns what it cannot read as it is.
func withoutNulls(text []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return text
	}
	out, err := json.Marshal(prune(v))
	if err != nil {
		return text
	}
	return out
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e == nil {
				delete(v, k)
				continue
			}
			v[k] = prune(e)
		}
	case []any:
		for i, e := range v {
			v[i] = prune(e)
		}
	}
	return v
}
