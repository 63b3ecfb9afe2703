// Package openai is the engine over servers that speak OpenAI's HTTP API: vLLM,
// SGLang, llama.cpp's own server, Ollama, Ray Serve, and gateways such as KServe
// with llm-d in front of them.
//
// Replies are always streamed. What the servers do differently is told by their
// Kind: how tokens are counted, how output is made to follow a grammar, how a turn
// of the assistant is continued, and how prompts of different accounts are kept
// apart. What was asked of a server and what it answered reach neither logs nor
// errors.
package openai

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Kind is the program that serves.
type Kind string

// The kinds.
const (
	LlamaServer Kind = "llama-server" // llama.cpp's own server
	VLLM        Kind = "vllm"
	SGLang      Kind = "sglang"
	Ollama      Kind = "ollama"
	Other       Kind = "openai" // anything else: only what OpenAI's API itself has
)

// Kinds are all there are.
func Kinds() []Kind { return []Kind{LlamaServer, VLLM, SGLang, Ollama, Other} }

// Defaults of Upstream.
const (
	DefaultConcurrent = 64
	DefaultFirstByte  = 120 * time.Second
	DefaultIdle       = 60 * time.Second
)

// Upstream is one server and the model on it.
type Upstream struct {
	// URL is where the API lies, http or https, with or without /v1 at its end.
	URL string
	// Kind of the server; "" finds out by asking it.
	Kind Kind
	// Model is its name at the server; "" takes the only one that the server lists.
	Model string
	// Mode says what the model is for.
	Mode engine.Mode
	// Key is sent as bearer token; none without one.
	Key secret.Value
	// Header is sent with every request.
	Header http.Header
	// Transport makes the connections; required. It bounds how long connecting may
	// take.
	Transport http.RoundTripper
	// Concurrent is how many generations run at a time; the others wait here. 0
	// means DefaultConcurrent.
	Concurrent int
	// MaxTokens is how many tokens those that run may hold together, input and output
	// limits; a request for more runs alone. 0 means any number.
	MaxTokens int
	// ContextTokens bounds one request, input and output together; 0 means what
	// the server tells.
	ContextTokens int
	// FirstByte is how long the first event of a reply may take, and every answer
	// that is not a stream; Idle is the longest time between two events. 0 means
	// DefaultFirstByte and DefaultIdle.
	FirstByte, Idle time.Duration
	// Tools, Images and Thoughts say that the model takes tools, sees images and
	// thinks before it answers. llama-server tells itself; for the others they are
	// false unless set.
	Tools, Images, Thoughts bool
	// SpecialTokens are control tokens of the vocabulary. llama-server tells its
	// own, and vLLM with --enable-tokenizer-info-endpoint; for the others they are
	// added to those that common vocabularies have (see markers).
	SpecialTokens []string
	// Exclusive says that nobody but this process uses a llama-server, which runs
	// with --cache-ram 0 and at least Concurrent slots: then a slot's prompt state
	// is used again, by the account that made it. Without it no state is.
	Exclusive bool
	// Scopes are the accounts that may use a server that cannot keep the prompts of
	// accounts apart (kinds ollama and openai): its cache would tell one account by
	// its speed what another one asked. "*" are all.
	Scopes []string
	// Gateway is what stands before the servers: "llm-d" or "".
	Gateway string
}

// LLMD is the Gateway that takes the headers of the llm-d router.
const LLMD = "llm-d"

// Config of an Engine.
type Config struct {
	// Upstreams by the id of the weights that they serve.
	Upstreams map[string]Upstream
	// Salt is a secret that the names under which servers keep accounts apart are
	// made with. Servers of several processes share a cache when they share it.
	Salt []byte
	// QueueWait is how long a request may wait for its turn; 0 means
	// limit.DefaultWait.
	QueueWait time.Duration
	// Queue is how many requests may wait for one server; 0 means
	// limit.DefaultMaxQueue.
	Queue int
	Log   *slog.Logger // nil discards
}

// Engine runs requests on servers that speak OpenAI's API. It implements
// engine.Engine.
type Engine struct {
	c         Config
	seed      maphash.Seed
	fleet     *remote.Fleet
	upstreams map[string]*upstream
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Reserver = (*Engine)(nil)
	_ engine.Liner    = (*Engine)(nil)
)

// upstream is a server in use.
type upstream struct {
	*remote.Server
	c       Upstream
	streams sync.Pool // of *reply.Stream that have ended

	facts    atomic.Pointer[facts] // nil until the server told them
	learning chan struct{}         // holds a value while somebody asks for them
	last     *facts                // of before a failure; guarded by learning
	failed   error                 // of the last attempt; guarded by learning
	failedAt time.Time             // guarded by learning
}

