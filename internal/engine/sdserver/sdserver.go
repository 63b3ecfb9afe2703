// Package sdserver is the engine over servers that make pictures:
// stable-diffusion.cpp's sd-server, over its own API, and servers that speak
// OpenAI's images API.
//
// What a server cannot do is refused by its name. What was asked of a server and
// what it answered reach neither logs nor errors.
package sdserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Kind is how a server is spoken to.
type Kind string

// The kinds.
const (
	SDServer     Kind = "sd-server"     // stable-diffusion.cpp's server, its own API
	OpenAIImages Kind = "openai-images" // OpenAI's images API
)

// Kinds are all there are.
func Kinds() []Kind { return []Kind{SDServer, OpenAIImages} }

// Defaults of Upstream.
const (
	DefaultConcurrent = 2 // sd-server itself makes one after the other
	DefaultTimeout    = 5 * time.Minute
)

// Size is one of a picture, in pixels.
type Size struct{ Width, Height int }

// Upstream is one server and the model on it.
type Upstream struct {
	// URL is where the API lies, http or https, with or without /v1 at its end.
	URL  string
	Kind Kind
	// Model is its name at the server; "" leaves it to a server that has one.
	Model string
	// Key is sent as bearer token; none without one.
	Key secret.Value
	// Header is sent with every request.
	Header http.Header
	// Transport makes the connections; required.
	Transport http.RoundTripper
	// Concurrent is how many requests run at a time; the others wait here. 0 means
	// DefaultConcurrent.
	Concurrent int
	// Timeout is how long the pictures of one request may take; 0 means
	// DefaultTimeout.
	Timeout time.Duration
	// Sampling says that an OpenAIImages server takes negative_prompt, seed,
	// num_inference_steps and guidance_scale beside OpenAI's own fields, as vLLM-Omni
	// does. Each picture is a request of its own then, with a seed of its own.
	Sampling bool
	// Sizes are all that an OpenAIImages server makes; the one of the nearest shape
	// is asked for. None means any.
	Sizes []Size
}

// Config of an Engine.
type Config struct {
	// Upstreams by the id of the weights that they serve.
	Upstreams map[string]Upstream
	// QueueWait is how long a request may wait for its turn; 0 means
	// limit.DefaultWait. Queue is how many may wait for one server; 0 means
	// limit.DefaultMaxQueue.
	QueueWait time.Duration
	Queue     int
	Log       *slog.Logger // nil discards
}

// Engine makes pictures on other servers. It implements engine.Engine, whose
// methods for text refuse, and engine.Painter.
type Engine struct {
	fleet     *remote.Fleet
	upstreams map[string]*upstream
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Painter  = (*Engine)(nil)
	_ engine.Prober   = (*Engine)(nil)
	_ engine.Reserver = (*Engine)(nil)
	_ engine.Liner    = (*Engine)(nil)
)

// upstream is a server in use.
type upstream struct {
	*remote.Server
	c   Upstream
	can atomic.Pointer[abilities] // of an sd-server; nil until it told them
}

