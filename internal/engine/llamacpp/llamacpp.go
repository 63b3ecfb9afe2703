// Package llamacpp drives llama.cpp's server: one supervised process per
// weights and mode, spoken to over a unix socket.
//
// Slots and context are set explicitly, never more requests are sent than there
// are slots, every reply streams, untrusted text never becomes control tokens,
// and prompt state is never shared between scopes.
package llamacpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/device"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// File is a model file and what the catalogue says of it.
type File struct {
	Path          string      // of the GGUF file
	Mode          engine.Mode // what the weights are for
	ContextTokens int         // limit of the weights; 0 leaves it to the file
	// Projector is the path of the GGUF file through which the weights see
	// images; "" when they see none.
	Projector string
	// Template replaces the chat template of the file; "" leaves it.
	Template string
}

// Weights finds model files.
type Weights interface {
	// File returns the installed file of weights. An error means that they are
	// unknown, not installed or not whole; an *apierr.Error is passed on, any
	// other becomes ModelNotReadyException.
	File(ctx context.Context, id string) (File, error)
}

// WeightsFunc makes Weights of a function.
type WeightsFunc func(ctx context.Context, id string) (File, error)

// File calls f.
func (f WeightsFunc) File(ctx context.Context, id string) (File, error) { return f(ctx, id) }

// Config is what New needs.
type Config struct {
	Weights   Weights   // required
	Installer Installer // required; see Discover

	// Slots is how many requests one process runs at once; 0 means 4. One that
	// embeds has a single slot: texts that the server works on together get
	// vectors that differ in their last digits from time to time.
	Slots      int
	MaxContext int // tokens per slot at most; 0 means 8192
	Threads    int // of one process; 0 means the physical cores less one
	// MemoryLimit is how many bytes all processes may take together; 0 means
	// three quarters of the machine's memory, negative means no limit.
	MemoryLimit int64
	// RunDir is a folder for sockets that nobody else uses; what sockets lie in
	// it are removed. "" means a new temporary folder. Its path must be short:
	// that of a socket may have 104 bytes.
	RunDir string
	// Devices finds what the server can compute on beside the CPU; nil means
	// ListDevices, on machines that have device nodes.
	Devices func(context.Context, Host) ([]device.Device, error)
	// Sandbox confines the processes; nil leaves them as free as this program.
	Sandbox *Sandbox

	QueueWait time.Duration // for a slot; 0 means limit.DefaultWait
	Queue     int           // requests that may wait for the slots of one process; 0 means limit.DefaultMaxQueue
	LoadWait  time.Duration // of one request for a load; 0 means 50 s
	LoadStall time.Duration // without a sign of life while loading; 0 means 5 min
	Stall     time.Duration // least silence of a busy process that counts as hung; 0 means 60 s
	Drain     time.Duration // for requests in flight when Run ends; 0 means 5 s

	// IdleSleep is after how long without a request a process gives the memory of its
	// weights back, and IdleUnload after how long it ends; 0 means never. What is
	// pinned does neither. A server that cannot sleep (see Host.Knows) does not.
	IdleSleep, IdleUnload time.Duration
	// Replicas is how many processes may serve the same weights at most; 0 means one
	// for each Threads of the cores that Outcrop does not keep for itself, at least
	// one. A further one is started when callers have waited for a slot for
	// ScaleAfter (0 means 2 s) and memory is free; it ends when one less would have
	// done for ScaleIdle (0 means 1 min).
	Replicas              int
	ScaleAfter, ScaleIdle time.Duration
	// Pin are ids of weights that are loaded at once, never leave, and come back
	// after every crash; Preload are ids of weights that are loaded at once. Those
	// that are not installed yet are loaded when they are.
	Pin, Preload []string
	// KVTokens is how many tokens the slots of one process share, input and output
	// together: requests wait until theirs fit. One request can always have its whole
	// context. 0 means that each slot has a context of its own.
	KVTokens int
	// Look is how often files of weights are looked at for new versions, and pinned
	// ones for their process; 0 means 2 s.
	Look time.Duration

	Now func() time.Time // nil means time.Now
	Log *slog.Logger     // nil discards
}

// slots is how many requests a process of some mode runs at once.
func (c *Config) slots(m engine.Mode) int {
	if m == engine.Embed {
		return 1
	}
	return c.Slots
}

