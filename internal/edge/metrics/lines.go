package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outcrop/outcrop/internal/engine"
)

// lines shows what an engine tells of the lines before its slots at the time of
// asking.
type lines struct {
	engine                             engine.Liner
	asks, wait, ahead, held, room, top *prometheus.Desc
}

func newLines(e engine.Liner) *lines {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, append([]string{"weights", "mode"}, more...), nil)
	}
	return &lines{
		engine: e,
		asks:   desc("slot_asks_total", "Requests that asked for a slot, by what came of it: granted, full and late are refused, left went away.", "result"),
		wait:   desc("slot_wait_seconds", "Time that requests waited which were granted a slot."),
		ahead:  desc("queue_ahead", "Requests that waited already when one joined them."),
		held:   desc("slots_reserved", "Slots that are set aside for provisioned throughput."),
		room:   desc("slot_tokens", "Tokens that requests in slots may come to."),
		top:    desc("slot_tokens_limit", "Tokens that requests in slots may come to at most; none where there is no limit."),
	}
}

// Describe implements prometheus.Collector.
func (l *lines) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.asks, l.wait, l.ahead, l.held, l.room, l.top} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (l *lines) Collect(out chan<- prometheus.Metric) {
	all := l.engine.Lines()
	for i := range all {
		s, weights, mode := &all[i].Stats, all[i].Weights, string(all[i].Mode)
		for result, n := range map[string]uint64{"granted": s.Granted, "full": s.Full, "late": s.Late, "left": s.Left} {
			out <- prometheus.MustNewConstMetric(l.asks, prometheus.CounterValue, float64(n), weights, mode, result)
		}
		n, buckets := upTo(s.Waits.Counts[:], func(i int) float64 { return s.Waits.Bound(i).Seconds() })
		out <- prometheus.MustNewConstHistogram(l.wait, n, s.Waits.Sum.Seconds(), buckets, weights, mode)
		n, buckets = upTo(s.Ahead.Counts[:], func(i int) float64 { return float64(s.Ahead.Bound(i)) })
		out <- prometheus.MustNewConstHistogram(l.ahead, n, float64(s.Ahead.Sum), buckets, weights, mode)
		out <- prometheus.MustNewConstMetric(l.held, prometheus.GaugeValue, float64(s.Held), weights, mode)
		out <- prometheus.MustNewConstMetric(l.room, prometheus.GaugeValue, float64(s.Tokens), weights, mode)
		if s.Budget > 0 {
			out <- prometheus.MustNewConstMetric(l.top, prometheus.GaugeValue, float64(s.Budget), weights, mode)
		}
	}
}

// upTo turns counts of each bucket, the last without a bound, into a histogram's
// counts of all up to a bound.
func upTo(counts []uint64, bound func(i int) float64) (n uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(counts))
	for i, c := range counts {
		n += c
		if i < len(counts)-1 {
			buckets[bound(i)] = n
		}
	}
	return n, buckets
}