// New returns an Engine. It connects to nothing.
//
// Errors name the weights and what is wrong with their configuration.
func New(c Config) (*Engine, error) {
	e := &Engine{fleet: remote.NewFleet(c.Log), upstreams: make(map[string]*upstream, len(c.Upstreams))}
	for id, u := range c.Upstreams {
		base, err := u.check()
		if err != nil {
			return nil, fmt.Errorf("upstream of %s: %w", id, err)
		}
		u.Concurrent = cmp.Or(u.Concurrent, DefaultConcurrent)
		u.Timeout = cmp.Or(u.Timeout, DefaultTimeout)
		e.upstreams[id] = &upstream{c: u, Server: e.fleet.Add(remote.Config{
			Weights: id, Mode: engine.Image, Base: base, Transport: u.Transport, Header: u.Header, Key: u.Key, Refused: refused,
			Slots: limit.SlotsConfig{N: u.Concurrent, Wait: c.QueueWait, MaxQueue: c.Queue},
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
	case !slices.Contains(Kinds(), u.Kind):
		return "", fmt.Errorf("kind: want one of %v, not %q", Kinds(), u.Kind)
	case u.Kind == SDServer && (u.Sampling || len(u.Sizes) > 0):
		return "", errors.New("image_sampling, image_sizes: not for kind sd-server, which takes everything")
	case u.Concurrent < 0 || u.Timeout < 0:
		return "", errors.New("concurrent and the timeouts must not be negative")
	case slices.ContainsFunc(u.Sizes, func(s Size) bool { return s.Width < 1 || s.Height < 1 }):
		return "", errors.New("image_sizes: want such as 1024x1024")
	}
	return base, nil
}

// Run waits for the end of ctx, then breaks off what is still running and closes
// the connections.
func (e *Engine) Run(ctx context.Context) error { return e.fleet.Run(ctx) }

// find returns the server of some weights.
func (e *Engine) find(t engine.Target) (*upstream, error) {
	u := e.upstreams[t.Weights]
	if u == nil || t.Mode != engine.Image {
		return nil, apierr.ModelNotReady("The model %q is not ready: no server is configured for it.", t.Weights)
	}
	return u, nil
}

// Info tells nothing but whether there is a server.
func (e *Engine) Info(_ context.Context, t engine.Target) (engine.Info, error) {
	_, err := e.find(t)
	return engine.Info{}, err
}

func noText(t engine.Target) error {
	return apierr.Validation("The model %q makes pictures alone.", t.Weights)
}

// Generate refuses: the servers make pictures.
func (e *Engine) Generate(_ context.Context, t engine.Target, _ *llm.Request) llm.Events {
	return llm.Fail(noText(t))
}

// Count refuses: the servers make pictures.
func (e *Engine) Count(_ context.Context, t engine.Target, _ *llm.Request) (int, error) {
	return 0, noText(t)
}

// Embed refuses: the servers make pictures.
func (e *Engine) Embed(_ context.Context, t engine.Target, _ *llm.EmbedRequest) (*llm.EmbedResponse, error) {
	return nil, noText(t)
}

// Reserve implements engine.Reserver: of the requests that the server is sent at a
// time. It asks the server nothing.
func (e *Engine) Reserve(_ context.Context, t engine.Target, holder string, n int) error {
	u, err := e.find(t)
	if err != nil {
		return err
	}
	return u.Slots.Reserve(holder, n)
}

// Lines implements engine.Liner.
func (e *Engine) Lines() []engine.Line { return e.fleet.Lines() }

// Probe implements engine.Prober.
func (e *Engine) Probe(ctx context.Context, t engine.Target) error {
	u := e.upstreams[t.Weights]
	if u == nil {
		return apierr.ModelNotReady("The model %q is not ready: no server is configured for it.", t.Weights)
	}
	path := "/v1/models"
	if u.c.Kind == SDServer {
		path = "/sdcpp/v1/capabilities"
	}
	var out map[string]any
	err := u.get(ctx, path, maxAnswer, &out)
	if se, ok := errors.AsType[*serverError](err); ok && se.Status < http.StatusInternalServerError {
		return nil
	}
	if err != nil {
		return u.failure(ctx, err)
	}
	return nil
}

// Picture implements engine.Painter.
//
// An sd-server takes every setting of r; what it made and is waited for no longer is
// taken off its queue. A server of OpenAI's API is told in the prompt what it has
// no setting for: what should not be seen, the style, the colours. Steps, guidance
// and strength it chooses itself, and the seeds of the answer mean nothing to it,
// unless Upstream.Sampling is set.
func (e *Engine) Picture(ctx context.Context, t engine.Target, r *llm.PictureRequest) (*llm.PictureResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u, err := e.find(t)
	if err != nil {
		return nil, err
	}
	if err := u.takes(r); err != nil {
		return nil, err
	}
	lease, err := u.Acquire(ctx, &t, r.Count)
	if err != nil {
		return nil, err
	}
	defer u.Slots.Release(lease, r.Count)
	begin := time.Now()
	seed := int64(rand.Uint32N(1 << 31)) // #nosec G404 -- a seed is no secret
	if r.Seed != nil {
		seed = *r.Seed
	}
	var images [][]byte
	err = e.fleet.Within(ctx, u.c.Timeout, func(ctx context.Context) (err error) {
		if u.c.Kind == SDServer {
			images, err = u.native(ctx, r, seed)
		} else {
			images, err = u.openai(ctx, r, seed)
		}
		return err
	}, u.failure)
	if err != nil {
		return nil, err
	}
	out := &llm.PictureResponse{Images: images, Latency: time.Since(begin)}
	for i := range images {
		out.Seeds = append(out.Seeds, seed+int64(i))
	}
	return out, nil
}

// takes refuses what the server cannot do.
func (u *upstream) takes(r *llm.PictureRequest) error {
	can := false
	switch r.Task {
	case llm.TextToImage, llm.ImageToImage, llm.Inpaint, llm.Outpaint, llm.Variation:
		can = true
	case llm.ColorGuided:
		can = u.c.Kind == OpenAIImages
	case llm.RemoveBackground:
		can = u.transparent() && r.Format == "png"
	}
	switch {
	case !can:
		return apierr.Validation("The server of the model %q cannot do the task %s.", u.ID, strings.ReplaceAll(string(r.Task), "_", " "))
	case r.MaskPrompt != "":
		return apierr.Validation("maskPrompt: the server of the model %q cannot find what a mask in words means (task %s). Give the mask as an image.", u.ID, r.Task)
	case u.c.Kind == SDServer && len(r.Images) > 1:
		return apierr.Validation("The server of the model %q makes the task %s of one picture, not of %d.", u.ID, strings.ReplaceAll(string(r.Task), "_", " "), len(r.Images))
	}
	return nil
}

// prompt is what the picture should show, in words that no server reads as
// commands: stable-diffusion.cpp's server takes settings out of prompts, and others
// load adapters that they name.
func prompt(r *llm.PictureRequest) string {
	text := r.Prompt
	if text == "" {
		switch r.Task {
		case llm.Inpaint, llm.Outpaint:
			text = "the surroundings, continued"
		case llm.RemoveBackground:
			text = "Remove the background. Keep the subject exactly as it is."
		default:
			text = "a variation of the picture"
		}
	}
	if r.Style != "" {
		text += ", " + strings.ReplaceAll(strings.ToLower(r.Style), "_", " ") + " style"
	}
	return harmless(text)
}

// harmless breaks the marks of commands up with a zero width space.
func harmless(text string) string {
	return strings.NewReplacer(
		"sd_cpp_extra_args", "sd_cpp_extra_\u200bargs", "<lora:", "<\u200blora:", "<lyco:", "<\u200blyco:", "<hypernet:", "<\u200bhypernet:",
	).Replace(text)
}
