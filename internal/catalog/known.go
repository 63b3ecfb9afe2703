package catalog

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

// maxKnown bounds how many targets are remembered: regions have any name where the
// configuration lists none.
const maxKnown = 1024

// known remembers the targets of listed models and of their system profiles, which
// nearly all calls name. Reading takes no lock.
type known struct {
	at atomic.Pointer[map[knownKey]*Target]
	mu sync.Mutex // held by who adds one
}

// knownKey has an account where the target has: in the ARN of a profile.
type knownKey struct{ geo, id, region, account string }

// remembered is target for those that name a model or a system profile.
func (c *Catalog) remembered(m *arn.Model, region, account string) (*Target, error) {
	k := knownKey{m.Geo, m.ID, region, ""}
	if m.Geo != "" {
		k.account = account
	}
	if all := c.known.at.Load(); all != nil {
		if t := (*all)[k]; t != nil {
			return t, nil
		}
	}
	t, err := c.target(m, region, account)
	if _, listed := c.byID[m.ID]; err == nil && listed && t.Model.Lifecycle.Legacy.IsZero() && t.Model.Lifecycle.EndOfLife.IsZero() {
		c.known.add(k, t)
	}
	return t, err
}

func (n *known) add(k knownKey, t *Target) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[knownKey]*Target{}
	if old := n.at.Load(); old != nil {
		if len(*old) >= maxKnown {
			return
		}
		all = maps.Clone(*old)
	}
	all[k] = t
	n.at.Store(&all)
}
