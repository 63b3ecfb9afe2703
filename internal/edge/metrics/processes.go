package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outcrop/outcrop/internal/engine"
)

// processes shows what an engine tells of its processes at the time of asking.
type processes struct {
	engine engine.Reporter
	all    []gauge
}

// gauge is one figure of a process.
type gauge struct {
	desc *prometheus.Desc
	of   func(*total) float64
}

// total is what the processes of some weights and mode come to: replicas are not
// told apart.
type total struct {
	slots, busy, waiting, restarts, ready int
	memory, estimate                      int64
}

func newProcesses(e engine.Reporter) *processes {
	p := &processes{engine: e}
	add := func(name, help string, of func(*total) float64) {
		p.all = append(p.all, gauge{prometheus.NewDesc(namespace+"_"+name, help, []string{"weights", "mode"}, nil), of})
	}
	add("requests_inflight", "Requests that engines are working on.", func(t *total) float64 { return float64(t.busy) })
	add("requests_queued", "Requests that wait for their turn.", func(t *total) float64 { return float64(t.waiting) })
	add("slots", "Requests that engines can work on at once.", func(t *total) float64 { return float64(t.slots) })
	add("engine_ready", "Processes that are ready to answer.", func(t *total) float64 { return float64(t.ready) })
	add("engine_restarts", "Starts of processes after the first.", func(t *total) float64 { return float64(t.restarts) })
	add("engine_memory_bytes", "Memory that processes take.", func(t *total) float64 { return float64(t.memory) })
	add("engine_estimated_memory_bytes", "Memory that processes are expected to take.", func(t *total) float64 { return float64(t.estimate) })
	return p
}

// Describe implements prometheus.Collector.
func (p *processes) Describe(out chan<- *prometheus.Desc) {
	for _, g := range p.all {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (p *processes) Collect(out chan<- prometheus.Metric) {
	type place struct{ weights, mode string }
	sums := map[place]*total{}
	for _, one := range p.engine.Processes() {
		k := place{one.Weights, string(one.Mode)}
		t := sums[k]
		if t == nil {
			t = new(total)
			sums[k] = t
		}
		t.slots, t.busy, t.waiting = t.slots+one.Slots, t.busy+one.Busy, t.waiting+one.Waiting
		t.restarts, t.memory, t.estimate = t.restarts+one.Restarts, t.memory+one.Memory, t.estimate+one.Estimate
		if one.State == engine.Ready {
			t.ready++
		}
	}
	for k, t := range sums {
		for _, g := range p.all {
			out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.of(t), k.weights, k.mode)
		}
	}
}