// New returns an Engine. It connects to nothing.
//
// Errors name the upstream and what is wrong with its configuration.
func New(c Config) (*Engine, error) {
	e := &Engine{c: c, seed: maphash.MakeSeed(), fleet: remote.NewFleet(c.Log), upstreams: make(map[string]*upstream, len(c.Upstreams))}
	for id, u := range c.Upstreams {
		base, err := u.check()
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", id, err)
		}
		u.Concurrent = cmp.Or(u.Concurrent, DefaultConcurrent)
		u.FirstByte = cmp.Or(u.FirstByte, DefaultFirstByte)
		u.Idle = cmp.Or(u.Idle, DefaultIdle)
		e.upstreams[id] = &upstream{c: u, learning: make(chan struct{}, 1), Server: e.fleet.Add(remote.Config{
			Weights: id, Mode: u.Mode, Base: base, Transport: u.Transport, Header: u.Header, Key: u.Key, Refused: answered,
			Slots: limit.SlotsConfig{N: u.Concurrent, Tokens: u.MaxTokens, Wait: c.QueueWait, MaxQueue: c.Queue},
		})}
	}
	return e, nil
}

// check refuses what cannot work and returns the address without /v1.
func (u *Upstream) check() (string, error) {
	base, err := remote.Address(u.URL, "/v1")
	switch {
	case err != nil:
		return "", err
	case u.Transport == nil:
		return "", errors.New("no transport")
	case u.Kind != "" && !slices.Contains(Kinds(), u.Kind):
		return "", fmt.Errorf("kind: want one of %v, not %q", Kinds(), u.Kind)
	case u.Mode != engine.Chat && u.Mode != engine.Completion && u.Mode != engine.Embed && u.Mode != engine.Rank:
		return "", fmt.Errorf("mode: want chat, completion, embed or rank, not %q", u.Mode)
	case u.Gateway != "" && u.Gateway != LLMD:
		return "", fmt.Errorf("gateway: want %s or nothing, not %q", LLMD, u.Gateway)
	case u.Concurrent < 0 || u.MaxTokens < 0 || u.ContextTokens < 0 || u.FirstByte < 0 || u.Idle < 0:
		return "", errors.New("concurrent, context_tokens and the timeouts must not be negative")
	case u.Exclusive && u.Kind != LlamaServer:
		return "", errors.New("exclusive: only for kind llama-server")
	}
	return base, nil
}

// Run waits for the end of ctx, then breaks off what is still running and closes
// the connections.
func (e *Engine) Run(ctx context.Context) error { return e.fleet.Run(ctx) }

// Info asks the server for its limits, once.
func (e *Engine) Info(ctx context.Context, t engine.Target) (engine.Info, error) {
	_, fa, err := e.find(ctx, t)
	if err != nil {
		return engine.Info{}, err
	}
	return engine.Info{ContextTokens: fa.context, Dimensions: fa.dims, Tools: fa.tools, Images: fa.images}, nil
}

// Reserve implements engine.Reserver: of the generations that the server is sent
// at a time. It asks the server nothing.
func (e *Engine) Reserve(_ context.Context, t engine.Target, holder string, n int) error {
	u := e.upstreams[t.Weights]
	if u == nil {
		return apierr.ModelNotReady("The model %q is not ready: no server is configured for it.", t.Weights)
	}
	return u.Slots.Reserve(holder, n)
}

// Lines implements engine.Liner.
func (e *Engine) Lines() []engine.Line { return e.fleet.Lines() }

// find returns the server of some weights and what is known of it.
func (e *Engine) find(ctx context.Context, t engine.Target) (*upstream, *facts, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	u := e.upstreams[t.Weights]
	if u == nil {
		return nil, nil, apierr.ModelNotReady("The model %q is not ready: no server is configured for it.", t.Weights)
	}
	if t.Mode != u.c.Mode {
		return nil, nil, apierr.ModelNotReady("The model %q is not ready: its server is configured for mode %s.", t.Weights, u.c.Mode)
	}
	fa, err := u.know(ctx)
	if err != nil {
		return nil, nil, err
	}
	if fa.shared() && !slices.Contains(u.c.Scopes, "*") && !slices.Contains(u.c.Scopes, t.Scope) {
		return nil, nil, apierr.AccessDenied("The server of the model %q cannot keep the prompts of accounts apart, and its operator has not opened it to this account.", t.Weights)
	}
	return u, fa, nil
}

// mac is the part of an account's name that a server may see, for one purpose.
func (e *Engine) mac(purpose, scope string) []byte {
	h := hmac.New(sha256.New, e.c.Salt)
	_, _ = h.Write([]byte(purpose + "\x00" + scope)) // never fails
	return h.Sum(nil)
}

// salt is the name under which a server keeps the prompts of an account.
func (e *Engine) salt(scope string) string {
	return base64.RawURLEncoding.EncodeToString(e.mac("cache", scope))
}

// routing are the headers for the gateway before a server. Fairness ids are at
// most 1,000, which is what the llm-d router keeps numbers for; objectives are the
// service tiers.
func (e *Engine) routing(u *upstream, t engine.Target) http.Header {
	if u.c.Gateway != LLMD {
		return nil
	}
	h := http.Header{}
	n := binary.BigEndian.Uint32(e.mac("fairness", t.Scope)) % 1000
	h.Set("X-Llm-D-Inference-Fairness-Id", fmt.Sprintf("account-%03d", n))
	if t.Tier != "" {
		h.Set("X-Llm-D-Inference-Objective", t.Tier)
	}
	return h
}