// Engine is engine.Engine on llama.cpp. It starts processes only while Run
// runs; requests before that wait for it.
type Engine struct {
	cfg    Config
	ledger *ledger
	cards  cards
	seed   maphash.Seed // of prefixes
	pinned map[string]bool

	started  chan struct{} // closed when Run begins
	stopping chan struct{} // closed when Run's context ends

	sandboxed sync.Once // has told what the sandbox lacks

	hostMu sync.Mutex
	hosted *Host

	mu      sync.RWMutex
	base    context.Context // Run's; set before started is closed
	dir     string          // of sockets
	sockets int             // made so far
	closed  bool            // no new runners
	models  map[key]*model
	wg      sync.WaitGroup
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Reserver = (*Engine)(nil)
)

// New returns an engine. It starts nothing.
func New(c Config) *Engine {
	c.Slots = cmp.Or(c.Slots, 4)
	c.MaxContext = cmp.Or(c.MaxContext, 8192)
	c.Threads = cmp.Or(c.Threads, defaultThreads())
	c.LoadWait = cmp.Or(c.LoadWait, 50*time.Second)
	c.LoadStall = cmp.Or(c.LoadStall, 5*time.Minute)
	c.Stall = cmp.Or(c.Stall, time.Minute)
	c.Drain = cmp.Or(c.Drain, 5*time.Second)
	c.ScaleAfter = cmp.Or(c.ScaleAfter, 2*time.Second)
	c.ScaleIdle = cmp.Or(c.ScaleIdle, time.Minute)
	c.Look = cmp.Or(c.Look, 2*time.Second)
	if c.Replicas <= 0 {
		c.Replicas = max((cores()-1)/c.Threads, 1)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = totalMemory() / 4 * 3
	}
	e := &Engine{
		cfg: c, seed: maphash.MakeSeed(), pinned: map[string]bool{}, ledger: newLedger(max(c.MemoryLimit, 0), availableMemory), cards: cards{used: map[*runner]int64{}},
		started: make(chan struct{}), stopping: make(chan struct{}), models: map[key]*model{},
	}
	for _, id := range c.Pin {
		e.pinned[id] = true
	}
	return e
}

// socketLimit is the longest path that every system takes for a socket.
const socketLimit = 104

// Run supervises the processes until ctx ends, and returns when all of them are
// gone and their sockets removed. It may be called once.
func (e *Engine) Run(ctx context.Context) error {
	dir, remove, err := runDir(e.cfg.RunDir)
	if err != nil {
		return err
	}
	defer remove()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	if e.base != nil {
		e.mu.Unlock()
		return errors.New("llamacpp: Run was called twice")
	}
	e.base, e.dir = ctx, dir
	close(e.started)
	e.mu.Unlock()

	e.keep(ctx)
	e.mu.Lock()
	e.closed = true
	close(e.stopping)
	e.mu.Unlock()
	e.wg.Wait()
	return nil
}

// runDir makes the folder for sockets, private to this user and empty.
func runDir(dir string) (path string, remove func(), err error) {
	if dir == "" {
		dir, err = os.MkdirTemp("", "outcrop-")
		if err != nil {
			return "", nil, fmt.Errorf("folder for sockets: %w", err)
		}
		remove = func() { _ = os.RemoveAll(dir) }
	} else {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", nil, fmt.Errorf("folder for sockets: %w", err)
		}
		// #nosec G302 -- a folder must be entered
		if err := os.Chmod(dir, 0o700); err != nil {
			return "", nil, fmt.Errorf("folder for sockets: %w", err)
		}
		stale, err := filepath.Glob(filepath.Join(dir, "e*", socketName))
		if err != nil {
			return "", nil, fmt.Errorf("folder for sockets: %w", err)
		}
		for _, s := range stale { // left by a killed server; the engine would not start on one
			removeSocket(s)
		}
		remove = func() {}
	}
	if len(filepath.Join(dir, "e9999", socketName)) >= socketLimit {
		remove()
		return "", nil, fmt.Errorf("the path %s is too long for sockets: choose a shorter one", dir)
	}
	return dir, remove, nil
}

// socketName is the name of a process's socket in its folder.
const socketName = "s.sock"

// newSocket returns a path that no socket has had, in a new folder of its own, and
// the number of the process that it is for.
func (e *Engine) newSocket() (path string, n int, err error) {
	e.mu.Lock()
	e.sockets++
	n = e.sockets
	e.mu.Unlock()
	s := filepath.Join(e.dir, fmt.Sprintf("e%d", n), socketName)
	if len(s) >= socketLimit {
		return "", 0, fmt.Errorf("the path %s is too long for a socket", s)
	}
	removeSocket(s)
	if err := os.Mkdir(filepath.Dir(s), 0o700); err != nil {
		return "", 0, fmt.Errorf("folder for a socket: %w", err)
	}
	return s, n, nil
}

