package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// DefaultKeep is how long a token is remembered. AWS tells no time for Bedrock
// and differs between services; a day covers every client's retries.
const DefaultKeep = 24 * time.Hour

// Config of a Service.
type Config struct {
	Store Store            // required
	Keep  time.Duration    // how long tokens are remembered; 0 means DefaultKeep
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil discards
}

// Service makes operations safe to repeat. It is safe for concurrent use.
//
// The order is: effect, then token. When the server dies between the two, the
// effect is there and the token is not, and a repeat runs the operation again.
// So that this makes no second thing, an operation names what it makes by
// Key.ID, which is the same for every repeat: it then finds its own earlier
// work under that id and answers with it, where it would otherwise have made a
// copy or complained of a taken name. (The other order would be worse: a token
// without effect makes every repeat a lie.)
type Service struct {
	c Config

	mu      sync.Mutex
	running map[place]chan struct{} // closed when the run has ended
}

// place is what a token is remembered by.
type place struct{ account, region, operation, token string }

// Key is one use of a token.
type Key struct {
	Account   string
	Region    string
	Operation string // e.g. "bedrock:CreateInferenceProfile"
	Token     string // "" runs the operation without remembering it
	// Hash is of the parameters, the token left out; see Hash.
	Hash [32]byte
	// Member is the token's name in the API, for messages; "" means
	// clientRequestToken.
	Member string
}

// ID is an id for the resource that the operation makes: 12 characters [a-z0-9],
// the same for every repeat of the key, and different for other accounts,
// regions, operations, tokens and parameters. It needs a token.
func (k Key) ID() string {
	h := sha256.New()
	for _, s := range []string{k.Account, k.Region, k.Operation, k.Token, string(k.Hash[:])} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	const digits = "abcdefghijklmnopqrstuvwxyz234567" // 32: no digit is likelier than another
	sum := h.Sum(nil)
	id := make([]byte, 12)
	for i := range id {
		id[i] = digits[sum[i]%32]
	}
	return string(id)
}

// Hash digests the parameters of an operation: its input struct with the token
// set to nil. Equal parameters give equal digests, whatever the order of keys in
// the request was.
//
// Errors: when input cannot be written as JSON, e.g. because it holds a stream.
func Hash(input any) ([32]byte, error) {
	text, err := json.Marshal(input)
	if err != nil {
		return [32]byte{}, fmt.Errorf("hash parameters: %w", err)
	}
	return sha256.Sum256(text), nil
}

// NewService makes a service. Run drops old tokens.
func NewService(c Config) *Service {
	if c.Keep <= 0 {
		c.Keep = DefaultKeep
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{c: c, running: map[place]chan struct{}{}}
}

// Run drops tokens older than Keep, now and then every hour, until ctx ends. It
// only frees room: an old token is never honoured, with or without Run.
func (s *Service) Run(ctx context.Context) error {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		if err := s.c.Store.DropTokens(ctx, s.oldest()); err != nil && ctx.Err() == nil {
			s.c.Log.Error("old request tokens stay: the store fails", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-hourly.C:
		}
	}
}

func (s *Service) oldest() time.Time { return s.c.Now().Add(-s.c.Keep) }

// Do runs fn, or returns the answer of an earlier run with the same key.
//
// Only successes (no error and a 2xx status) are remembered; after a failure
// the token is free. While fn runs, others with its token wait: for its answer,
// or for their turn when it fails. An answer is returned only when it is durable.
//
// Errors: ConflictException (400) when the token was used with other parameters;
// fn's own; ctx's while waiting; the store's.
func (s *Service) Do(ctx context.Context, k Key, fn func() (status int, body []byte, err error)) (status int, body []byte, replayed bool, err error) {
	if k.Token == "" {
		status, body, err = fn()
		return status, body, false, err
	}
	leave, err := s.enter(ctx, place{k.Account, k.Region, k.Operation, k.Token})
	if err != nil {
		return 0, nil, false, err
	}
	defer leave()

	e, err := s.find(ctx, k)
	if !errors.Is(err, ErrNotFound) {
		return e.Status, e.Body, err == nil, err
	}
	status, body, err = fn()
	if err != nil || status < 200 || status > 299 {
		return status, body, false, err
	}
	// The effect is there: the client's going away must not part it from its token.
	e = Entry{
		Account: k.Account, Region: k.Region, Operation: k.Operation, Token: k.Token,
		Hash: k.Hash, Status: status, Body: body, Created: s.c.Now(),
	}
	err = s.c.Store.PutToken(context.WithoutCancel(ctx), e)
	if errors.Is(err, ErrExists) {
		// Another server on the same database was faster; its answer stands.
		e, err = s.find(ctx, k)
		return e.Status, e.Body, err == nil, err
	}
	if err != nil {
		return 0, nil, false, fmt.Errorf("remember request token: %w", err)
	}
	return status, body, false, nil
}

// enter waits until no other call runs at p and takes the place. leave frees it.
func (s *Service) enter(ctx context.Context, p place) (leave func(), err error) {
	for {
		s.mu.Lock()
		ended, taken := s.running[p]
		if !taken {
			mine := make(chan struct{})
			s.running[p] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.running, p)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// find returns the remembered answer of k, ErrNotFound, or a conflict. It drops
// the token when it is too old.
func (s *Service) find(ctx context.Context, k Key) (Entry, error) {
	e, err := s.c.Store.GetToken(ctx, k.Account, k.Region, k.Operation, k.Token)
	switch {
	case errors.Is(err, ErrNotFound):
		return Entry{}, ErrNotFound
	case err != nil:
		return Entry{}, fmt.Errorf("look up request token: %w", err)
	case e.Created.Before(s.oldest()):
		if err := s.c.Store.DropTokens(ctx, s.oldest()); err != nil {
			return Entry{}, fmt.Errorf("drop old request token: %w", err)
		}
		return Entry{}, ErrNotFound
	case e.Hash != k.Hash:
		member := k.Member
		if member == "" {
			member = "clientRequestToken"
		}
		return Entry{}, apierr.Conflict("%s: the token was used before with other parameters. Use a new token for a new request.", member)
	}
	return e, nil
}

// Once is Do for a handler that returns an output struct: a repeat gets an
// equal one. Out must survive encoding/json, which the generated structs do
// unless they hold a stream.
func Once[Out any](ctx context.Context, s *Service, k Key, fn func() (*Out, error)) (*Out, error) {
	var first *Out
	_, body, replayed, err := s.Do(ctx, k, func() (int, []byte, error) {
		out, err := fn()
		if err != nil {
			return 0, nil, err
		}
		first = out
		body, err := json.Marshal(out)
		if err != nil {
			return 0, nil, fmt.Errorf("remember answer: %w", err)
		}
		return 200, body, nil
	})
	if err != nil {
		return nil, err
	}
	if !replayed {
		return first, nil
	}
	out := new(Out)
	if err := json.Unmarshal(body, out); err != nil {
		return nil, fmt.Errorf("read remembered answer: %w", err)
	}
	return out, nil
}
