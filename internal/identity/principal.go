package identity

import (
	"context"
	"maps"
	"sync"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// maxCached is how many principals a policyCache holds before it starts anew.
const maxCached = 8192

// policyCache remembers what binds principals. It belongs to one state, so it is
// never out of date.
type policyCache struct {
	mu  sync.RWMutex
	all map[string]cachedPolicies
}

type cachedPolicies struct {
	// session is whose policies these are, for temporary credentials: the same key
	// id with another token is another session.
	session  *call.Session
	policies *access.Policies
}

func newPolicyCache() *policyCache { return &policyCache{all: make(map[string]cachedPolicies)} }

func (c *policyCache) get(key string, session *call.Session) *access.Policies {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if h, ok := c.all[key]; ok && h.session == session {
		return h.policies
	}
	return nil
}

func (c *policyCache) put(key string, v cachedPolicies) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= maxCached {
		clear(c.all)
	}
	c.all[key] = v
}

// Policies returns what binds a principal. It answers from memory, and allocates
// nothing for a principal who asked since the last change.
//
// Errors: UnrecognizedClientException (403) for a user or role that is gone;
// MalformedPolicyDocument (400) for a session policy that cannot be read.
func (d *Directory) Policies(_ context.Context, p *call.Principal) (*access.Policies, error) {
	s := d.state.Load()
	key, session := p.AccessKeyID, p.Session
	if (p.Type == call.User || p.Type == call.Root) && !narrowed(session) {
		key, session = p.UserID, nil // GetSessionToken: the same rights as the long-term key
	}
	cacheable := key != "" && (session != nil || p.Type == call.User || p.Type == call.Root)
	if cacheable {
		if v := s.cache.get(key, session); v != nil {
			return v, nil
		}
	}
	v, err := d.bind(s, p)
	if err != nil {
		return nil, err
	}
	if cacheable {
		s.cache.put(key, cachedPolicies{session, v})
	}
	return v, nil
}

// narrowed tells whether a session differs in rights from who it is of.
func narrowed(s *call.Session) bool {
	return s != nil && len(s.Policies)+len(s.PolicyARNs)+len(s.Tags) > 0
}

// bind finds out what binds a principal.
func (d *Directory) bind(s *state, p *call.Principal) (*access.Policies, error) {
	v := new(access.Policies)
	bindOrganization(s, p.Account, v)
	switch {
	case p.Type == call.User:
		if err := d.bindUser(s, p.Account, p.UserID, v); err != nil {
			return nil, err
		}
	case p.Type == call.FederatedUser && p.Session != nil && p.Session.Owner != "":
		if err := d.bindUser(s, p.Account, p.Session.Owner, v); err != nil {
			return nil, err
		}
	case p.Type == call.FederatedUser: // of a root, who may do everything
		v.Identity = append(v.Identity, d.managed[administrator].Document())
	case p.Session != nil && p.Session.RoleID != "":
		r := find(s, &roleKind, p.Account, p.Session.RoleID)
		if r == nil {
			return nil, sigv4.Unrecognized()
		}
		v.Identity = d.documents(s, p.Account, &r.Grants, v.Identity)
		v.Boundary = d.boundary(s, p.Account, r.Boundary)
		v.Tags = r.Tags.Map()
	}
	if p.Session != nil {
		if err := d.bindSession(s, p, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (d *Directory) bindUser(s *state, acct, id string, v *access.Policies) error {
	u := find(s, &userKind, acct, id)
	if u == nil {
		return sigv4.Unrecognized()
	}
	v.Identity = d.documents(s, acct, &u.Grants, v.Identity)
	for _, gid := range u.Groups {
		if g := find(s, &groupKind, acct, gid); g != nil {
			v.Identity = d.documents(s, acct, &g.Grants, v.Identity)
		}
	}
	v.Boundary = d.boundary(s, acct, u.Boundary)
	v.Tags = u.Tags.Map()
	return nil
}

// documents adds what g grants to docs.
func (d *Directory) documents(s *state, acct string, g *Grants, docs []*policy.Document) []*policy.Document {
	for i := range g.Inline {
		docs = append(docs, g.Inline[i].doc)
	}
	for _, a := range g.Attached {
		if p := d.policyIn(s, acct, a); p != nil {
			docs = append(docs, p.Document())
		}
	}
	return docs
}

// boundary is the document of a permissions boundary; nil for "". One that is gone
// allows nothing.
func (d *Directory) boundary(s *state, acct, policyARN string) *policy.Document {
	if policyARN == "" {
		return nil
	}
	if p := d.policyIn(s, acct, policyARN); p != nil {
		return p.Document()
	}
	return d.nothing
}

// bindSession adds what temporary credentials carry: session policies and tags.
// Policies that are gone still bound the session: it may then do nothing.
func (d *Directory) bindSession(s *state, p *call.Principal, v *access.Policies) error {
	for _, text := range p.Session.Policies {
		doc, err := parse(text, policy.Session)
		if err != nil {
			return err
		}
		v.Session = append(v.Session, doc)
	}
	for _, a := range p.Session.PolicyARNs {
		doc := d.nothing
		if m := d.policyIn(s, p.Account, a); m != nil {
			doc = m.Document()
		}
		v.Session = append(v.Session, doc)
	}
	if p.Type == call.FederatedUser && len(v.Session) == 0 {
		v.Session = append(v.Session, d.nothing)
	}
	if len(p.Session.Tags) > 0 {
		tags := maps.Clone(v.Tags)
		if tags == nil {
			tags = make(map[string]string, len(p.Session.Tags))
		}
		maps.Copy(tags, p.Session.Tags)
		v.Tags = tags
	}
	return nil
}
