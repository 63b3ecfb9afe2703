package identity

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
)

const (
	// useRetention is how long a last use is remembered. Source: IAM user guide,
	// "Last accessed information": the tracking period is 400 days.
	useRetention = 400 * 24 * time.Hour
	// useGrain is how much later than the noted one a use must be to count as news:
	// a busy key would otherwise be written with every flush.
	useGrain = time.Minute

	maxUseEntities = 100_000 // principals that are remembered
	maxUseServices = 64      // services of one principal
	maxUseActions  = 1024    // actions of one service
	maxUseName     = 128     // bytes of a name
)

// Use is when and where something was used last.
type Use struct {
	At     time.Time `json:"at"` // zero: never, or longer ago than 400 days
	Region string    `json:"region"`
}

// ServiceUse is the last use of one AWS service by one principal.
type ServiceUse struct {
	Use
	Service string         `json:"service"` // namespace, e.g. "bedrock"
	Actions map[string]Use `json:"actions"` // by name without the service, e.g. "InvokeModel"
}

// useID names a principal whose uses are kept.
type useID struct {
	account string
	entity  string // user id, role id, or the account for its root
}

// useRecord is what a principal used, as it is kept.
type useRecord struct {
	Services map[string]*ServiceUse `json:"services"`
	Allowed  map[string]*allowedUse `json:"allowed,omitempty"` // by action, "bedrock:InvokeModel"
}

// empty tells whether there is nothing to keep.
func (e *useRecord) empty() bool { return len(e.Services) == 0 && len(e.Allowed) == 0 }

// uses collects last uses in memory until they are flushed. It is safe for
// concurrent use.
type uses struct {
	mu       sync.Mutex
	entities map[useID]*useRecord
	dirty    map[useID]struct{}
	keys     map[string]keys.Use // last uses of keys that are not flushed
	noted    map[string]time.Time
}

func newUses() *uses {
	return &uses{
		entities: make(map[useID]*useRecord), dirty: make(map[useID]struct{}),
		keys: make(map[string]keys.Use), noted: make(map[string]time.Time),
	}
}

// whose tells to whom a use is put down. ok is false for callers that are no
// principal of IAM.
func whose(p *call.Principal) (id useID, ok bool) {
	switch {
	case p.Account == "":
		return useID{}, false
	case p.Type == call.AssumedRole && p.Session != nil:
		return useID{p.Account, p.Session.RoleID}, p.Session.RoleID != ""
	case p.Type == call.User:
		return useID{p.Account, p.UserID}, p.UserID != ""
	case p.Type == call.Root:
		return useID{p.Account, p.Account}, true
	}
	return useID{}, false
}

