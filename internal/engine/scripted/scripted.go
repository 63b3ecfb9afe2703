// Package scripted is an engine that answers from a script: for tests and for
// benchmarks of everything above the engine. It loads no weights and starts no
// process.
package scripted

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Reply is one scripted answer. The zero value is an empty reply that ends the
// turn.
type Reply struct {
	// Text is the whole answer. It is cut into one delta per word, each with
	// the space before it; every delta counts as one token.
	Text string
	// Deltas, when set, are the deltas instead of Text's words.
	Deltas []string
	// Blocks, when set, are the answer instead of Text and Deltas.
	Blocks []Block
	// Err ends the reply after After deltas. With After 0 it comes before the
	// first event.
	Err   error
	After int
	// Endless repeats the deltas until the stop conditions of the request, the
	// context or the reader end the reply.
	Endless bool
	// Block waits for the end of the context (or Kill) after the deltas.
	Block bool
	// Pace, when set, is called before delta i (from 0); an error ends the
	// reply with it. Tests put their delays here.
	Pace func(ctx context.Context, i int) error
	// Reason is why the reply ends by itself; "" means ToolUse after a call and
	// EndTurn after anything else.
	Reason llm.StopReason
	// InputTokens, when not 0, is reported instead of the counted ones.
	InputTokens int
	// ReusedTokens is reported as it is.
	ReusedTokens int

	steps []step
}

// Block is one block of a scripted answer: text, reasoning or a call.
type Block struct {
	Kind llm.BlockKind // 0 means Text
	// Text is text, thoughts, or the JSON input of a call. It is cut into deltas
	// as Reply.Text is.
	Text      string
	Deltas    []string // when set, the deltas instead of Text's words
	Name      string   // ToolCall: of the tool
	ID        string   // ToolCall: "" means "tooluse_" and a number, from 1 in each reply
	Signature string   // Reasoning
}

// step is one delta of a reply and the block it belongs to.
type step struct {
	block int
	text  string
}

// prepare cuts the reply into steps.
func (r *Reply) prepare() {
	if r.Blocks == nil {
		r.Blocks = []Block{{Text: r.Text, Deltas: r.Deltas}}
	} else {
		r.Blocks = append([]Block(nil), r.Blocks...)
	}
	r.steps = nil
	calls := 0
	for i := range r.Blocks {
		b := &r.Blocks[i]
		if b.Kind == 0 {
			b.Kind = llm.Text
		}
		if b.Kind == llm.ToolCall {
			if calls++; b.ID == "" {
				b.ID = fmt.Sprintf("tooluse_%d", calls)
			}
		}
		deltas := b.Deltas
		if deltas == nil {
			deltas = Split(b.Text)
		}
		for _, text := range deltas {
			r.steps = append(r.steps, step{i, text})
		}
		if len(deltas) == 0 && (len(r.Blocks) > 1 || b.Kind != llm.Text) {
			r.steps = append(r.steps, step{i, ""})
		}
	}
}

// Engine is the scripted engine. Set its fields before first use; after that it
// is safe for concurrent use.
type Engine struct {
	Context    int                                    // tokens of Info; 0 means 8192
	Dimensions int                                    // of embeddings; 0 means 384
	Tools      bool                                   // Info.Tools
	Images     bool                                   // Info.Images
	Missing    []string                               // ids of weights that answer ModelNotReadyException
	Observe    func(engine.Target, *llm.Request)      // called with every request of Generate
	ObserveEmb func(engine.Target, *llm.EmbedRequest) // called with every request of Embed

	// Script, when set, is asked for the reply to every request before the list
	// of New; nil leaves it to the list. It must be safe for concurrent use.
	Script func(engine.Target, *llm.Request) *Reply

	// Limit, when set, gives each weights slots of its own, which replies and
	// embeddings wait for. nil: nobody waits, and nothing can be reserved.
	Limit *limit.SlotsConfig

	replies []Reply
	next    atomic.Int64

	mu    sync.Mutex
	dead  chan struct{} // closed by Kill
	slots map[string]*limit.Slots
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Reserver = (*Engine)(nil)
)

