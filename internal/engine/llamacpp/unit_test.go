package llamacpp

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/engine/reply"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestStream(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 5000) // over the reader's buffer
	s := newStream(strings.NewReader(
		": ping\r\n\r\n" +
			"data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"a\\u0041\"}}],\"created\":1}\n\n" +
			"data: {\"choices\":[{\"delta\":{\"content\":\"other order\"},\"index\":0}]}\n\n" +
			"data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"" + long + "\"}}],\"created\":1}\n\n" +
			"data: {\"content\":\"raw\",\"stop\":false}\n\n" +
			"error: {\"error\":{\"code\":500,\"type\":\"x\"}}\n\n" +
			"data: [DONE]\n\n" +
			"data: {nonsense\n\n"))
	var c chunk
	for _, want := range []string{"aA", "other order", long, "raw"} {
		if err := s.next(&c); err != nil || c.text != want {
			t.Fatalf("%.40q, %v; want %.40q", c.text, err, want)
		}
	}
	if err := s.next(&c); err != nil || c.Error == nil || c.Error.Code != 500 {
		t.Errorf("error event: %+v, %v", c.Error, err)
	}
	if err := s.next(&c); err != nil || !c.done {
		t.Errorf("end mark: %+v, %v", c, err)
	}
	if err := s.next(&c); !errors.Is(err, errBadJSON) {
		t.Errorf("nonsense: %v", err)
	}
	if err := s.next(&c); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	if err := newStream(strings.NewReader("data: {")).next(&c); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut line: %v", err)
	}
	endless := newStream(io.MultiReader(strings.NewReader("data: "), zeros{}))
	if err := endless.next(&c); !errors.Is(err, reply.ErrStream) {
		t.Errorf("endless line: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func BenchmarkStream(b *testing.B) {
	line := `data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" token"}}],"created":1795312040,"id":"chatcmpl-o2yp6BxJrS6HPwJMpy3I50taGsC0ceXi","model":"smollm2-135m-instruct","system_fingerprint":"b0-unknown","object":"chat.completion.chunk"}` + "\n\n"
	text := strings.Repeat(line, 1000)
	src := strings.NewReader(text)
	s := newStream(src)
	var c chunk
	b.ReportAllocs()
	for b.Loop() {
		if err := s.next(&c); err != nil {
			src.Reset(text)
			s = newStream(src)
		}
	}
}

func TestCircuit(t *testing.T) {
	t.Parallel()
	var c circuit
	now := time.Unix(0, 0)
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if wait, open := c.fail(now); wait != want || open {
			t.Errorf("failure %d: wait %s open %v, want %s", i+1, wait, open, want)
		}
		now = now.Add(want)
	}
	for i := range 16 { // 20 restarts in a row
		if wait, open := c.fail(now); wait != time.Minute || !open {
			t.Errorf("failure %d: wait %s open %v, want an open circuit", i+5, wait, open)
		}
		now = now.Add(time.Minute)
	}
	now = now.Add(failureWindow)
	if wait, open := c.fail(now); wait != time.Second || open {
		t.Errorf("after 10 quiet minutes: wait %s open %v", wait, open)
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	if h.p99() != 0 {
		t.Error("p99 without data")
	}
	for range 990 {
		h.add(10 * time.Millisecond)
	}
	for range 10 {
		h.add(time.Hour)
	}
	if p := h.p99(); p < 10*time.Millisecond || p > 33*time.Millisecond {
		t.Errorf("p99 %s, want about 10 ms", p)
	}
	for range 10 {
		h.add(10 * time.Second)
	}
	if p := h.p99(); p < 10*time.Second {
		t.Errorf("p99 %s, want at least 10 s", p)
	}
	i := &instance{}
	if d := i.stallAfter(time.Minute); d != time.Minute {
		t.Errorf("stall after %s without data", d)
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		always := func() bool { return true }
		mk := func(id string) *runner {
			return &runner{model: &model{key: key{weights: id}, slots: limit.NewSlots(limit.SlotsConfig{})}, leave: make(chan parting, 1)}
		}
		load := func(r *runner, users int, used time.Time) {
			r.ready.Store(&instance{users: users, used: used})
		}
		l := newLedger(100, nil)
		a, b, c := mk("a"), mk("b"), mk("c")
		for _, r := range []*runner{a, b} {
			if err := l.reserve(t.Context(), r, 60-20*int64(len(l.entries)), always); err != nil {
				t.Fatal(err)
			}
		}
		l.measured(a, 50)
		l.measured(b, 30)
		load(a, 0, time.Now())
		load(b, 0, time.Now().Add(-time.Minute))

		// c needs 60: the older b does not give enough, so a must leave too.
		done := make(chan error, 1)
		go func() { done <- l.reserve(t.Context(), c, 60, always) }()
		synctest.Wait()
		if len(b.leave) != 1 || len(a.leave) != 0 {
			t.Fatal("the least recently used model was not asked first")
		}
		l.release(b)
		synctest.Wait()
		if len(a.leave) != 1 {
			t.Fatal("the other one was not asked")
		}
		load(a, 1, time.Now()) // a request came in between
		l.stays(a)
		time.Sleep(time.Second)
		if len(done) != 0 {
			t.Fatal("admitted without memory")
		}
		load(a, 0, time.Now())
		<-a.leave
		time.Sleep(time.Second)
		if len(a.leave) != 1 {
			t.Fatal("idle again, but not asked again")
		}
		l.release(a)
		if err := <-done; err != nil {
			t.Fatal(err)
		}

		// Nobody wants it any more; or it can never be.
		if err := l.reserve(t.Context(), a, 60, func() bool { return false }); !errors.Is(err, errUnwanted) {
			t.Errorf("unwanted: %v", err)
		}
		if e, ok := errors.AsType[*apierr.Error](l.reserve(t.Context(), a, 101, always)); !ok || e.Code != apierr.CodeModelNotReady {
			t.Errorf("over the limit: %v", e)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.reserve(ctx, a, 60, always); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting: %v", err)
		}
	})
}

