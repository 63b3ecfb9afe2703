package llamacpp

import "github.com/outcrop/outcrop/internal/engine"

var (
	_ engine.Reporter = (*Engine)(nil)
	_ engine.Liner    = (*Engine)(nil)
)

// Processes implements engine.Reporter.
func (e *Engine) Processes() []engine.Process {
	all := e.Status()
	out := make([]engine.Process, 0, len(all))
	for i := range all {
		s := &all[i]
		p := engine.Process{
			Weights: s.Weights, Mode: s.Mode, State: engine.State(s.State), Progress: s.Progress, Since: s.Since,
			PID: s.PID, Memory: s.Memory, Estimate: s.Estimate, Replica: s.Replica, Pinned: s.Pinned, Slots: e.cfg.slots(s.Mode), Busy: s.Busy, Waiting: s.Waiting,
			Restarts: s.Restarts, Safe: s.Safe, Build: s.Build, Err: s.Err,
		}
		out = append(out, p)
	}
	return out
}

// Lines implements engine.Liner.
func (e *Engine) Lines() []engine.Line {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make([]engine.Line, 0, len(e.models))
	for k, m := range e.models {
		out = append(out, engine.Line{Weights: k.weights, Mode: k.mode, Stats: m.slots.Stats()})
	}
	return out
}