// New returns an engine that gives the replies in order, one per Generate, and
// the last one again and again after that. Without replies it says "Hello from
// the script.".
func New(replies ...Reply) *Engine {
	if len(replies) == 0 {
		replies = []Reply{{Text: "Hello from the script."}}
	}
	e := &Engine{replies: append([]Reply(nil), replies...), dead: make(chan struct{})}
	for i := range e.replies {
		e.replies[i].prepare()
	}
	return e
}

// Split cuts a text as New does: one piece per word, with the white space before
// it; white space at the end is a piece of its own. Joined, the pieces are text.
func Split(text string) []string {
	var out []string
	start, inWord := 0, false
	for i, r := range text {
		space := r == ' ' || r == '\n' || r == '\t'
		if space && inWord {
			out = append(out, text[start:i])
			start = i
		}
		inWord = !space
	}
	if start < len(text) {
		out = append(out, text[start:])
	}
	return out
}

// Calls tells how many replies have been asked for.
func (e *Engine) Calls() int { return int(e.next.Load()) }

// Kill fails every request in flight, as the death of a model server would. The
// engine works on after it.
func (e *Engine) Kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.dead)
	e.dead = make(chan struct{})
}

func (e *Engine) death() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dead
}

// Generate plays the next reply. It obeys MaxTokens, Stop and BuiltinStop as an
// engine does.
func (e *Engine) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return func(yield func(llm.Event, error) bool) {
		if err := e.ready(t); err != nil {
			yield(llm.Event{}, err)
			return
		}
		lease, release, err := e.lease(ctx, t, count(r)+*cmp.Or(r.Params.MaxTokens, new(0)))
		if err != nil {
			yield(llm.Event{}, err)
			return
		}
		n := min(e.next.Add(1), int64(len(e.replies)))
		if e.Observe != nil {
			e.Observe(t, r)
		}
		reply := &e.replies[n-1]
		if e.Script != nil {
			if made := e.Script(t, r); made != nil {
				own := *made
				own.prepare()
				reply = &own
			}
		}
		p := player{reply: reply, block: -1, req: r, dead: e.death(), yield: yield, begin: time.Now()}
		defer func() { release(p.usage.InputTokens + p.usage.OutputTokens) }()
		if e.Limit != nil {
			p.served = &llm.Served{Queued: lease.Waited}
		}
		if p.usage.InputTokens = p.reply.InputTokens; p.usage.InputTokens == 0 {
			p.usage.InputTokens = count(r)
		}
		p.usage.ReusedTokens = p.reply.ReusedTokens
		if err := p.play(ctx); err != nil {
			yield(llm.Event{}, err)
		}
	}
}

// Count returns the words of the request, 2 per message, system text, tool, call
// and result, and 16 per image: what Generate reports unless the reply says
// otherwise.
func (e *Engine) Count(_ context.Context, t engine.Target, r *llm.Request) (int, error) {
	if err := e.ready(t); err != nil {
		return 0, err
	}
	return count(r), nil
}

// Embed returns a vector that depends on the text alone: equal texts have equal
// vectors, different texts nearly orthogonal ones. A text's tokens are its words
// and 2 more.
func (e *Engine) Embed(ctx context.Context, t engine.Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	if err := e.ready(t); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size := 0
	for _, text := range r.Texts {
		size += words(text) + 2
	}
	_, release, err := e.lease(ctx, t, size)
	if err != nil {
		return nil, err
	}
	defer release(size)
	if e.ObserveEmb != nil {
		e.ObserveEmb(t, r)
	}
	begin := time.Now()
	out := &llm.EmbedResponse{Vectors: make([][]float32, len(r.Texts)), Tokens: make([]int, len(r.Texts))}
	for i, text := range r.Texts {
		out.Tokens[i] = words(text) + 2
	}
	if r.Check != nil {
		if err := r.Check(out.Tokens); err != nil {
			return nil, err
		}
	}
	for i, text := range r.Texts {
		out.Vectors[i] = vector(text, e.dimensions())
	}
	out.Latency = time.Since(begin)
	return out, nil
}

