package metrics_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/metrics"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

type reporting []engine.Process

func (r reporting) Processes() []engine.Process { return r }

// lined is an engine that also tells of its lines.
type lined struct {
	reporting
	lines []engine.Line
}

func (l lined) Lines() []engine.Line { return l.lines }

func page(t *testing.T, b *metrics.Book) string {
	t.Helper()
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, metrics.Path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d", w.Code)
	}
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every count of a call stands on the page, and replicas are one.
func TestPage(t *testing.T) {
	t.Parallel()
	b := metrics.New(metrics.Config{Running: func() int { return 7 }, Engine: reporting{
		{Weights: "w", Mode: engine.Chat, State: engine.Ready, Slots: 4, Busy: 3, Waiting: 9, Memory: 100, Estimate: 120, Restarts: 1},
		{Weights: "w", Mode: engine.Chat, State: engine.Loading, Slots: 4, Busy: 1},
	}})
	b.Ended(&call.Call{
		Operation: "Converse", ServedBy: "w", Inferred: true, Cache: "miss", Queued: 30 * time.Millisecond,
		Usage: llm.Usage{InputTokens: 11, OutputTokens: 5, ReusedTokens: 3}, FirstToken: 20 * time.Millisecond, Latency: 100 * time.Millisecond,
	}, 200*time.Millisecond)
	b.Ended(&call.Call{Operation: "Converse", ServedBy: "w", ErrorCode: "ThrottlingException"}, time.Millisecond)
	b.Ended(&call.Call{ErrorCode: "UnknownOperationException"}, time.Millisecond)
	text := page(t, b)
	for _, want := range []string{
		`outcrop_calls_total{code="ok",operation="Converse"} 1`,
		`outcrop_calls_total{code="ThrottlingException",operation="Converse"} 1`,
		`outcrop_calls_total{code="UnknownOperationException",operation="unknown"} 1`,
		`outcrop_call_duration_seconds_count{operation="Converse"} 2`,
		`outcrop_input_tokens_total{weights="w"} 11`,
		`outcrop_output_tokens_total{weights="w"} 5`,
		`outcrop_reused_tokens_total{weights="w"} 3`,
		`outcrop_queue_wait_seconds_bucket{weights="w",le="0.025"} 0`,
		`outcrop_queue_wait_seconds_bucket{weights="w",le="0.1"} 1`,
		`outcrop_time_to_first_token_seconds_count{weights="w"} 1`,
		`outcrop_time_per_output_token_seconds_bucket{weights="w",le="0.01"} 0`,
		`outcrop_time_per_output_token_seconds_bucket{weights="w",le="0.02"} 1`,
		`outcrop_cache_total{result="miss"} 1`,
		`outcrop_calls_running 7`,
		`outcrop_requests_inflight{mode="chat",weights="w"} 4`,
		`outcrop_requests_queued{mode="chat",weights="w"} 9`,
		`outcrop_slots{mode="chat",weights="w"} 8`,
		`outcrop_engine_ready{mode="chat",weights="w"} 1`,
		`outcrop_engine_restarts{mode="chat",weights="w"} 1`,
		`outcrop_engine_memory_bytes{mode="chat",weights="w"} 100`,
		`outcrop_engine_estimated_memory_bytes{mode="chat",weights="w"} 120`,
		"go_goroutines ",
	} {
		if !strings.Contains(text, want+"\n") && !strings.Contains(text, "\n"+want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// What the lines before slots come to stands on the page of an engine that has them.
func TestLines(t *testing.T) {
	t.Parallel()
	slots := limit.NewSlots(limit.SlotsConfig{N: 2, MaxQueue: 1, Tokens: 100, Most: 50})
	if err := slots.Reserve("holder", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := slots.Acquire(t.Context(), limit.Ask{Tokens: 40}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := slots.Acquire(ctx, limit.Ask{Tokens: 1})
			done <- err
		}()
		synctest.Wait()
		if _, err := slots.Acquire(ctx, limit.Ask{Tokens: 1}); err == nil {
			t.Error("nobody was refused")
		}
		leave()
		<-done
	})
	text := page(t, metrics.New(metrics.Config{Running: func() int { return 0 }, Engine: lined{lines: []engine.Line{
		{Weights: "w", Mode: engine.Chat, Stats: slots.Stats()},
		{Weights: "w@far", Mode: engine.Chat, Stats: limit.Stats{Late: 3, Waits: limit.Waits{Counts: [19]uint64{0: 2, 10: 1, 18: 1}, Sum: 200 * time.Second}}},
	}}}))
	for _, want := range []string{
		`outcrop_slot_asks_total{mode="chat",result="granted",weights="w"} 1`,
		`outcrop_slot_asks_total{mode="chat",result="full",weights="w"} 1`,
		`outcrop_slot_asks_total{mode="chat",result="left",weights="w"} 1`,
		`outcrop_slot_asks_total{mode="chat",result="late",weights="w"} 0`,
		`outcrop_slot_asks_total{mode="chat",result="late",weights="w@far"} 3`,
		`outcrop_slot_wait_seconds_bucket{mode="chat",weights="w",le="0.001"} 1`,
		`outcrop_slot_wait_seconds_bucket{mode="chat",weights="w@far",le="0.512"} 2`,
		`outcrop_slot_wait_seconds_bucket{mode="chat",weights="w@far",le="1.024"} 3`,
		`outcrop_slot_wait_seconds_bucket{mode="chat",weights="w@far",le="131.072"} 3`,
		`outcrop_slot_wait_seconds_bucket{mode="chat",weights="w@far",le="+Inf"} 4`,
		`outcrop_slot_wait_seconds_sum{mode="chat",weights="w@far"} 200`,
		`outcrop_queue_ahead_bucket{mode="chat",weights="w",le="0"} 1`,
		`outcrop_slots_reserved{mode="chat",weights="w"} 1`,
		`outcrop_slot_tokens{mode="chat",weights="w"} 40`,
		`outcrop_slot_tokens_limit{mode="chat",weights="w"} 100`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(text, `outcrop_slot_tokens_limit{mode="chat",weights="w@far"}`) {
		t.Error("a limit where there is none")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	h := metrics.New(metrics.Config{Running: func() int { return 0 }}).Handler()
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, metrics.Path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	metrics.New(metrics.Config{Running: func() int { return 0 }}).Handler().
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, metrics.Path, strings.NewReader("x")))
	if w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
}

func BenchmarkEnded(b *testing.B) {
	book := metrics.New(metrics.Config{Running: func() int { return 0 }})
	c := &call.Call{Operation: "Converse", ServedBy: "w", Inferred: true, Usage: llm.Usage{InputTokens: 11, OutputTokens: 5}, FirstToken: time.Millisecond, Latency: time.Second}
	b.ReportAllocs()
	for b.Loop() {
		book.Ended(c, time.Second)
	}
}
