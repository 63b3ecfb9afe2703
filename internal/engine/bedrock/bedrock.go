// Package bedrock is the engine over another Bedrock: the one of AWS, or another
// Outcrop. Conversations go out as ConverseStream, signed anew with the engine's
// own credentials, embeddings as InvokeModel.
//
// Nothing of a caller but his text, tools and images goes out: no account, no
// request metadata, no cache point. All callers share one account there.
package bedrock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// Defaults of Upstream.
const (
	DefaultConcurrent = 64
	DefaultFirstByte  = 120 * time.Second
	DefaultIdle       = 60 * time.Second
)

// Credentials signs for an upstream.
type Credentials interface {
	// Credentials returns what to sign the next request with. It is called for
	// every request, so temporary ones can be replaced while the server runs.
	Credentials() (Keys, error)
}

// Keys are an access key of AWS.
type Keys struct {
	AccessKeyID string
	Secret      secret.Value
	Session     secret.Value // session token; zero for a long-term key
}

// Upstream is one model of another Bedrock.
type Upstream struct {
	// URL is where the API lies, http or https; "" is AWS's own of the Region,
	// https://bedrock-runtime.REGION.amazonaws.com.
	URL string
	// Region is the one that requests are signed for. Required.
	Region string
	// Model is its id there, or the id or ARN of an inference profile. Required.
	Model string
	// Mode says what the model is for: engine.Chat or engine.Embed.
	Mode engine.Mode
	// Credentials sign every request; Key is sent as bearer token instead. Exactly
	// one of them is set.
	Credentials Credentials
	Key         secret.Value
	// Header is sent with every request. It is not signed.
	Header http.Header
	// Transport makes the connections; required. It bounds how long connecting may
	// take.
	Transport http.RoundTripper
	// Concurrent is how many generations run at a time; the others wait here. 0
	// means DefaultConcurrent.
	Concurrent int
	// ContextTokens bounds one request, input and output together. Required.
	ContextTokens int
	// Dimensions is the length of the vectors of mode Embed. Required for it.
	Dimensions int
	// FirstByte is how long the first event of a reply may take, and every answer
	// that is not a stream; Idle is the longest time between two events. 0 means
	// DefaultFirstByte and DefaultIdle.
	FirstByte, Idle time.Duration
	// Images says that the model sees images.
	Images bool
}

// Config of an Engine.
type Config struct {
	// Upstreams by the id of the weights that they serve.
	Upstreams map[string]Upstream
	// QueueWait is how long a request may wait for its turn; 0 means
	// limit.DefaultWait. Queue is how many may wait for one upstream; 0 means
	// limit.DefaultMaxQueue.
	QueueWait time.Duration
	Queue     int
	Now       func() time.Time // signs; nil means time.Now
	Log       *slog.Logger     // nil discards
}

// Engine runs requests on another Bedrock. It implements engine.Engine.
type Engine struct {
	fleet     *remote.Fleet
	upstreams map[string]*upstream
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Prober   = (*Engine)(nil)
	_ engine.Reserver = (*Engine)(nil)
	_ engine.Liner    = (*Engine)(nil)
)

// upstream is a model in use.
type upstream struct {
	*remote.Server
	c      Upstream
	path   string // of the model, with a slash at its end
	ping   string // an address that costs nothing
	now    func() time.Time
	counts atomic.Bool // CountTokens is not known to fail
}

// New returns an Engine. It connects to nothing.
//
// Errors name the weights and what is wrong with their configuration.
func New(c Config) (*Engine, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	e := &Engine{fleet: remote.NewFleet(c.Log), upstreams: make(map[string]*upstream, len(c.Upstreams))}
	for id, u := range c.Upstreams {
		base, err := u.check()
		if err != nil {
			return nil, fmt.Errorf("upstream of %s: %w", id, err)
		}
		u.Concurrent = cmp.Or(u.Concurrent, DefaultConcurrent)
		u.FirstByte = cmp.Or(u.FirstByte, DefaultFirstByte)
		u.Idle = cmp.Or(u.Idle, DefaultIdle)
		// As the SDKs escape it: every character that is not of a path's element.
		model := strings.ReplaceAll(url.PathEscape(u.Model), ":", "%3A")
		one := &upstream{c: u, path: "/model/" + model + "/", ping: base + "/ping", now: c.Now}
		cfg := remote.Config{
			Weights: id, Mode: u.Mode, Base: base, Transport: u.Transport, Header: u.Header, Key: u.Key, Refused: refused,
			Slots: limit.SlotsConfig{N: u.Concurrent, Wait: c.QueueWait, MaxQueue: c.Queue},
		}
		if u.Credentials != nil {
			cfg.Sign = one.sign
		}
		one.Server = e.fleet.Add(cfg)
		one.counts.Store(true)
		e.upstreams[id] = one
	}
	return e, nil
}

