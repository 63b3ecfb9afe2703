// Package metrics counts calls and shows the engines' load on a page for Prometheus.
//
// Labels are few and bounded: operations of the API, modelled error codes and
// weights of the catalogue. Accounts, principals and what was asked stand on no
// page; usage records have them.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/engine"
)

// Path is where the page lies.
const Path = "/metrics"

const namespace = "outcrop"

// Book is the counts of one server. It is safe for concurrent use.
type Book struct {
	registry *prometheus.Registry

	calls    *prometheus.CounterVec   // operation, code
	duration *prometheus.HistogramVec // operation
	input    *prometheus.CounterVec   // weights
	output   *prometheus.CounterVec   // weights
	reused   *prometheus.CounterVec   // weights
	wait     *prometheus.HistogramVec // weights
	first    *prometheus.HistogramVec // weights
	each     *prometheus.HistogramVec // weights
	cache    *prometheus.CounterVec   // result
}

// Config of a Book.
type Config struct {
	Running func() int      // calls that are being answered; required
	Engine  engine.Reporter // nil: the engine has no processes; its lines are told when it is an engine.Liner
}

// New returns an empty Book.
func New(c Config) *Book {
	b := &Book{registry: prometheus.NewRegistry()}
	var ( // bounds of the histograms, in seconds
		short = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
		long  = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
		token = []float64{.0005, .001, .0025, .005, .01, .02, .04, .08, .16, .32, .64, 1.28}
	)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		b.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
		b.registry.MustRegister(v)
		return v
	}
	b.calls = counter("calls_total", "Calls that ended, by operation and modelled error code; the code ok is success.", "operation", "code")
	b.duration = histogram("call_duration_seconds", "Time from the first byte of a call to the last of its answer.", long, "operation")
	b.input = counter("input_tokens_total", "Tokens of prompts.", "weights")
	b.output = counter("output_tokens_total", "Tokens of replies.", "weights")
	b.reused = counter("reused_tokens_total", "Tokens of prompts that an engine had read before.", "weights")
	b.wait = histogram("queue_wait_seconds", "Time that a call waited for its turn at an engine.", long, "weights")
	b.first = histogram("time_to_first_token_seconds", "Time from the turn of a call to the first token of its reply.", short, "weights")
	b.each = histogram("time_per_output_token_seconds", "Time for each token of a reply after the first.", token, "weights")
	b.cache = counter("cache_total", "Calls that a cache was asked for, by what came of it.", "result")
	b.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "calls_running", Help: "Calls that are being answered."},
			func() float64 { return float64(c.Running()) }),
	)
	if c.Engine != nil {
		b.registry.MustRegister(newProcesses(c.Engine))
	}
	if l, ok := c.Engine.(engine.Liner); ok {
		b.registry.MustRegister(newLines(l))
	}
	return b
}

// Ended counts a call that took so long.
func (b *Book) Ended(c *call.Call, took time.Duration) {
	code, operation := c.ErrorCode, c.Operation
	if code == "" {
		code = "ok"
	}
	if operation == "" {
		operation = "unknown"
	}
	b.calls.WithLabelValues(operation, code).Inc()
	b.duration.WithLabelValues(operation).Observe(took.Seconds())
	if c.Cache != "" {
		b.cache.WithLabelValues(c.Cache).Inc()
	}
	if c.ServedBy == "" || !c.Inferred {
		return
	}
	b.input.WithLabelValues(c.ServedBy).Add(float64(c.Usage.InputTokens))
	b.output.WithLabelValues(c.ServedBy).Add(float64(c.Usage.OutputTokens))
	b.reused.WithLabelValues(c.ServedBy).Add(float64(c.Usage.ReusedTokens))
	b.wait.WithLabelValues(c.ServedBy).Observe(c.Queued.Seconds())
	if c.FirstToken > 0 {
		b.first.WithLabelValues(c.ServedBy).Observe(c.FirstToken.Seconds())
		if n := c.Usage.OutputTokens - 1; n > 0 && c.Latency > c.FirstToken {
			b.each.WithLabelValues(c.ServedBy).Observe((c.Latency - c.FirstToken).Seconds() / float64(n))
		}
	}
}

// Handler serves the page to GET and HEAD.
func (b *Book) Handler() http.Handler {
	page := promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if r.ContentLength != 0 { // nobody waits for a body that is announced and never sent
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		page.ServeHTTP(w, r)
	})
}
