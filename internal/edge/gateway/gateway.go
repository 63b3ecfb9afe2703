// Package gateway is the HTTP front door of every AWS service that Outcrop
// speaks. One request takes one way down, and no route can leave a step out:
//
//	route -> credentials from the headers -> body under its limits -> signature
//	-> decode -> resources -> authorise -> validate -> serve -> encode -> finish
//
// finish runs on every path, so a refused call is metered and logged like any
// other. Only calls of strangers are not metered: they belong to no account, and
// anyone could fill the disk with them.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/idempotency"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/awsquery"
	"github.com/outcrop/outcrop/internal/wire/restjson"
	"github.com/outcrop/outcrop/internal/wire/route"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// Authorizer decides whether a call may do what it asks for: n, and everything
// that stands in the call's Needs. It fills the call's Decision. access.Authorizer
// implements it. Errors: AccessDeniedException.
type Authorizer interface {
	Authorize(ctx context.Context, c *call.Call, n call.Need) error
}

// Meter takes the record of each finished call whose caller is known.
// meter.Writer implements it.
type Meter interface {
	Add(r meter.Record) error
	// Ready reports whether new calls can be metered.
	Ready() bool
}

// Idempotency replays create operations. idempotency.Service implements it.
type Idempotency interface {
	Do(ctx context.Context, k idempotency.Key, fn func() (status int, body []byte, err error)) (status int, body []byte, replayed bool, err error)
}

// Approvals holds back changes that need the consent of another principal.
// approval.Service implements it.
type Approvals interface {
	// Hold returns nil for a call that may go on. Errors: AccessDeniedException that
	// names the access request which stands for the call now.
	Hold(ctx context.Context, c *call.Call, resources []string, in any) error
}

// Config carries what a Gateway needs.
type Config struct {
	Services []*awsapi.Service // every API that is routed, bound or not; required
	Routes   []service.Route   // the bound operations
	Direct   []service.Direct  // operations of APIs that are not AWS's
	Callers  Callers           // required
	Access   Authorizer        // required
	// Changed returns a channel that is closed at the next change of what decisions
	// depend on; nil means that nothing ever changes.
	Changed   func() <-chan struct{}
	Approvals Approvals // nil holds nothing back
	// Ended learns of every call that has ended, and how long it took. nil: nobody
	// does.
	Ended func(c *call.Call, took time.Duration)
	// Used notes who used which action of which IAM service where, allowed or not;
	// nil notes nothing. It is called once for each call of a known caller and must
	// be quick.
	Used func(p *call.Principal, action, service, region string, at time.Time)
	// Acted notes what a caller was allowed to do: the permission that an operation
	// asks for and those of the call's Needs; nil notes nothing. It must be quick.
	Acted       func(p *call.Principal, at time.Time, needs ...call.Need)
	Meter       Meter       // required
	Idempotency Idempotency // required
	// Regions are the only regions that are served; none means all. The first one
	// stands in where a request names none.
	Regions []string
	// TLS tells that connections are encrypted that no listener tells of
	// (network.SourceOf), so that bearer keys are safe.
	TLS bool
	// MaxBody bounds a body in bytes where the operation's table has no limit of
	// its own; 0 means 4 MiB.
	MaxBody int64
	// BodyBudget bounds the bytes of all bodies in memory together; 0 means 512 MiB.
	BodyBudget int64
	// BodyGrace is how long a client may take for the first byte of a body; then
	// it must stay above BodyRate. 0 means 20 s.
	BodyGrace time.Duration
	BodyRate  int64 // bytes per second; 0 means 32 KiB
	// WriteTimeout is how long a client may take to accept one write; 0 means 30 s.
	WriteTimeout time.Duration
	// Free gives unused memory back to the system, behind bursts of large bodies;
	// nil means debug.FreeOSMemory.
	Free  func()
	Now   func() time.Time // nil means time.Now
	NewID func() string    // request ids; nil means random UUIDs
	Log   *slog.Logger     // nil discards
}

// Gateway is an http.Handler. It is safe for concurrent use.
type Gateway struct {
	cfg    Config
	routes *route.Matcher
	rest   *restjson.Codec
	query  queryRoutes
	json   jsonRoutes
	// unnamed is any query service: its XML answers requests that name none.
	unnamed *awsapi.Service
	auth    *authenticator
	bodies  *budget
	release release
	open    openCalls
	bound   map[*awsapi.Operation]*service.Route
	direct  map[string]*service.Direct // by method and path
	legacy  sync.Map                   // ARNs of models whose age was told
}

