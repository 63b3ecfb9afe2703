package llamacpp

import (
	"context"
	"time"
)

// scaling is what the keeper remembers of a model. Only it touches this, but for
// rejected.
type scaling struct {
	pressed time.Time // since then somebody has always waited for a slot; zero: nobody does
	calm    time.Time // since then one process less would do; zero: it would not
	looked  time.Time // at the file
	grown   time.Time // a further process was asked for
}

// lookAtModels is how often the keeper looks at the models.
const lookAtModels = 250 * time.Millisecond

// keep brings up what is pinned or preloaded, lets go what is idle, gives hot models
// further processes, and replaces those whose weights have a new version, until ctx
// ends. It never waits for any of it.
func (e *Engine) keep(ctx context.Context) {
	tick := time.NewTicker(min(lookAtModels, e.cfg.Look))
	defer tick.Stop()
	due := map[string]time.Time{} // of what is to be loaded without being asked for
	for id := range e.pinned {
		due[id] = time.Time{}
	}
	for _, id := range e.cfg.Preload {
		due[id] = time.Time{}
	}
	for {
		now := time.Now()
		for id, at := range due {
			if now.Before(at) {
				continue
			}
			if e.hold(ctx, id) && !e.pinned[id] {
				delete(due, id)
				continue
			}
			due[id] = now.Add(e.cfg.Look)
		}
		e.mu.RLock()
		all := make([]*model, 0, len(e.models))
		for _, m := range e.models {
			all = append(all, m)
		}
		e.mu.RUnlock()
		for _, m := range all {
			m.rest(now)
			m.grow(now)
			m.shrink(now)
			if now.Sub(m.scale.looked) >= e.cfg.Look {
				m.scale.looked = now
				m.renew(ctx)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// hold asks for the process of some weights, unless there is one. It reports whether
// there is one that answers. Weights that are not installed yet are no error.
func (e *Engine) hold(ctx context.Context, id string) bool {
	file, err := e.cfg.Weights.File(ctx, id)
	if err != nil {
		return false
	}
	m, err := e.model(ctx, key{id, file.Mode})
	if err != nil {
		return false
	}
	if m.answers() {
		return true
	}
	for _, r := range m.runners {
		if r.live() {
			return false
		}
	}
	m.runners[0].command(keep)
	return false
}

// answers reports whether a process of the model does.
func (m *model) answers() bool {
	for _, r := range m.runners {
		if r.ready.Load() != nil {
			return true
		}
	}
	return false
}

// rest lets processes go that were idle for long.
func (m *model) rest(now time.Time) {
	after := m.eng.cfg.IdleUnload
	if after <= 0 || m.pinned {
		return
	}
	for _, r := range m.runners {
		if used, idle := r.idleSince(); idle && now.Sub(used) >= after {
			r.part(unload)
		}
	}
}

// grow starts a further process when callers have waited long for a slot.
func (m *model) grow(now time.Time) {
	_, waiting := m.slots.Load()
	switch {
	case waiting == 0 || !m.answers():
		m.scale.pressed = time.Time{}
		return
	case m.scale.pressed.IsZero():
		m.scale.pressed = now
	}
	if now.Sub(m.scale.pressed) < m.eng.cfg.ScaleAfter || now.Sub(m.scale.grown) < m.eng.cfg.ScaleAfter {
		return
	}
	var next *runner
	live := 0
	for _, r := range m.runners {
		switch s := r.state(); {
		case s == Sleeping:
			next = r
		case r.live():
			live++
		case s == Cold && next == nil:
			next = r
		}
	}
	if next != nil && live < m.eng.cfg.Replicas {
		m.scale.grown = now
		next.command(scale)
	}
}

// shrink lets a process go when one less would have done for a while.
func (m *model) shrink(now time.Time) {
	var last *runner
	open := 0
	for _, r := range m.runners {
		if r.ready.Load() != nil {
			open++
			last = r
		}
	}
	busy, waiting := m.slots.Load()
	each := m.eng.cfg.slots(m.key.mode)
	if open < 2 || waiting > 0 || 4*busy > 3*(open-1)*each {
		m.scale.calm = time.Time{}
		return
	}
	if m.scale.calm.IsZero() {
		m.scale.calm = now
	}
	if now.Sub(m.scale.calm) >= m.eng.cfg.ScaleIdle {
		m.scale.calm = time.Time{}
		last.part(drain)
	}
}

// renew starts a process with the new version of the weights' file, when there is
// one, in the place of one that has an old version: one at a time. Without a file
// the old ones go on: it may be about to be replaced.
func (m *model) renew(ctx context.Context) {
	var old, spare *runner
	for _, r := range m.runners {
		if r.old.Load() != nil {
			return // under way
		}
		if r.state() == Cold {
			spare = r
		}
	}
	for _, r := range m.runners {
		if r.ready.Load() != nil {
			old = r
			break
		}
	}
	if old == nil || spare == nil {
		return
	}
	file, err := m.eng.cfg.Weights.File(ctx, m.key.weights)
	if err != nil || file.Mode != m.key.mode {
		return
	}
	v, err := versionOf(file)
	if err != nil || m.rejected(v) {
		return
	}
	for _, r := range m.runners {
		if i := r.ready.Load(); i != nil && i.facts.version != v {
			m.log.Info("these weights have a new version: a process with it takes over")
			spare.old.Store(r)
			spare.command(replace)
			return
		}
	}
}

// reject remembers that the present version of the weights did not come up, so that
// it is not tried again.
func (m *model) reject(ctx context.Context) {
	file, err := m.eng.file(ctx, m.key)
	if err != nil {
		return
	}
	v, err := versionOf(file)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad = v
}

func (m *model) rejected(v version) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bad == v
}
