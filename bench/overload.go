package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/bench/internal/stats"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// overloadRun offers a server several times what its engine can do, from clients
// that send at fixed times whatever became of their calls before. Four fifths of
// them belong to one account, the rest to another one.
type overloadRun struct {
	clients int
	times   int           // of the capacity that is offered
	slots   int           // of the engine
	first   time.Duration // until the first token
	token   time.Duration // each further token
	tokens  int
	peak    time.Duration // how long the peak is measured
	last    time.Duration // how long the overload lasts
}

// crowd is the account with most clients, rest the other one.
const (
	crowd = keys.DefaultAccount
	rest  = "222233334444"
)

// growthBound is how much memory may grow from the end of the first quarter of the
// overload to its end, in MB.
const growthBound = 8

// answers is what came of the calls of an account.
type answers struct {
	mu      sync.Mutex
	good    int
	tokens  int
	took    []time.Duration // of good ones
	refused map[string]int  // by code
	early   int             // refusals that tell when to come back
	quick   []time.Duration // of refusals
	bad     []string        // whatever else came, the first few
	wrong   int
}

// tenant makes a key of an account that may use every model.
func (p *product) tenant(ctx context.Context, account string) (sigv4.Credentials, error) {
	key, err := p.app.Keys().Create(ctx, keys.CreateInput{Account: account})
	if err == nil {
		err = p.app.Agreements().SetApproval(ctx, account, "automatic")
	}
	if err != nil {
		return sigv4.Credentials{}, fmt.Errorf("make a key of %s: %w", account, err)
	}
	return sigv4.Credentials{AccessKeyID: key.ID, Secret: key.Secret}, nil
}

// caller sends calls of one account.
type caller struct {
	url    string
	body   string
	creds  sigv4.Credentials
	client *http.Client
	to     *answers
}

// call makes one call and notes its answer. What ctx cuts off is not counted.
func (c *caller) call(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(c.body))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if err := sigv4.Sign(r, []byte(c.body), c.creds, keys.DefaultRegion, "bedrock", time.Now()); err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	begin := time.Now()
	resp, err := c.client.Do(r)
	if err != nil {
		c.note(ctx, func(a *answers) { a.fault(err.Error()) })
		return nil
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // read only
	took := time.Since(begin)
	c.note(ctx, func(a *answers) {
		if err != nil {
			a.fault(err.Error())
			return
		}
		a.answer(resp, b, took)
	})
	return nil
}

func (c *caller) note(ctx context.Context, f func(*answers)) {
	if ctx.Err() != nil {
		return
	}
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	f(c.to)
}

func (a *answers) fault(what string) {
	if a.wrong++; len(a.bad) < 3 {
		a.bad = append(a.bad, what)
	}
}

// answer judges one answer: a whole reply, or an error that clients try again.
func (a *answers) answer(resp *http.Response, body []byte, took time.Duration) {
	var out struct {
		Usage struct{ TotalTokens int }
	}
	code, _, _ := strings.Cut(resp.Header.Get("X-Amzn-ErrorType"), ":")
	switch {
	case resp.StatusCode == http.StatusOK:
		if err := json.Unmarshal(body, &out); err != nil || out.Usage.TotalTokens == 0 {
			a.fault("a reply without usage")
			return
		}
		a.good++
		a.tokens += out.Usage.TotalTokens
		a.took = append(a.took, took)
	case code == "ThrottlingException" && resp.StatusCode == http.StatusTooManyRequests,
		code == "ModelNotReadyException" && resp.StatusCode == http.StatusTooManyRequests,
		code == "ServiceUnavailableException" && resp.StatusCode == http.StatusServiceUnavailable:
		a.refused[code]++
		a.quick = append(a.quick, took)
		if resp.Header.Get("Retry-After") != "" {
			a.early++
		}
	default:
		a.fault(fmt.Sprintf("%d %s: %.200s", resp.StatusCode, code, body))
	}
}

// closed keeps some calls in flight for a while and returns how many good answers
// came per second.
func (g overloadRun) closed(ctx context.Context, c caller, n int, last time.Duration) (float64, error) {
	to := &answers{refused: map[string]int{}}
	c.to = to
	ctx, cancel := context.WithTimeout(ctx, last)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = c.call(ctx)
			}
		})
	}
	wg.Wait()
	if to.wrong+len(to.refused) > 0 {
		errs = append(errs, fmt.Errorf("without overload: %v, %v", to.bad, to.refused))
	}
	return float64(to.good) / last.Seconds(), errors.Join(errs...)
}

// settleTime is how long the line may take to empty when its callers have left.
const settleTime = 30 * time.Second