// New returns a Gateway.
func New(cfg Config) (*Gateway, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = uuid.NewString
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 4 << 20
	}
	if cfg.BodyBudget == 0 {
		cfg.BodyBudget = 512 << 20
	}
	if cfg.BodyGrace == 0 {
		cfg.BodyGrace = 20 * time.Second
	}
	if cfg.BodyRate == 0 {
		cfg.BodyRate = 32 << 10
	}
	if cfg.Free == nil {
		cfg.Free = debug.FreeOSMemory
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	var rest, query, json []*awsapi.Service
	for _, s := range cfg.Services {
		switch s.Protocol {
		case protocolQuery:
			query = append(query, s)
		case protocolJSON:
			json = append(json, s)
		default:
			rest = append(rest, s)
		}
	}
	m, err := route.New(rest...)
	if err != nil {
		return nil, fmt.Errorf("build the route table: %w", err)
	}
	g := &Gateway{
		cfg:     cfg,
		routes:  m,
		rest:    restjson.New(),
		query:   newQueryRoutes(query),
		json:    newJSONRoutes(json),
		auth:    newAuthenticator(cfg),
		bodies:  newBudget(cfg.BodyBudget),
		release: release{free: cfg.Free},
		open:    openCalls{all: make(map[*openCall]struct{})},
		bound:   make(map[*awsapi.Operation]*service.Route, len(cfg.Routes)),
	}
	if len(query) > 0 {
		g.unnamed = query[0]
	}
	if g.direct, err = newDirect(cfg.Direct); err != nil {
		return nil, err
	}
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		if _, twice := g.bound[r.Operation]; twice {
			return nil, fmt.Errorf("operation %s of %s is bound twice", r.Operation.Name, r.Service.Name)
		}
		g.bound[r.Operation] = r
	}
	return g, nil
}

// request is the state of one request inside the gateway.
type request struct {
	*call.Call
	w       http.ResponseWriter
	r       *http.Request
	rc      *http.ResponseController
	codec   codec // how errors and answers are written
	svc     *awsapi.Service
	op      *awsapi.Operation
	direct  *service.Direct // set instead of svc and op
	match   route.Match
	params  *awsquery.Params // query protocols
	scope   string           // service name in the credential scope
	claimed call.Principal   // who the caller says to be; Principal only once it is proved
	// credential is what proved the caller; kept to see whether it is still good.
	credential credential
	opened     *openCall // once it is allowed
	host       bool      // the Host header is one of the listener's
	stranger   bool      // nothing in the headers says who calls
	loopback   bool      // the client is on this machine
	body       []byte
	events     awsapi.Events  // the body, when it is a stream of events
	held       int64          // bytes taken from the budget
	arrived    bool           // the whole body is here
	linger     bool           // drop what still comes of the body
	wrote      bool           // the status line is out
	stream     awsapi.ShapeID // of the events, once the first is out
	unmetered  bool           // no record can be kept
	aborted    bool           // the connection must not look as if the answer were whole

	writeTimeout time.Duration
}

// codec is one protocol as the gateway uses it.
type codec interface {
	decode(q *request, in any) error
	validate(q *request, in any) error
	// token returns the client's idempotency token and a hash of the other
	// parameters; ok is false when the operation has none or none was sent.
	token(q *request, in any) (token string, hash [32]byte, ok bool, err error)
	encode(q *request, out any) (restjson.Response, error)
	writeError(q *request, e *apierr.Error)
}

// headerRequestID is spelt as AWS spells it; HTTP/2 and most clients do not care.
const headerRequestID = "x-amzn-RequestId"

// headerCache asks for caches in a request, and tells of them in an answer.
const headerCache = "X-Outcrop-Cache"

// ServeHTTP serves one request of any service.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{
		Call:  &call.Call{ID: g.cfg.NewID(), Start: g.cfg.Now()},
		w:     w,
		r:     r,
		rc:    http.NewResponseController(w),
		codec: restCodec{g.rest},

		writeTimeout: g.cfg.WriteTimeout,
	}
	defer g.done(q)
	q.source(g.cfg.TLS)
	w.Header()[headerRequestID] = []string{q.ID}
	err := g.attempt(q)
	if err != nil {
		err = g.fail(q, err)
	}
	q.drain()
	g.finish(q, err)
	if q.aborted { // net/http would end the answer as if it were whole, or make up a 200
		panic(http.ErrAbortHandler)
	}
}