// note puts down one use.
func (u *uses) note(p *call.Principal, action, service, region string, at time.Time) {
	if service == "" || len(service) > maxUseName || len(action) > maxUseName || len(region) > maxUseName {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if p.Session == nil && p.AccessKeyID != "" {
		if at.Sub(u.noted[p.AccessKeyID]) >= useGrain {
			if len(u.noted) >= maxUseEntities {
				clear(u.noted)
			}
			u.noted[p.AccessKeyID] = at
			u.keys[p.AccessKeyID] = keys.Use{At: at.UTC().Truncate(time.Second), Region: region, Service: service}
		}
	}
	id, ok := whose(p)
	if !ok {
		return
	}
	e := u.entity(id)
	if e == nil {
		return
	}
	s := e.Services[service]
	if s == nil {
		if len(e.Services) >= maxUseServices {
			return
		}
		s = &ServiceUse{Service: service, Actions: make(map[string]Use)}
		e.Services[service] = s
	}
	_, name, _ := strings.Cut(action, ":")
	last, known := s.Actions[name]
	if known && at.Sub(last.At) < useGrain && last.Region == region {
		return
	}
	now := Use{At: at.UTC().Truncate(time.Second), Region: region}
	if name != "" && (known || len(s.Actions) < maxUseActions) {
		s.Actions[name] = now
	}
	if s.At.Before(now.At) {
		s.Use = now
	}
	u.dirty[id] = struct{}{}
}

// entity returns the notes on a principal, and makes them; nil when there is no
// room. u.mu is held.
func (u *uses) entity(id useID) *useRecord {
	e := u.entities[id]
	if e == nil && len(u.entities) < maxUseEntities {
		e = &useRecord{Services: make(map[string]*ServiceUse)}
		u.entities[id] = e
	}
	return e
}

// of returns what a principal used, by service; what is older than the retention
// is left out.
func (u *uses) of(id useID, now time.Time) []ServiceUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	e := u.entities[id]
	if e == nil {
		return nil
	}
	oldest := now.Add(-useRetention)
	var out []ServiceUse
	for _, s := range e.Services {
		if s.At.Before(oldest) {
			continue
		}
		v := ServiceUse{Use: s.Use, Service: s.Service, Actions: make(map[string]Use, len(s.Actions))}
		for name, a := range s.Actions {
			if !a.At.Before(oldest) {
				v.Actions[name] = a
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b ServiceUse) int { return cmp.Compare(a.Service, b.Service) })
	return out
}

// last returns the last use of anything by a principal.
func (u *uses) last(id useID, now time.Time) (Use, string) {
	var last Use
	var service string
	for _, s := range u.of(id, now) {
		if s.At.After(last.At) {
			last, service = s.Use, s.Service
		}
	}
	return last, service
}

// flushed is what take hands out to be written.
type flushed struct {
	entities map[useID]*useRecord // copies; an empty one: delete
	keys     map[string]keys.Use
}

// take returns what changed since the last take. What is older than the retention
// goes. put gives back what could not be written.
func (u *uses) take(now time.Time) flushed {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := flushed{entities: make(map[useID]*useRecord, len(u.dirty)), keys: u.keys}
	oldest := now.Add(-useRetention)
	for id := range u.dirty {
		c := &useRecord{Services: make(map[string]*ServiceUse)}
		if e := u.entities[id]; e != nil {
			e.forget(oldest)
			c.Allowed = cloneAllowed(e.Allowed)
			for name, s := range e.Services {
				v := *s
				v.Actions = make(map[string]Use, len(s.Actions))
				for a, use := range s.Actions {
					v.Actions[a] = use
				}
				c.Services[name] = &v
			}
		}
		f.entities[id] = c
	}
	u.dirty = make(map[useID]struct{})
	u.keys = make(map[string]keys.Use)
	return f
}

// forget drops what is older than oldest.
func (e *useRecord) forget(oldest time.Time) {
	for name, s := range e.Services {
		if s.At.Before(oldest) {
			delete(e.Services, name)
			continue
		}
		for a, use := range s.Actions {
			if use.At.Before(oldest) {
				delete(s.Actions, a)
			}
		}
	}
	forgetAllowed(e.Allowed, oldest)
}

// put takes back what take handed out.
func (u *uses) put(f flushed) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range f.entities {
		u.dirty[id] = struct{}{}
	}
	for id, use := range f.keys {
		if _, newer := u.keys[id]; !newer {
			u.keys[id] = use
		}
	}
}

// drop forgets principals for which gone says true: those that were deleted.
func (u *uses) drop(gone func(useID) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range u.entities {
		if gone(id) {
			delete(u.entities, id)
			u.dirty[id] = struct{}{}
		}
	}
}

// load takes a record that was kept. One that is too old goes with the next flush.
func (u *uses) load(id useID, r *useRecord, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.Services == nil {
		r.Services = make(map[string]*ServiceUse)
	}
	for _, s := range r.Services {
		if s.Actions == nil {
			s.Actions = make(map[string]Use)
		}
	}
	if r.forget(now.Add(-useRetention)); r.empty() {
		u.dirty[id] = struct{}{}
		return
	}
	u.entities[id] = r
}