// The machine's free memory counts beside the limit, less what loads in
// progress are going to take.
func TestLedgerFree(t *testing.T) {
	t.Parallel()
	l := newLedger(0, func() (int64, error) { return margin + 100, nil })
	a, b := &runner{model: &model{}}, &runner{model: &model{}}
	if err := l.reserve(t.Context(), a, 60, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	if l.short(b, 60) <= 0 {
		t.Error("60 of 100 bytes are coming and 60 more fit")
	}
	l.measured(a, 60) // resident: the system's figure has it
	if err := l.reserve(t.Context(), b, 60, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
}

// Each step of a stop is tried in its turn.
func TestStopSteps(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	const up = "echo '" + statePrefix + `{"state":"ready"}'`
	for name, c := range map[string]struct {
		script string
		signal syscall.Signal
	}{
		"polite": {up + "; cat >/dev/null", 0},
		"term":   {up + "; while :; do sleep 0.05; done", syscall.SIGTERM},
		"kill":   {"trap '' TERM; " + up + "; while :; do sleep 0.05; done", syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := start(nil, program{argv: []string{sh, "-c", c.script}, env: os.Environ(), dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			<-p.ready // the trap is set
			p.stop(300*time.Millisecond, 300*time.Millisecond)
			if !p.gone() || p.crashSignal() != c.signal {
				t.Errorf("ended by %v, want %v", p.crashSignal(), c.signal)
			}
		})
	}
}

func TestStateLines(t *testing.T) {
	t.Parallel()
	p := &process{ready: make(chan struct{})}
	l := &lines{p: p}
	for _, part := range []string{
		"noise\n" + statePrefix, `{"state":"loading","payload":{"value":0.25}}` + "\n", strings.Repeat("x", 70<<10), "\n" + statePrefix + "nonsense\n",
	} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if p.loaded() != 0.25 {
		t.Errorf("loaded %v, want 0.25", p.loaded())
	}
	_, _ = l.Write([]byte(statePrefix + `{"state":"ready"}` + "\n" + statePrefix + `{"state":"ready"}` + "\n"))
	select {
	case <-p.ready:
	default:
		t.Error("not ready")
	}
}

func TestRing(t *testing.T) {
	t.Parallel()
	var r ring
	for range 3000 {
		r.add([]byte("a line of some forty characters, really\n"))
	}
	if n := len(r.last(1 << 20)); n != stderrKept {
		t.Errorf("%d bytes kept, want %d", n, stderrKept)
	}
	if s := r.last(100); s != strings.Repeat("a line of some forty characters, really\n", 2) {
		t.Errorf("last lines %q", s)
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	if seed(nil) != nil {
		t.Error("a seed out of nothing")
	}
	for in, want := range map[int64]uint32{0: 0, 7: 7, 1<<32 - 1: 1<<32 - 2, -1: 0, 1 << 32: 1} {
		if got := seed(&in); *got != want {
			t.Errorf("%d: %d, want %d", in, *got, want)
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, help string) string {
		path := dir + "/" + name
		body := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'version: 11434 (abc)'; else cat <<'X'\n" + help + "\nX\nfi\n"
		if err := os.WriteFile(path, []byte(body), 0o700); err != nil { // #nosec G306 -- a program
			t.Fatal(err)
		}
		return path
	}
	good := write("good", "-h, --help\n"+strings.Join(contract, " X\n"))
	h, err := Discover(good, nil).Engine(t.Context())
	if err != nil || h.Binary != good || h.Build != "llama-server 11434 (abc)" {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := Discover(write("old", "--host --model"), nil).Engine(t.Context()); err == nil || !strings.Contains(err.Error(), "--alias") {
		t.Errorf("an old server: %v", err)
	}
	if _, err := Discover(dir+"/none", nil).Engine(t.Context()); err == nil {
		t.Error("a missing server was accepted")
	}
}