// done gives back the room of a request's body.
func (g *Gateway) done(q *request) {
	g.open.close(q.opened)
	q.body, q.params = nil, nil
	g.bodies.give(q.held)
	g.release.add(q.held)
}

// attempt is serve with panics as errors.
func (g *Gateway) attempt(q *request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = caught(p)
		}
	}()
	return unavailable(g.serve(q))
}

func (g *Gateway) serve(q *request) error {
	a, err := g.answer(q)
	switch {
	case err != nil || a == nil:
		return err
	case a.Events != nil:
		return g.writeStream(q, *a)
	}
	return g.write(q, *a)
}

// answer goes the way down. It returns nil when the answer has been written. Its
// stack is free when a stream begins, which may stay open for long.
func (g *Gateway) answer(q *request) (*restjson.Response, error) {
	if err := g.admit(q); err != nil {
		return nil, err
	}
	if q.direct != nil {
		return nil, g.serveDirect(q)
	}
	b, ok := g.bound[q.op]
	if !ok {
		return nil, apierr.New(apierr.CodeNotImplemented, http.StatusNotImplemented, "Outcrop does not implement %s of %s yet.", q.op.Name, q.svc.Name)
	}
	in := b.NewInput()
	if err := q.codec.decode(q, in); err != nil {
		return nil, err
	}
	q.body, q.params = nil, nil // in holds what is needed of it
	var resources []string
	if b.Resources != nil {
		var err error
		if resources, err = b.Resources(q.context(), q.Call, in); err != nil {
			return nil, err
		}
	}
	if err := g.authorize(q, call.Need{Action: q.op.Action, Resources: resources}); err != nil {
		return nil, err
	}
	ctx := q.context() // which ends with the permission
	if err := q.codec.validate(q, in); err != nil {
		return nil, err
	}
	token, hash, ok, err := q.codec.token(q, in)
	if err != nil {
		return nil, err
	}
	if ok {
		return nil, g.once(ctx, q, b, in, resources, token, hash)
	}
	if err := g.hold(q, resources, in); err != nil {
		return nil, err
	}
	out, err := b.Serve(ctx, q.Call, in)
	if err != nil {
		return nil, err
	}
	a, err := q.codec.encode(q, out)
	return &a, err
}

// admit finds the operation, reads the body and makes sure who calls.
func (g *Gateway) admit(q *request) error {
	if err := g.route(q); err != nil {
		return err
	}
	cred, err := g.auth.fromHeaders(q)
	if g.auth.mayBeOpen(q, err) { // the body will tell
		cred, err = g.auth.unsigned(q), nil
	}
	if err != nil {
		return err
	}
	if takesEvents(q.svc, q.op) {
		err = g.openDuplex(q, cred)
	} else if err = g.readBody(q); err == nil {
		err = cred.verify(q)
	}
	if err != nil {
		return err
	}
	if !g.cfg.Meter.Ready() {
		q.unmetered = true
		return apierr.Unavailable("The server cannot store usage records now. Try again later.")
	}
	if q.op != nil || q.direct != nil {
		return nil
	}
	// Query protocols name the operation in the body.
	if cred.open {
		return g.query.routeUnsigned(q)
	}
	return g.query.route(q)
}

// tokenKey is one use of a client token by a call, which gets the id that follows
// from it.
func tokenKey(c *call.Call, b *service.Route, token string, hash [32]byte) idempotency.Key {
	k := idempotency.Key{Account: c.Principal.Account, Region: c.Region, Operation: b.Service.Name + ":" + b.Operation.Name, Token: token, Hash: hash}
	c.TokenID = k.ID()
	return k
}

// once serves an operation that carries a client token. What was answered before is
// answered again, also when the operation would be held back now.
func (g *Gateway) once(ctx context.Context, q *request, b *service.Route, in any, resources []string, token string, hash [32]byte) error {
	status, body, _, err := g.cfg.Idempotency.Do(ctx, tokenKey(q.Call, b, token, hash), func() (int, []byte, error) {
		if err := g.hold(q, resources, in); err != nil {
			return 0, nil, err
		}
		out, err := b.Serve(ctx, q.Call, in)
		if err != nil {
			return 0, nil, err
		}
		a, err := q.codec.encode(q, out)
		return a.Status, a.Body, err
	})
	if err != nil {
		return err
	}
	return g.write(q, restjson.Response{Status: status, ContentType: restjson.ContentType, Body: body})
}

