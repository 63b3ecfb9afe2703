// Package remote is what the engines over servers that others run have in common:
// the address of such a server, the line before it, requests to it and what is read
// of its answers, and the watch over a request that it does not go on with.
//
// It knows no API: what is asked, and what a refusal means to a caller, is the
// engines' own. Nothing that a server says reaches an error of this package.
package remote

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Address checks the URL at which an API lies, and returns it without a slash, and
// without suffix, such as "/v1", at its end.
//
// Errors begin with "url: ". They do not quote the URL, which may hold a password.
func Address(text, suffix string) (string, error) {
	at, err := url.Parse(text)
	switch {
	case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
		return "", errors.New("url: want http://HOST:PORT or https://HOST:PORT")
	case at.User != nil || at.RawQuery != "" || at.Fragment != "":
		return "", errors.New("url: want no user, query or fragment")
	}
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(at.String(), "/"), suffix), "/"), nil
}

// Config is what a Fleet needs to know of a server.
type Config struct {
	// Weights is the id of the weights that it serves, Mode what they are for there.
	Weights string
	Mode    engine.Mode
	// Base is its address, as Address returns it.
	Base string
	// Transport makes the connections; required. Redirects are not followed: they
	// would take prompts, and the key, somewhere else.
	Transport http.RoundTripper
	// Header is sent with every request, but for names that the request sets itself.
	Header http.Header
	// Key is sent as bearer token; none without one.
	Key secret.Value
	// Sign, when set, makes a request one of ours instead of Key. The body and every
	// field but those of Header stand by then. Its errors come back as they are.
	Sign func(r *http.Request, body []byte) error
	// Refused makes the error for an answer of another status than the one that was
	// wanted; required.
	Refused func(Refusal) error
	// Slots is how many requests run at a time and how many may wait.
	Slots limit.SlotsConfig
}

// Server is a server in use. Its methods may be called at the same time.
type Server struct {
	ID    string       // of the weights
	Slots *limit.Slots // the line before it
	Log   *slog.Logger // names the server

	c     Config
	paths sync.Map // *url.URL by path; nobody changes one
	known atomic.Int32
}

// Acquire waits for a turn at the server, for a request that holds so many tokens.
// Its lease goes back to Slots. Errors: as limit.Slots has them.
func (s *Server) Acquire(ctx context.Context, t *engine.Target, tokens int) (limit.Lease, error) {
	return s.Slots.Acquire(ctx, limit.Ask{Scope: t.Scope, Tier: limit.TierOf(t.Tier), Tokens: tokens, Reserved: t.Reserved})
}

// Fleet is the servers of one engine.
type Fleet struct {
	log     *slog.Logger
	servers []*Server
	open    watches
}

// NewFleet returns one without servers. log nil discards.
func NewFleet(log *slog.Logger) *Fleet {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fleet{log: log}
}

// Add takes a server in and connects to nothing. All are added before the first
// other method is called.
func (f *Fleet) Add(c Config) *Server {
	s := &Server{ID: c.Weights, Slots: limit.NewSlots(c.Slots), Log: f.log.With("upstream", c.Weights), c: c}
	f.servers = append(f.servers, s)
	return s
}

var errStopping = apierr.Unavailable("The server is stopping.")

// Run waits for the end of ctx, then breaks off what is still running and closes
// the connections. It returns nil.
func (f *Fleet) Run(ctx context.Context) error {
	<-ctx.Done()
	f.open.end()
	for _, s := range f.servers {
		if c, ok := s.c.Transport.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
	return nil
}

// Lines is engine.Liner's method for an engine over the fleet.
func (f *Fleet) Lines() []engine.Line {
	out := make([]engine.Line, 0, len(f.servers))
	for _, s := range f.servers {
		out = append(out, engine.Line{Weights: s.ID, Mode: s.c.Mode, Stats: s.Slots.Stats()})
	}
	return out
}