// settled calls until it gets a reply: the burst is over, but the server may not
// have noticed yet that everybody in its line has hung up.
func (g overloadRun) settled(ctx context.Context, c caller) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		c.to = &answers{refused: map[string]int{}}
		if err := c.call(ctx); err != nil || c.to.good > 0 {
			return err
		}
		if c.to.wrong > 0 {
			return fmt.Errorf("unexpected answer: %v", c.to.bad)
		}
		select {
		case <-ctx.Done():
			return errors.New("the line does not empty")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// open sends calls at fixed times until ctx ends.
func (g overloadRun) open(ctx context.Context, c caller, offset, every time.Duration) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	begin := time.NewTimer(offset)
	defer begin.Stop()
	select {
	case <-begin.C:
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	failed := make(chan error, 1)
	for {
		wg.Go(func() {
			if err := c.call(ctx); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		select {
		case err := <-failed:
			return err
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// engine is a scripted engine that takes the time of a real one.
func (g overloadRun) engine() newEngine {
	deltas := make([]string, g.tokens)
	for i := range deltas {
		deltas[i] = " word"
	}
	// Token i comes at its time after the first: what a late timer takes is made up
	// for, as by an engine that computes meanwhile.
	reply := func(engine.Target, *llm.Request) *scripted.Reply {
		var begin time.Time
		return &scripted.Reply{Deltas: deltas, Pace: func(ctx context.Context, i int) error {
			if i == 0 {
				begin = time.Now()
			}
			t := time.NewTimer(time.Until(begin.Add(g.first + time.Duration(i)*g.token)))
			defer t.Stop()
			select {
			case <-t.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
	}
	return func(cfg app.Config, _ *catalog.Catalog, _ *weights.Store) (engine.Engine, error) {
		e := scripted.New()
		e.Script = reply
		e.Limit = &limit.SlotsConfig{N: g.slots, Wait: cfg.Engine.QueueDeadline, MaxQueue: cfg.Engine.Queue}
		return e, nil
	}
}

func (g overloadRun) measure(ctx context.Context, s *section) (err error) {
	srv, err := startProduct(ctx, app.Config{}, g.engine())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	body, err := converseBody("Tell me something.", g.tokens+1)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	defer transport.CloseIdleConnections()
	base := caller{
		url: "http://" + srv.address + "/model/" + url.PathEscape(model) + "/converse", body: body,
		creds: srv.creds, client: &http.Client{Transport: transport},
	}
	second, err := srv.tenant(ctx, rest)
	if err != nil {
		return err
	}
	peak, err := g.closed(ctx, base, 2*g.slots, g.peak)
	if err != nil {
		return err
	}

	burst, stop := context.WithTimeout(ctx, g.last)
	defer stop()
	capacity := float64(g.slots) / (g.first + time.Duration(g.tokens-1)*g.token).Seconds()
	every := time.Duration(float64(g.clients) / (float64(g.times) * capacity) * float64(time.Second))
	by := map[string]*answers{crowd: {refused: map[string]int{}}, rest: {refused: map[string]int{}}}
	errs := make([]error, g.clients)
	var wg sync.WaitGroup
	for i := range g.clients {
		c := base
		c.to = by[crowd]
		if i%5 == 4 {
			c.creds, c.to = second, by[rest]
		}
		wg.Go(func() { errs[i] = g.open(burst, c, every*time.Duration(i)/time.Duration(g.clients), every) })
	}
	quarter := time.NewTimer(g.last / 4)
	defer quarter.Stop()
	select {
	case <-quarter.C:
	case <-ctx.Done():
	}
	early := memory()
	most := time.NewTimer(g.last * 5 / 8) // the load still runs when it is read again
	defer most.Stop()
	select {
	case <-most.C:
	case <-ctx.Done():
	}
	late := memory()
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return err
	}
	if err := g.settled(ctx, base); err != nil {
		return fmt.Errorf("after the overload: %w", err)
	}
	after, err := g.closed(ctx, base, g.slots, max(g.peak/4, time.Second))
	if err != nil {
		return fmt.Errorf("after the overload: %w", err)
	}
	g.report(s, by, peak, after, early, late)
	return nil
}

func (g overloadRun) report(s *section, by map[string]*answers, peak, after float64, early, late usageOfMemory) {
	a, b := by[crowd], by[rest]
	good, sum := a.good+b.good, a.tokens+b.tokens
	refused, wrong := len(a.quick)+len(b.quick), a.wrong+b.wrong
	goodput := float64(good) / g.last.Seconds()
	least := 2 * float64(min(a.tokens, b.tokens)) / math.Max(float64(sum), 1)
	took := stats.Micros(append(append([]time.Duration(nil), a.took...), b.took...))
	quick := stats.Micros(append(append([]time.Duration(nil), a.quick...), b.quick...))
	s.Note = fmt.Sprintf("%d clients of two accounts, four to one, send %d times what an engine of %d slots can do, for %s; a reply is %d tokens in %s.",
		g.clients, g.times, g.slots, g.last, g.tokens, g.first+time.Duration(g.tokens-1)*g.token)
	s.Add(figure{Name: "goodput at the peak, without overload", Value: peak, Unit: "replies/s"})
	s.Add(figure{Name: "offered", Value: float64(good+refused+wrong) / g.last.Seconds(), Unit: "calls/s", Note: "that were answered"})
	s.Add(figure{Name: "goodput under overload", Value: goodput, Unit: "replies/s"})
	s.Add(figure{Name: "goodput under overload: share of the peak", Value: goodput / peak, Bound: 0.9, Least: true})
	s.Add(figure{Name: "answers that are neither replies nor errors to try again", Value: float64(wrong), Note: strings.Join(append(a.bad, b.bad...), "; ")})
	s.Add(figure{Name: "refusals", Value: float64(refused), Note: fmt.Sprintf("of %d answers; %d of them say when to come back", good+refused+wrong, a.early+b.early)})
	s.Add(figure{Name: "tokens of the account that got less, of an even share", Value: least, Bound: 0.9, Least: true, Note: fmt.Sprintf("%d to the account with 80 %% of the clients, %d to the other", a.tokens, b.tokens)})
	s.Add(figure{Name: "latency of a reply p50", Value: stats.Quantile(took, 0.5) / 1e3, Unit: "ms"})
	s.Add(figure{Name: "latency of a reply p99", Value: stats.Quantile(took, 0.99) / 1e3, Unit: "ms"})
	s.Add(figure{Name: "latency of a refusal p50", Value: stats.Quantile(quick, 0.5) / 1e3, Unit: "ms"})
	s.Add(figure{Name: "growth of memory", Value: (float64(late.live) - float64(early.live)) / 1e6, Unit: "MB", Bound: growthBound, Note: "heap and stacks in use, server and clients, from a quarter to seven eighths of the time"})
	s.Add(figure{Name: "goodput right after", Value: after, Unit: "replies/s"})
}