// route finds the operation, or for a query service only the service.
func (g *Gateway) route(q *request) error {
	if g.unnamed != nil && isQuery(q.r) {
		q.codec = queryCodec{g.rest, g.unnamed}
		return nil
	}
	if isJSON(q.r) {
		q.codec = jsonCodec{g.rest}
		return g.json.route(q)
	}
	if g.routeDirect(q) {
		return nil
	}
	path, _ := sigv4.Target(q.r) // as it stood on the wire
	m, err := g.routes.Match(q.r.Method, path)
	if err != nil {
		return err
	}
	q.match, q.svc, q.op = m, m.Service, m.Operation
	q.Service, q.Operation, q.Action = m.Service.Name, m.Operation.Name, m.Operation.Action
	return nil
}

func (g *Gateway) maxBody(q *request) int64 {
	if q.stranger {
		return maxUnsigned
	}
	if q.direct != nil {
		return maxDirect
	}
	if q.op != nil && q.op.MaxBody > 0 {
		return q.op.MaxBody
	}
	return g.cfg.MaxBody
}

// maxWrite is the most bytes that a client must take within one WriteTimeout.
const maxWrite = 256 << 10

// write sends a whole response.
func (g *Gateway) write(q *request, a restjson.Response) error {
	h := q.w.Header()
	setHeaders(h, a, a.ContentType)
	h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	q.modelHeaders()
	if q.Inferred && q.op == rt.OpInvokeModel.Operation {
		q.usageHeaders()
	}
	q.status(a.Status)
	for piece := range slices.Chunk(a.Body, maxWrite) {
		q.extendWrite()
		if _, err := q.w.Write(piece); err != nil {
			return clientGone{err}
		}
	}
	return nil
}

func setHeaders(h http.Header, a restjson.Response, contentType string) {
	for _, f := range a.Headers {
		h[f.Name] = []string{f.Value}
	}
	if contentType != "" {
		h["Content-Type"] = []string{contentType}
	}
}

// modelHeaders discloses which weights answered and where, what a cache spared
// them, and what was made to go wrong.
func (q *request) modelHeaders() {
	if q.Fault != "" {
		q.w.Header()["X-Outcrop-Fault"] = []string{q.Fault}
	}
	if q.Cache != "" {
		q.w.Header()[headerCache] = []string{q.Cache}
	}
	if q.InferenceRegion != "" {
		q.w.Header()["X-Outcrop-Inference-Region"] = []string{q.InferenceRegion}
	}
	if q.ServedBy == "" {
		return
	}
	v := q.ServedBy
	if q.StandIn {
		v += "; stand-in"
	}
	q.w.Header()["X-Outcrop-Served-By"] = []string{v}
}

// usageHeaders tells what an InvokeModel call used. What a cache point covered is
// told apart from the other input, as in the native bodies.
func (q *request) usageHeaders() {
	set := func(name string, n int64) { q.w.Header()["X-Amzn-Bedrock-"+name] = []string{strconv.FormatInt(n, 10)} }
	u := q.Usage
	set("Invocation-Latency", q.Latency.Milliseconds())
	set("Input-Token-Count", int64(u.Uncached()))
	set("Output-Token-Count", int64(u.OutputTokens))
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		set("Cache-Read-Input-Token-Count", int64(u.CacheRead))
		set("Cache-Write-Input-Token-Count", int64(u.CacheWrite))
	}
}

// status sends the status line and starts the clock for the client to take the
// answer.
//
// It panics when a call would be answered that nobody allowed: that is a mistake
// in the gateway, and an internal error is the safe answer.
func (q *request) status(status int) {
	if status < http.StatusBadRequest && !q.Decision.Allowed {
		panic(errUndecided)
	}
	q.Status, q.wrote = status, true
	q.extendWrite()
	q.w.WriteHeader(status)
}

func (q *request) extendWrite() {
	_ = q.rc.SetWriteDeadline(time.Now().Add(q.writeTimeout)) // not every test writer has one
}
