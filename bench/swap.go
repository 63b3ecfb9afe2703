package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/bench/internal/stats"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// swapRun calls three models at random on a memory that holds two of them, and
// compares what each takes with what was estimated, and a swap with the start of
// the server alone.
type swapRun struct {
	last   time.Duration // of random calls
	swaps  int           // measured one by one after them, of each model
	folder string        // of installed models and engines
}

// swapWeights are the models of swapRun.
var swapWeights = []string{chatWeights, "gemma-3-270m", "all-minilm-l6-v2"}

// The bounds of an estimate, as a ratio to the memory that a process takes.
const (
	leastEstimate = 0.95
	mostEstimate  = 1.25
)

// swapper is the run's engine and what was seen of it.
type swapper struct {
	eng     *llamacpp.Engine
	targets []engine.Target
	stop    func() error
	dir     string // of the models' copies

	calls, refused, broken atomic.Int64 // broken: began, and did not end
	deaths                 atomic.Int64 // of processes, by themselves
	loads                  atomic.Int64

	mu     sync.Mutex
	warm   map[string]int                // pid of the process that has read a whole batch
	ratios map[string][]float64          // estimate to memory, of warm processes
	seen   map[string]llamacpp.Status    // the last warm one
	starts map[string][]time.Duration    // of swaps, measured alone
	bare   map[string][]time.Duration    // of the server alone
	alone  func(id string) time.Duration // starts the server alone
}

func (g *swapRun) measure(ctx context.Context, s *section) (err error) {
	w, err := g.start(ctx)
	if err != nil {
		return err
	}
	killed := oomKills()
	begin := time.Now()
	w.load(ctx, g.last)
	took := time.Since(begin)
	for range g.swaps {
		for _, t := range w.targets {
			begin := time.Now()
			if err := w.eng.Load(ctx, t); err != nil {
				return errors.Join(err, w.stop())
			}
			w.starts[t.Weights] = append(w.starts[t.Weights], time.Since(begin))
		}
	}
	if err := w.stop(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(w.dir)) }()
	for range g.swaps {
		for _, id := range swapWeights {
			w.bare[id] = append(w.bare[id], w.alone(id))
		}
	}
	s.Note = fmt.Sprintf("%d calls in %.1f minutes by 3 callers on 3 models, memory for 2; %d loads; %d calls were told to come back later.",
		w.calls.Load(), took.Minutes(), w.loads.Load(), w.refused.Load())
	zero := func(name string, n int64, note string) {
		s.Add(figure{Name: name, Value: float64(n), Bound: 0.5, Note: note})
	}
	zero("processes killed for memory", oomKills()-killed, "as the system counts them")
	zero("processes that died by themselves", w.deaths.Load(), "")
	zero("calls broken off, as by the eviction of a busy model", w.broken.Load(), fmt.Sprintf("of %d", w.calls.Load()))
	for _, id := range swapWeights {
		all := w.ratios[id]
		if len(all) == 0 {
			return fmt.Errorf("%s: no process was seen after its warm-up", id)
		}
		st := w.seen[id]
		least, most := all[0], all[0]
		for _, r := range all {
			least, most = min(least, r), max(most, r)
		}
		note := fmt.Sprintf("%d samples; at last %d MiB estimated, %d MiB taken", len(all), st.Estimate>>20, st.Memory>>20)
		s.Add(figure{Name: id + ": estimate to memory, least", Value: least, Bound: leastEstimate, Least: true, Note: note})
		s.Add(figure{Name: id + ": estimate to memory, most", Value: most, Bound: mostEstimate})
	}
	for _, id := range swapWeights {
		ours, bare := inSeconds(w.starts[id]), inSeconds(w.bare[id])
		s.Add(figure{Name: id + ": swap", Value: 1000 * stats.Median(ours), Unit: "ms", Note: "another model leaves, this one loads and passes its self-test"})
		s.Add(figure{Name: id + ": start of the server alone", Value: 1000 * stats.Median(bare), Unit: "ms"})
	}
	return nil
}

func inSeconds(all []time.Duration) []float64 {
	out := make([]float64, 0, len(all))
	for _, d := range all {
		out = append(out, d.Seconds())
	}
	return out
}

// start brings up the engine on copies of the models: pages that other programs map
// too would count in part.
func (g *swapRun) start(ctx context.Context) (_ *swapper, err error) {
	cat, err := catalog.New(catalog.Options{})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "swap-")
	if err != nil {
		return nil, fmt.Errorf("folder for models: %w", err)
	}
	w := &swapper{
		dir: dir, warm: map[string]int{}, ratios: map[string][]float64{}, seen: map[string]llamacpp.Status{},
		starts: map[string][]time.Duration{}, bare: map[string][]time.Duration{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	cfg := app.Config{EnginesDir: filepath.Join(g.folder, "engines"), Engine: app.Engine{Slots: 4, MaxContext: 8192}}
	store, err := weights.New(weights.Config{Dir: filepath.Join(g.folder, "models")})
	if err != nil {
		return nil, err
	}
	files := map[string]llamacpp.File{}
	for _, id := range swapWeights {
		c, ok := cat.WeightsByID(id)
		if !ok {
			return nil, fmt.Errorf("the catalogue has no weights %s", id)
		}
		path, ok := store.Path(id)
		if !ok {
			return nil, fmt.Errorf("%s is not installed: outcrop models pull %[1]s, and name its folder with -models", id)
		}
		own := filepath.Join(dir, id+".gguf")
		if err := copyFile(own, path); err != nil {
			return nil, err
		}
		files[id] = llamacpp.File{Path: own, Mode: engine.Mode(c.Mode), ContextTokens: c.ContextTokens}
		w.targets = append(w.targets, engine.Target{Weights: id, Mode: engine.Mode(c.Mode), Scope: "bench"})
	}
	c := app.LlamaCpp(cfg, cat, store, slog.New(&deathWatch{w}))
	c.Weights = llamacpp.WeightsFunc(func(_ context.Context, id string) (llamacpp.File, error) { return files[id], nil })
	// The two largest fit with what the third takes less than they do.
	c.MemoryLimit = 1600 << 20
	w.eng = llamacpp.New(c)
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.eng.Run(run) }()
	w.stop = func() error {
		stop()
		return <-ended
	}
	host, err := c.Installer.Engine(ctx)
	if err != nil {
		return nil, errors.Join(err, w.stop())
	}
	w.alone = func(id string) time.Duration { return startAlone(ctx, host, files[id], max(c.Threads, 1)) }
	return w, nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from) // #nosec G304 -- an installed model
	if err != nil {
		return fmt.Errorf("copy a model: %w", err)
	}
	defer in.Close()                                                       // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- in the run's own folder
	if err != nil {
		return fmt.Errorf("copy a model: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy a model: %w", err)
	}
	return nil
}