// removeSocket removes the folder that newSocket made, and what a process left there.
func removeSocket(path string) { _ = os.RemoveAll(filepath.Dir(path)) }

// secureSocket makes the socket the owner's alone, should the server's mask
// have left it open to others (the folder is closed to them anyway).
func secureSocket(path string) error {
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("secure the engine's socket: %w", err)
	}
	return nil
}

// host returns the installed server, installing it the first time. Only owners
// of processes call it, so an install never runs on a request's context.
func (e *Engine) host(ctx context.Context) (Host, error) {
	e.hostMu.Lock()
	defer e.hostMu.Unlock()
	if e.hosted != nil {
		return *e.hosted, nil
	}
	h, err := e.cfg.Installer.Engine(ctx)
	if err != nil {
		return Host{}, err
	}
	h = e.withDevices(ctx, h)
	e.hosted = &h
	return h, nil
}

// file finds the installed file of weights.
func (e *Engine) file(ctx context.Context, k key) (File, error) {
	file, err := e.cfg.Weights.File(ctx, k.weights)
	if err != nil {
		if ae, ok := errors.AsType[*apierr.Error](err); ok {
			return file, ae
		}
		return file, notReady(k.weights, "its weights are not installed.", err)
	}
	if file.Mode != k.mode {
		return file, notReady(k.weights, fmt.Sprintf("its weights are for %s, not for %s.", file.Mode, k.mode), nil)
	}
	return file, nil
}

// facts reads the header of weights.
func (e *Engine) facts(file File, k key) (*facts, error) {
	fa, err := readFacts(file, k.mode, e.cfg.slots(k.mode), e.cfg.MaxContext, e.cfg.KVTokens)
	if err != nil {
		return nil, notReady(k.weights, "its weights cannot be read; the server's log tells why.", err)
	}
	return fa, nil
}

// model returns the model of some weights, making it when they are there.
func (e *Engine) model(ctx context.Context, k key) (*model, error) {
	e.mu.RLock()
	m, closed := e.models[k], e.closed
	e.mu.RUnlock()
	if closed {
		return nil, errStopping
	}
	if m != nil {
		return m, nil
	}
	select {
	case <-e.started:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	file, err := e.file(ctx, k)
	if err != nil {
		return nil, err
	}
	fa, err := e.facts(file, k)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errStopping
	}
	if m := e.models[k]; m != nil {
		return m, nil
	}
	m = newModel(e, k, fa)
	e.models[k] = m
	for _, r := range m.runners {
		e.wg.Go(func() { r.run(e.base) })
	}
	return m, nil
}

// of returns the model of a target.
func (e *Engine) of(ctx context.Context, t engine.Target) (*model, error) {
	return e.model(ctx, key{t.Weights, t.Mode})
}

// Info tells the limits of weights from the header of their file. It loads them
// only to learn whether a template that speaks of tools knows calls too.
func (e *Engine) Info(ctx context.Context, t engine.Target) (engine.Info, error) {
	m, err := e.of(ctx, t)
	if err != nil {
		return engine.Info{}, err
	}
	fa := m.facts.Load()
	if fa.mayKnowTools && !fa.tested {
		i, err := m.acquire(ctx)
		if err != nil {
			return engine.Info{}, err
		}
		fa = i.facts
		i.leave()
	}
	return engine.Info{
		ContextTokens: fa.context, Dimensions: fa.dims, TokenBytes: fa.tokenBytes, TokenInk: fa.tokenInk,
		Tools: fa.tools, Images: fa.file.Projector != "",
	}, nil
}

// Load loads weights that are not loaded and waits for it, up to LoadWait.
func (e *Engine) Load(ctx context.Context, t engine.Target) error {
	m, err := e.of(ctx, t)
	if err != nil {
		return err
	}
	i, err := m.acquire(ctx)
	if err != nil {
		return err
	}
	i.leave()
	return nil
}

// Reserve implements engine.Reserver. It loads nothing.
func (e *Engine) Reserve(ctx context.Context, t engine.Target, holder string, n int) error {
	m, err := e.of(ctx, t)
	if err != nil {
		return err
	}
	return m.slots.Reserve(holder, n)
}

// Status tells about every process of what was wanted so far, ordered by weights,
// mode and number. What has no process has one line that says so.
func (e *Engine) Status() []Status {
	e.mu.RLock()
	all := make([]*model, 0, len(e.models))
	for _, m := range e.models {
		all = append(all, m)
	}
	e.mu.RUnlock()
	out := make([]Status, 0, len(all))
	for _, m := range all {
		out = append(out, m.status()...)
	}
	slices.SortFunc(out, compareStatus)
	return out
}
