package analyze

import (
	"fmt"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
)

// keys finds access keys and bearer keys that are not used, or too old.
func (r *review) keys() error {
	byOwner, err := r.dir.AccountKeys(r.ctx, r.account)
	if err != nil {
		return err
	}
	for owner, list := range byOwner {
		holder := "arn:aws:iam::" + r.account + ":root"
		if u := r.dir.UserByID(r.account, owner); u != nil {
			holder = u.ARN()
		} else if owner != "" {
			continue // a key whose user is gone opens nothing
		}
		for _, k := range list {
			if k.Status == keys.Active && (k.Expires.IsZero() || k.Expires.After(r.now)) {
				r.key(holder, k)
			}
		}
	}
	return nil
}

func (r *review) key(holder string, k keys.Key) {
	name := "Access key "
	if k.Kind == keys.Bearer {
		name = "Bearer key "
	}
	used := r.dir.KeyUse(k).At
	if what, unused := r.idle(k.Created, used); unused {
		r.add(Finding{
			Type: UnusedAccessKey, Resource: holder, Key: k.ID, LastUsed: used, Began: later(k.Created, used).Add(r.window),
			Detail: name + k.ID + " was " + what, Advice: "Disable the key, and delete it when nobody misses it.",
		}, k.ID)
	}
	if age := r.now.Sub(k.Created); age > oldKey {
		r.add(Finding{
			Type: OldAccessKey, Resource: holder, Key: k.ID, LastUsed: used, Began: k.Created.Add(oldKey),
			Detail: name + k.ID + " is " + r.ago(k.Created) + " old", Advice: "Make a new key, move its programs to it, and delete this one.",
		}, k.ID)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// subject is a user or role.
type subject struct {
	id, arn string
	created time.Time
	p       call.Principal
	unused  Type
	words   string
}

func userSubject(u *identity.User) subject {
	return subject{
		id: u.ID, arn: u.ARN(), created: u.Created, unused: UnusedUser, words: "User " + u.Name,
		p: call.Principal{Type: call.User, Account: u.Account, ARN: u.ARN(), UserID: u.ID, Name: u.Name},
	}
}

func roleSubject(r *identity.Role) subject {
	const session = "review"
	return subject{
		id: r.ID, arn: r.ARN(), created: r.Created, unused: UnusedRole, words: "Role " + r.Name,
		p: call.Principal{
			Type: call.AssumedRole, Account: r.Account, UserID: r.ID + ":" + session,
			ARN:     "arn:aws:sts::" + r.Account + ":assumed-role/" + r.Name + "/" + session,
			Session: &call.Session{RoleARN: r.ARN(), RoleID: r.ID, RoleName: r.Name, Name: session},
		},
	}
}

// unused finds users, roles and permissions that nobody uses.
func (r *review) unused() error {
	all := newCatalog()
	var who []subject
	for _, u := range r.dir.Users(r.account) {
		who = append(who, userSubject(u))
	}
	for _, role := range r.dir.Roles(r.account) {
		if role.ServiceLinked() == "" { // those are AWS's business
			who = append(who, roleSubject(role))
		}
	}
	for i := range who {
		if err := r.subject(&who[i], all); err != nil {
			return err
		}
	}
	return nil
}

func (r *review) subject(s *subject, all *catalog) error {
	used, _ := r.dir.LastUse(r.account, s.id)
	if what, unused := r.idle(s.created, used.At); unused {
		r.add(Finding{
			Type: s.unused, Resource: s.arn, LastUsed: used.At, Began: later(s.created, used.At).Add(r.window),
			Detail: s.words + " was " + what, Advice: "Delete it, or take its policies away, if nobody needs it.",
		})
		return nil
	}
	if r.now.Sub(s.created) < r.window {
		return nil // it had no time to use them
	}
	p, err := r.dir.Policies(r.ctx, &s.p)
	if err != nil {
		return fmt.Errorf("policies of %s: %w", s.arn, err)
	}
	b := boundsOf(p)
	granted := b.granted(all)
	recent, ever := r.activity(s.id)
	f := Finding{
		Type: UnusedPermission, Resource: s.arn, LastUsed: used.At, ActionsUsed: map[string]time.Time{}, Began: s.created.Add(r.window),
		Advice: "Replace its policies by one made from activity: outcrop access policy " + s.arn,
	}
	for _, a := range granted {
		low := strings.ToLower(a)
		if !recent[low].IsZero() {
			continue
		}
		f.Actions = append(f.Actions, a)
		if at, ok := ever[low]; ok {
			f.ActionsUsed[a] = at
		}
	}
	if len(f.Actions) > 0 {
		f.Detail = fmt.Sprintf("%s does not use %d of %d permissions: %s", s.words, len(f.Actions), len(granted), brief(f.Actions))
		r.add(f)
	}
	return nil
}

// activity is what a principal did, by actions in lower case: since the review's
// time, and at any time.
func (r *review) activity(id string) (recent, ever map[string]time.Time) {
	recent, ever = map[string]time.Time{}, map[string]time.Time{}
	for _, a := range r.dir.Activity(r.account, id, time.Time{}) {
		low := strings.ToLower(a.Action)
		ever[low] = a.At
		if !a.At.Before(r.since) {
			recent[low] = a.At
		}
	}
	return recent, ever
}

// brief names actions, by their services when they are many.
func brief(list []string) string {
	const few = 3
	if len(list) <= few {
		return strings.Join(list, ", ")
	}
	var names []string
	count := map[string]int{}
	for _, a := range list {
		service, _, _ := strings.Cut(a, ":")
		if count[service]++; count[service] == 1 {
			names = append(names, service)
		}
	}
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%d of %s", count[n], n)
	}
	return strings.Join(parts, ", ")
}
