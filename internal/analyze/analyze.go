// Package analyze reviews who may do what: access that nobody uses, access that
// reaches outside of an account, and policies that allow more than they should. It
// also makes policies of what principals did, and compares policies.
//
// Findings are computed when they are asked for, from the directory of identities,
// their last uses and the policies of resources; nothing is stored. So a finding is
// gone as soon as its reason is.
//
// Source: IAM user guide, "Using AWS Identity and Access Management Access
// Analyzer".
package analyze

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/identity"
)

const (
	// DefaultDays is how long something must be unused to be found, unless the
	// caller says otherwise.
	DefaultDays = 90
	// MaxDays is the longest time that may be asked for.
	MaxDays = 365

	// oldKey is the age at which an access key should have been replaced.
	oldKey = 90 * day

	day = 24 * time.Hour
)

// Type is the type of a finding.
type Type string

// The types of findings, those that weigh most first.
const (
	ExternalAccess   Type = "EXTERNAL_ACCESS"   // somebody outside of the account is let in
	Wildcard         Type = "WILDCARD"          // a policy allows everything, or all of a service, on everything
	UnusedAccessKey  Type = "UNUSED_ACCESS_KEY" // an active key that nobody uses
	OldAccessKey     Type = "OLD_ACCESS_KEY"    // an active key of more than 90 days
	UnusedUser       Type = "UNUSED_USER"
	UnusedRole       Type = "UNUSED_ROLE"
	UnusedPermission Type = "UNUSED_PERMISSION" // actions that a user or role may do and does not
)

// Types returns all types in the order of findings.
func Types() []Type {
	return []Type{ExternalAccess, Wildcard, UnusedAccessKey, OldAccessKey, UnusedUser, UnusedRole, UnusedPermission}
}

// Finding is something that should be looked at.
type Finding struct {
	ID       string // the same for as long as the reason lasts
	Type     Type
	Resource string // ARN of what it is about: a user, role, group or resource with a policy
	Detail   string // what is the matter, one line
	Advice   string // what to do about it, one line
	// Principals are those who are let in, of ExternalAccess: one ARN, account root,
	// service, provider, or "*".
	Principals []string
	Public     bool // ExternalAccess: anybody with an account is let in
	// Actions are the actions that are not used, or that others are let do.
	Actions []string
	// Conditions are those of ExternalAccess, by their keys.
	Conditions map[string]string
	Key        string    // id of the access key, of findings about keys
	LastUsed   time.Time // of what is not used; zero: never, or longer ago than 400 days
	// ActionsUsed are the last uses of Actions before the time that was asked for.
	ActionsUsed map[string]time.Time
	Began       time.Time // when it came true, as far as that is known; else when its resource was made
}

// Policies lists the policies of resources of an account. resource.Book implements
// it.
type Policies interface {
	// Policies yields ARNs and their policies.
	Policies(account string) iter.Seq2[string, *policy.Document]
}

// Config is what an Analyzer is made of.
type Config struct {
	Directory *identity.Directory // required
	Resources Policies            // nil: no resource has a policy
	Now       func() time.Time    // nil means time.Now
}

// Analyzer reviews access. It is safe for concurrent use.
type Analyzer struct {
	dir       *identity.Directory
	resources Policies
	now       func() time.Time
}

// New returns an Analyzer.
func New(cfg Config) *Analyzer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Analyzer{dir: cfg.Directory, resources: cfg.Resources, now: cfg.Now}
}

// Review is what was found in an account.
type Review struct {
	Days     int
	Since    time.Time // what was used since then is in use
	Findings []Finding // by type, then resource
}

// review is a Review under way.
type review struct {
	*Analyzer
	ctx     context.Context
	account string
	now     time.Time
	window  time.Duration
	since   time.Time
	found   []Finding
}

// Review reviews an account. What nobody used for so many days is found to be
// unused, unless it was made since; days is 1 to MaxDays, 0 means DefaultDays.
//
// Errors: days out of range; trouble of the store of keys.
func (a *Analyzer) Review(ctx context.Context, account string, days int) (*Review, error) {
	days = cmp.Or(days, DefaultDays)
	if days < 1 || days > MaxDays {
		return nil, fmt.Errorf("review of access: %d days are not 1 to %d", days, MaxDays)
	}
	now := a.now().UTC()
	r := &review{Analyzer: a, ctx: ctx, account: account, now: now, window: time.Duration(days) * day}
	r.since = now.Add(-r.window)
	r.external()
	r.wildcards()
	for _, find := range []func() error{r.keys, r.unused} {
		if err := find(); err != nil {
			return nil, fmt.Errorf("review access of account %s: %w", account, err)
		}
	}
	order := Types()
	slices.SortStableFunc(r.found, func(a, b Finding) int {
		return cmp.Or(slices.Index(order, a.Type)-slices.Index(order, b.Type), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.ID, b.ID))
	})
	return &Review{Days: days, Since: r.since.Truncate(time.Second), Findings: r.found}, nil
}

// add adds a finding. part tells findings of one type about one resource apart.
func (r *review) add(f Finding, part ...string) {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{string(f.Type), f.Resource}, part...), "\x00")))
	h := hex.EncodeToString(sum[:16])
	f.ID = strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	slices.Sort(f.Actions)
	f.Began = f.Began.UTC().Truncate(time.Second)
	r.found = append(r.found, f)
}

// ago tells how long ago a time is, in whole days.
func (r *review) ago(t time.Time) string {
	n := int(r.now.Sub(t) / day)
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// idle tells for how long something of which a last use is known was not used.
func (r *review) idle(created, used time.Time) (what string, unused bool) {
	last := created
	what = "never used in the " + r.ago(created) + " since it was made"
	if used.After(created) {
		last, what = used, "not used for "+r.ago(used)
	}
	return what, r.now.Sub(last) >= r.window
}
