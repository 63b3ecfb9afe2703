package llamacpp_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
)

func TestProcesses(t *testing.T) {
	t.Parallel()
	e := begin(t, fake{}.config(t))
	if all := e.Processes(); len(all) != 0 {
		t.Errorf("before the first request: %+v", all)
	}
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	all := e.Processes()
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	p := all[0]
	if p.Weights != targetA.Weights || p.Mode != engine.Chat || p.State != engine.Ready || p.PID == 0 || p.Estimate == 0 || p.Slots == 0 || p.Build != "fake 1" || p.Since.IsZero() {
		t.Errorf("%+v", p)
	}
}
