package identity

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

const (
	// maxActivityResources is how many resources of one action are told apart. With
	// one more, they are noted by their types.
	maxActivityResources = 20
	// maxActivityBytes bounds the names of resources of one principal, so that its
	// record stays far below record.MaxBody.
	maxActivityBytes = 256 << 10
	maxResourceName  = 2048 // bytes; longer names are noted by their type
	maxActivities    = 4096 // actions of one principal

	anything = "*"
)

// Activity is an action that a principal was allowed to do.
type Activity struct {
	Action    string               // "bedrock:InvokeModel"
	At        time.Time            // the last time
	Resources map[string]time.Time // patterns of the element Resource that fit all resources, and their last times
}

// allowedUse is an Activity as it is kept.
type allowedUse struct {
	At        time.Time            `json:"at"`
	Resources map[string]time.Time `json:"resources"`
}

// Acted notes what a principal was allowed to do on which resources. It is what a
// policy for the principal has to allow: needs are all permissions that one call
// had. It is cheap, works in memory, and is written as uses are, see [Directory.Used].
//
// Of one action 20 resources are told apart; when there are more, they are noted as
// "arn:aws:bedrock:us-east-1::foundation-model/*", and in the end as "*".
func (d *Directory) Acted(p *call.Principal, at time.Time, needs ...call.Need) {
	id, ok := whose(p)
	if !ok {
		return
	}
	u := d.uses
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range needs {
		n := &needs[i]
		if len(n.Resources) == 0 {
			u.act(id, n.Action, anything, at)
		}
		for _, r := range n.Resources {
			u.act(id, n.Action, r, at)
		}
	}
}

// act notes one action on one resource. u.mu is held.
func (u *uses) act(id useID, action, resource string, at time.Time) {
	e := u.entity(id)
	if e == nil || action == "" || len(action) > 2*maxUseName {
		return
	}
	a := e.Allowed[action]
	if a == nil {
		if len(e.Allowed) >= maxActivities {
			return
		}
		if e.Allowed == nil {
			e.Allowed = make(map[string]*allowedUse)
		}
		a = &allowedUse{Resources: make(map[string]time.Time)}
		e.Allowed[action] = a
	}
	if _, all := a.Resources[anything]; all {
		resource = anything
	} else {
		resource = a.place(resource)
	}
	if last, known := a.Resources[resource]; known && at.Sub(last) < useGrain {
		return
	} else if !known && e.resourceBytes()+len(resource) > maxActivityBytes {
		resource = anything
		clear(a.Resources)
	}
	at = at.UTC().Truncate(time.Second)
	if at.After(a.At) {
		a.At = at
	}
	a.Resources[resource] = at
	u.dirty[id] = struct{}{}
}

// place returns the pattern that a resource is noted by, and makes room for it.
func (a *allowedUse) place(resource string) string {
	pattern := literalPattern(resource)
	if _, known := a.Resources[pattern]; known {
		return pattern
	}
	byType := typePattern(resource)
	if _, known := a.Resources[byType]; known || len(pattern) > maxResourceName {
		return byType
	}
	if len(a.Resources) < maxActivityResources {
		return pattern
	}
	types := make(map[string]time.Time)
	for r, at := range a.Resources {
		t := typePattern(r)
		if old, ok := types[t]; !ok || at.After(old) {
			types[t] = at
		}
	}
	if len(types) >= maxActivityResources {
		byType = anything
		types = make(map[string]time.Time)
	}
	a.Resources = types
	return byType
}

// literalPattern is the pattern of the element Resource that fits one ARN alone.
func literalPattern(resource string) string {
	if resource == anything || !strings.ContainsAny(resource, "*?$") {
		return resource
	}
	return strings.NewReplacer("$", "${$}", "*", "${*}", "?", "${?}").Replace(resource)
}

// typePattern is the pattern of all resources of the kind that an ARN names, in its
// account and region; "*" for what is no ARN.
func typePattern(resource string) string {
	a, err := arn.Parse(resource)
	if err != nil || len(resource) > maxResourceName {
		return anything
	}
	kind, name := a.Split()
	if name == "" || strings.ContainsAny(kind, "*?$") {
		return anything
	}
	return strings.TrimSuffix(resource, name) + anything
}

// resourceBytes is how long the names of all resources are together.
func (e *useRecord) resourceBytes() int {
	n := 0
	for _, a := range e.Allowed {
		for r := range a.Resources {
			n += len(r)
		}
	}
	return n
}

// cloneAllowed copies what was allowed.
func cloneAllowed(all map[string]*allowedUse) map[string]*allowedUse {
	if all == nil {
		return nil
	}
	out := make(map[string]*allowedUse, len(all))
	for name, a := range all {
		c := &allowedUse{At: a.At, Resources: make(map[string]time.Time, len(a.Resources))}
		for r, at := range a.Resources {
			c.Resources[r] = at
		}
		out[name] = c
	}
	return out
}

// forgetAllowed drops what is older than oldest.
func forgetAllowed(all map[string]*allowedUse, oldest time.Time) {
	for name, a := range all {
		if a == nil || a.At.Before(oldest) {
			delete(all, name)
			continue
		}
		for r, at := range a.Resources {
			if at.Before(oldest) {
				delete(a.Resources, r)
			}
		}
	}
}

// Activity returns what a principal was allowed to do since a time, at most 400
// days ago, by action. entity is the id of a user or role, or the number of the
// account for its root.
func (d *Directory) Activity(acct, entity string, since time.Time) []Activity {
	if oldest := d.now().Add(-useRetention); since.Before(oldest) {
		since = oldest
	}
	d.uses.mu.Lock()
	defer d.uses.mu.Unlock()
	e := d.uses.entities[useID{acct, entity}]
	if e == nil {
		return nil
	}
	var out []Activity
	for action, a := range e.Allowed {
		if a.At.Before(since) {
			continue
		}
		v := Activity{Action: action, At: a.At, Resources: make(map[string]time.Time, len(a.Resources))}
		for r, at := range a.Resources {
			if !at.Before(since) {
				v.Resources[r] = at
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Activity) int { return cmp.Compare(a.Action, b.Action) })
	return out
}
