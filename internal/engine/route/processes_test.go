package route_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/route"
	"github.com/outcrop/outcrop/internal/engine/scripted"
)

// reporting is an engine with processes.
type reporting struct {
	*scripted.Engine
	names []string
}

// Processes implements engine.Reporter.
func (r reporting) Processes() (all []engine.Process) {
	for _, n := range r.names {
		all = append(all, engine.Process{Weights: n})
	}
	return all
}

// Lines implements engine.Liner.
func (r reporting) Lines() (all []engine.Line) {
	for _, n := range r.names {
		all = append(all, engine.Line{Weights: n})
	}
	return all
}

// What several engines tell of their processes and lines is one list; one that
// serves two weights tells once, and one without them nothing.
func TestProcesses(t *testing.T) {
	t.Parallel()
	local, far := &reporting{scripted.New(), []string{"b", "d"}}, &reporting{scripted.New(), []string{"a", "c"}}
	e := route.New(local, map[string]engine.Engine{"a": far, "c": far, "x": scripted.New()})
	got := ""
	for _, p := range e.Processes() {
		got += p.Weights
	}
	if got != "abcd" {
		t.Errorf("processes of %q", got)
	}
	if all := e.Lines(); len(all) != 4 {
		t.Errorf("%+v", all)
	}
	if all := route.New(scripted.New(), nil).Processes(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}