// Endpoint is AWS's own address of a region's models.
func Endpoint(region string) string {
	suffix := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		suffix += ".cn"
	}
	return "https://bedrock-runtime." + region + "." + suffix
}

// check refuses what cannot work and returns the address.
func (u *Upstream) check() (string, error) {
	if u.URL == "" {
		u.URL = Endpoint(u.Region)
	}
	base, err := remote.Address(u.URL, "")
	switch {
	case err != nil:
		return "", err
	case !regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`).MatchString(u.Region):
		return "", errors.New("region: want one such as us-east-1")
	case u.Model == "":
		return "", errors.New("model: missing")
	case u.Transport == nil:
		return "", errors.New("no transport")
	case u.Mode != engine.Chat && u.Mode != engine.Embed:
		return "", fmt.Errorf("mode: want chat or embed, not %q", u.Mode)
	case u.Mode == engine.Embed && codecOf(u.Model) == nil:
		return "", fmt.Errorf("model: the embeddings of %q are not known; want one of Titan or Cohere", u.Model)
	case u.Mode == engine.Embed && u.Dimensions < 1:
		return "", errors.New("dimensions: missing")
	case u.ContextTokens < 1:
		return "", errors.New("context_tokens: missing")
	case u.Concurrent < 0 || u.FirstByte < 0 || u.Idle < 0:
		return "", errors.New("concurrent and the timeouts must not be negative")
	case (u.Credentials != nil) == !u.Key.IsZero():
		return "", errors.New("credentials: want either an access key or a bearer key")
	}
	return base, nil
}

// Run waits for the end of ctx, then breaks off what is still running and closes
// the connections.
func (e *Engine) Run(ctx context.Context) error { return e.fleet.Run(ctx) }

// Info tells the limits of the configuration. Choices of tools and formats hold
// there, so they need not be made to hold here.
func (e *Engine) Info(_ context.Context, t engine.Target) (engine.Info, error) {
	u, err := e.find(t)
	if err != nil {
		return engine.Info{}, err
	}
	return engine.Info{ContextTokens: u.c.ContextTokens, Dimensions: u.c.Dimensions, Tools: true, Forces: true, Images: u.c.Images}, nil
}

// Reserve implements engine.Reserver: of the generations that the upstream is sent
// at a time. It asks the upstream nothing.
func (e *Engine) Reserve(_ context.Context, t engine.Target, holder string, n int) error {
	u, err := e.find(t)
	if err != nil {
		return err
	}
	return u.Slots.Reserve(holder, n)
}

// Lines implements engine.Liner.
func (e *Engine) Lines() []engine.Line { return e.fleet.Lines() }

// Probe implements engine.Prober: any answer but one of a server in trouble is a
// sign of life. It asks for a path that costs nothing.
func (e *Engine) Probe(ctx context.Context, t engine.Target) error {
	u := e.upstreams[t.Weights]
	if u == nil {
		return unknown(t)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, u.c.FirstByte, remote.ErrStalled)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.ping, nil)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	resp, err := u.c.Transport.RoundTrip(req) // without signature or key
	if err != nil {
		return u.failure(ctx, false, remote.Unreached{Err: err})
	}
	_ = resp.Body.Close() // read only
	if resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusNotImplemented {
		return u.failure(ctx, false, &serverError{Status: resp.StatusCode})
	}
	return nil
}

// find returns the upstream of some weights.
func (e *Engine) find(t engine.Target) (*upstream, error) {
	u := e.upstreams[t.Weights]
	if u == nil {
		return nil, unknown(t)
	}
	if t.Mode != u.c.Mode {
		return nil, apierr.ModelNotReady("The model %q is not ready: its upstream is configured for mode %s.", t.Weights, u.c.Mode)
	}
	return u, nil
}

func unknown(t engine.Target) error {
	return apierr.ModelNotReady("The model %q is not ready: no upstream is configured for it.", t.Weights)
}

// sign makes req one of ours.
func (u *upstream) sign(req *http.Request, body []byte) error {
	k, err := u.c.Credentials.Credentials()
	if err != nil {
		return noCredentials{err}
	}
	c := sigv4.Credentials{AccessKeyID: k.AccessKeyID, Secret: k.Secret, SessionToken: string(k.Session.Reveal())}
	return sigv4.Sign(req, body, c, u.c.Region, "bedrock", u.now())
}
