package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	type rule struct {
		RuleName, AccountID, ModelID, Fault, Trigger string
		Rate                                         float64
		LatencyMilliseconds, AfterTokens, MaxFaults  int
		Seed                                         *int64
		CreatedAt, ExpiresAt                         time.Time
		CallCount, FaultCount                        int
	}
	r := decode[rule](t, outcrop(t, s.Data, "faults", "put", "cut", "--type", "stream-break", "--after", "10", "--rate", "0.3", "--seed", "0", "--max", "5",
		"--latency", "1500ms", "--model", "anthropic.*", "--on-request", "--for", "1h", "--json"))
	if r.RuleName != "cut" || r.AccountID != s.Account || r.ModelID != "anthropic.*" || r.Fault != "STREAM_BREAK" || r.Trigger != "REQUEST_METADATA" ||
		r.Rate != 0.3 || r.LatencyMilliseconds != 1500 || r.AfterTokens != 10 || r.MaxFaults != 5 || r.Seed == nil || r.ExpiresAt.Sub(r.CreatedAt).Round(time.Second) != time.Hour {
		t.Errorf("%+v", r)
	}
	said := outcrop(t, s.Data, "faults", "put", "busy", "--type", "THROTTLING", "--account", "*")
	if said.status != 0 || !strings.HasPrefix(said.out, "Rule busy: throttling, until ") {
		t.Errorf("%+v", said)
	}
	list := outcrop(t, s.Data, "faults", "list")
	for _, part := range []string{"busy  *", "stream-break, after 1.5s, after 10 toke…", "23h59m", "0/0"} {
		if !strings.Contains(list.out, part) {
			t.Errorf("no %q in\n%s", part, list.out)
		}
	}
	if all := decode[[]rule](t, outcrop(t, s.Data, "faults", "list", "--json")); len(all) != 2 || all[0].RuleName != "busy" || all[0].Rate != 1 {
		t.Errorf("%+v", all)
	}
	if r := outcrop(t, s.Data, "faults", "rm", "busy", "--account", "*"); r.status != 0 || r.out != "Rule busy is gone.\n" {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		status int
		part   string
		args   []string
	}{
		{1, "no such fault rule", []string{"rm", "busy"}},
		{2, "NAME is missing", []string{"put"}},
		{2, "throttling, timeout", []string{"put", "x", "--type", "fire"}},
		{2, "whole milliseconds", []string{"put", "x", "--type", "latency", "--latency", "1us"}},
		{2, "a minute or more", []string{"put", "x", "--type", "timeout", "--for", "1s"}},
		{1, "LATENCY needs it", []string{"put", "x", "--type", "latency"}},
		{1, "rate", []string{"put", "x", "--type", "timeout", "--rate", "2"}},
		{1, "no model", []string{"put", "x", "--type", "timeout", "--model", "acme"}},
	} {
		if r := outcrop(t, s.Data, append([]string{"faults"}, c.args...)...); r.status != c.status || !strings.Contains(r.err, c.part) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
}

// processes is a scripted engine with processes.
type processes struct {
	*scripted.Engine
	all []engine.Process
}

func (p processes) Processes() []engine.Process { return p.all }

func TestPs(t *testing.T) {
	t.Parallel()
	since := time.Now().Add(-3 * time.Minute)
	s := apptest.Start(t, apptest.Engine(processes{scripted.New(), []engine.Process{
		{Weights: "huggingface.a-model-with-a-very-long-name-indeed-v1:0", Mode: engine.Completion, State: engine.Loading, Progress: 0.42, Since: since, PID: 7, Estimate: 220 << 20, Memory: 183 << 20, Slots: 4, Busy: 1, Waiting: 12, Restarts: 2},
		{Weights: "huge", Mode: engine.Chat, State: engine.Failed, Since: since, Estimate: 70 << 30, Slots: 4, Err: "no memory\x1b[2J"},
		{Weights: "small", Mode: engine.Embed, State: engine.Sleeping, Since: since, Memory: 1500 << 20, Slots: 1},
	}}))
	r := outcrop(t, s.Data, "ps")
	for _, part := range []string{"loading 42%", "183M/220M", "1/4", "12", "-/70G", "1.5G/-", "sleeping", "3m", "huge (chat) failed last: no memory[2J"} {
		if !strings.Contains(r.out, part) {
			t.Errorf("no %q in\n%s%s", part, r.out, r.err)
		}
	}
	for line := range strings.Lines(r.out) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	type process struct {
		WeightsID, State       string
		Progress               float64
		BusySlots, QueueLength int
	}
	if all := decode[[]process](t, outcrop(t, s.Data, "ps", "--json")); len(all) != 3 || all[0].State != "LOADING" || all[0].Progress != 0.42 || all[0].QueueLength != 12 || all[2].WeightsID != "small" {
		t.Errorf("%+v", all)
	}
	idle := apptest.Start(t)
	if r := outcrop(t, idle.Data, "ps"); r.status != 0 || !strings.HasPrefix(r.out, "No model was asked for") {
		t.Errorf("%+v", r)
	}
	if r := outcrop(t, idle.Data, "ps", "--interval", "1ms"); r.status != 2 {
		t.Errorf("%+v", r)
	}
	// A watch ends with its server, and says so.
	idle.Stop(t)
	if r := outcrop(t, idle.Data, "ps", "--watch"); r.status != 1 || !strings.Contains(r.err, "outcrop serve") {
		t.Errorf("%+v", r)
	}
}