// load calls models at random until the time is over.
func (w *swapper) load(ctx context.Context, d time.Duration) {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i))) // #nosec G115 G404 -- a benchmark's
			for ctx.Err() == nil {
				t := w.targets[r.IntN(len(w.targets))]
				for range 1 + r.IntN(4) { // conversations stay with a model for a while
					w.call(ctx, t, r)
				}
			}
		})
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			w.look()
		case <-ctx.Done():
			wg.Wait()
			return
		}
	}
}

// call asks one model, for every third time with more than a batch of tokens.
func (w *swapper) call(ctx context.Context, t engine.Target, r *rand.Rand) {
	n := 1 + r.IntN(60)
	whole := r.IntN(3) == 0
	if whole {
		n = 600
	}
	text := strings.Repeat("The keeper counts the ships. ", (n+5)/6)
	var err error
	if t.Mode == engine.Embed {
		_, err = w.eng.Embed(ctx, t, &llm.EmbedRequest{Texts: []string{text}})
	} else {
		_, err = llm.Collect(w.eng.Generate(ctx, t, &llm.Request{
			Messages: []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: text}}}},
			Params:   llm.Params{MaxTokens: new(1 + r.IntN(16))},
		}))
	}
	if ctx.Err() != nil {
		return
	}
	w.calls.Add(1)
	switch e, _ := errors.AsType[*apierr.Error](err); {
	case err == nil && whole:
		for _, s := range w.eng.Status() {
			if s.Weights == t.Weights && s.State == llamacpp.Ready {
				w.mu.Lock()
				w.warm[t.Weights] = s.PID
				w.mu.Unlock()
			}
		}
	case err == nil:
	case e != nil && (e.Code == apierr.CodeThrottling || e.Code == apierr.CodeModelNotReady):
		w.refused.Add(1)
	default:
		w.broken.Add(1)
	}
}

// look samples the memory of processes that are warm.
func (w *swapper) look() {
	for _, s := range w.eng.Status() {
		w.mu.Lock()
		if s.State == llamacpp.Ready && s.PID == w.warm[s.Weights] && s.Memory > 0 {
			w.ratios[s.Weights] = append(w.ratios[s.Weights], float64(s.Estimate)/float64(s.Memory))
			w.seen[s.Weights] = s
		}
		w.mu.Unlock()
	}
}

// deathWatch is a log that counts loads and deaths.
type deathWatch struct{ w *swapper }

func (*deathWatch) Enabled(context.Context, slog.Level) bool { return true }

func (d *deathWatch) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case "engine process ready":
		d.w.loads.Add(1)
	case "engine process died":
		d.w.deaths.Add(1)
	}
	return nil
}

func (d *deathWatch) WithAttrs([]slog.Attr) slog.Handler { return d }

func (d *deathWatch) WithGroup(string) slog.Handler { return d }

// aloneScript starts the hosted server on argv[2:], a model, a socket and whether it
// embeds, with nothing of Outcrop around it.
const aloneScript = `
import os, sys
os.environ["LLAMA_SERVER_ROUTER_PORT"] = "1"
sys.path.insert(0, sys.argv[1])
import xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.hostnames = sys.argv[2], [sys.argv[3]]
embed = sys.argv[4] == "embed"
p.embedding, p.n_parallel = embed, 1 if embed else 4
p.n_ctx = 512 if embed else 4 * 8192
p.n_batch = p.n_ubatch = 512
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(sys.argv[5])
p.cache_ram_mib, p.verbosity = 0, 1
p.ui = p.fit_params = False
p.offline = True
server = xllamacpp.Server(p)
sys.stdin.read()
`

// startAlone is how long the hosted server takes from its start until it says that it
// is ready; 0 when it is not hosted or does not come up.
func startAlone(ctx context.Context, h llamacpp.Host, f llamacpp.File, threads int) time.Duration {
	socket := f.Path + ".sock"
	cmd := exec.CommandContext(ctx, h.Python, "-I", "-S", "-B", "-c", aloneScript, h.Site, f.Path, socket, string(f.Mode), strconv.Itoa(threads)) // #nosec G204 -- the installed engine
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0
	}
	begin := time.Now()
	if cmd.Start() != nil {
		return 0
	}
	var took time.Duration
	for lines := bufio.NewScanner(out); took == 0 && lines.Scan(); {
		if strings.Contains(lines.Text(), `"state":"ready"`) {
			took = time.Since(begin)
		}
	}
	_ = in.Close() // ends it; how does not matter
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	_ = os.Remove(socket)
	return took
}

// oomKills is how many processes the system has killed for memory; 0 where it does
// not tell.
func oomKills() int64 {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