// Info tells the configured limits.
func (e *Engine) Info(_ context.Context, t engine.Target) (engine.Info, error) {
	if err := e.ready(t); err != nil {
		return engine.Info{}, err
	}
	info := engine.Info{ContextTokens: e.Context, Tools: e.Tools, Images: e.Images}
	if info.ContextTokens == 0 {
		info.ContextTokens = 8192
	}
	if t.Mode == engine.Embed {
		info.Dimensions = e.dimensions()
	}
	return info, nil
}

// Slots are those of some weights; nil without Limit.
func (e *Engine) Slots(weights string) *limit.Slots {
	if e.Limit == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.slots[weights]
	if s == nil {
		if e.slots == nil {
			e.slots = map[string]*limit.Slots{}
		}
		s = limit.NewSlots(*e.Limit)
		e.slots[weights] = s
	}
	return s
}

// lease takes a slot for so many tokens; release gives it back.
func (e *Engine) lease(ctx context.Context, t engine.Target, tokens int) (l limit.Lease, release func(used int), err error) {
	s := e.Slots(t.Weights)
	if s == nil {
		return l, func(int) {}, nil
	}
	l, err = s.Acquire(ctx, limit.Ask{Scope: t.Scope, Tier: limit.TierOf(t.Tier), Tokens: tokens, Reserved: t.Reserved})
	return l, func(used int) { s.Release(l, used) }, err
}

// Reserve implements engine.Reserver.
func (e *Engine) Reserve(_ context.Context, t engine.Target, holder string, n int) error {
	if err := e.ready(t); err != nil {
		return err
	}
	s := e.Slots(t.Weights)
	if s == nil {
		return apierr.QuotaExceeded("The scripted engine has no slots to set aside.")
	}
	return s.Reserve(holder, n)
}

// Run waits for ctx: there is nothing to supervise.
func (e *Engine) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (e *Engine) dimensions() int {
	if e.Dimensions == 0 {
		return 384
	}
	return e.Dimensions
}

func (e *Engine) ready(t engine.Target) error {
	for _, id := range e.Missing {
		if id == t.Weights {
			return apierr.ModelNotReady("The weights %q are not installed.", id)
		}
	}
	return nil
}

// imageTokens is what an image costs, whatever its size.
const imageTokens = 16

// count is the scripted tokenizer: words, 2 per message, system text, tool, call
// and result, and 16 per image. A raw prompt has words alone.
func count(r *llm.Request) int {
	if r.Raw != "" {
		return words(r.Raw)
	}
	n := 0
	for _, s := range r.System {
		n += words(s) + 2
	}
	for i := range r.Tools {
		t := &r.Tools[i]
		n += words(t.Name) + words(t.Description) + words(string(t.Schema)) + 2
	}
	for i := range r.Messages {
		n += 2 + countBlocks(r.Messages[i].Content)
	}
	return n
}

func countBlocks(blocks []llm.Block) int {
	n := 0
	for i := range blocks {
		switch b := &blocks[i]; b.Kind {
		case llm.Image:
			n += imageTokens
		case llm.ToolCall:
			n += words(b.Call.Name) + words(string(b.Call.Input)) + 2
		case llm.ToolResult:
			n += countBlocks(b.Result.Content) + 2
		default:
			n += words(b.Text)
		}
	}
	return n
}

// words counts without making anything.
func words(s string) int {
	n, in := 0, false
	for i := range len(s) {
		space := s[i] == ' ' || s[i] == '\n' || s[i] == '\t'
		if !space && !in {
			n++
		}
		in = !space
	}
	return n
}

// vector derives dims coordinates from the text (FNV-1a into splitmix64) and
// scales them to length 1.
func vector(text string, dims int) []float32 {
	seed := uint64(14695981039346656037)
	for i := range len(text) {
		seed = (seed ^ uint64(text[i])) * 1099511628211
	}
	v := make([]float32, dims)
	var sum float64
	for i := range v {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		x := float64(z>>11)/(1<<52) - 1 // -1..1
		v[i] = float32(x)
		sum += x * x
	}
	scale := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= scale
	}
	return v
}
