package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Purpose says what a connection out of this machine is for. Each has its own
// allow-list.
type Purpose string

// The purposes.
const (
	// Models are downloads of weights and of the engine.
	Models Purpose = "models"
	// OIDC are the documents and keys of identity providers.
	OIDC Purpose = "oidc"
	// Upstream are servers that run models for this one.
	Upstream Purpose = "upstream"
	// State are servers that several processes of an installation share.
	State Purpose = "state"
)

// Purposes are all there are.
func Purposes() []Purpose { return []Purpose{Models, OIDC, Upstream, State} }

// ErrEgress: a connection was refused because no entry of the allow-list covers
// it.
var ErrEgress = errors.New("outgoing connection refused")

// Resolver looks names up. *net.Resolver implements it.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// EgressConfig of an Egress.
type EgressConfig struct {
	// Allow lists for each purpose where connections may go. A purpose without a
	// list may go nowhere.
	Allow map[Purpose][]Destination
	// Off refuses everything, whatever Allow, Grant and Permit say.
	Off bool
	// Resolver looks names up; nil means the machine's.
	Resolver Resolver
	// Dial connects to "IP:PORT"; nil means a plain dialer with a limit of 15 s.
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
	Flows *FlowLog         // gets a record of each attempt; nil keeps none
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil discards; tells of refused attempts
}

// Egress makes every connection that leaves this machine. It is safe for
// concurrent use.
type Egress struct {
	c EgressConfig

	mu      sync.Mutex
	granted map[Purpose][]Destination // guarded by mu
	open    map[*outgoing]bool        // guarded by mu
}

// NewEgress returns an Egress.
func NewEgress(c EgressConfig) *Egress {
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Dial == nil {
		d := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
		c.Dial = d.DialContext
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Egress{c: c, granted: map[Purpose][]Destination{}, open: map[*outgoing]bool{}}
}

// Off reports whether nothing at all may leave this machine.
func (e *Egress) Off() bool { return e.c.Off }

// Grant adds destinations that are known only while the server is composed, such
// as the hosts that the catalogue names.
func (e *Egress) Grant(p Purpose, to ...Destination) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.granted[p] = append(e.granted[p], to...)
}

// Close ends the connections that are still open, as HTTP clients keep some, so
// that each has its record.
func (e *Egress) Close() error {
	e.mu.Lock()
	open := slices.Collect(maps.Keys(e.open))
	e.mu.Unlock()
	var errs []error
	for _, o := range open {
		errs = append(errs, o.Close())
	}
	return errors.Join(errs...)
}

// permits are the destinations that one piece of work may reach beside the list.
type permits struct {
	purpose Purpose
	to      []Destination
}

type permitKey struct{}

// Permit returns a context whose connections for p may also go to these
// destinations. The caller must have them from the operator, as from the settings
// of the machine's own pip, and never from somebody's input.
func Permit(ctx context.Context, p Purpose, to ...Destination) context.Context {
	if old, ok := ctx.Value(permitKey{}).(permits); ok && old.purpose == p {
		to = append(slices.Clone(old.to), to...)
	}
	return context.WithValue(ctx, permitKey{}, permits{p, to})
}

// list are the entries that hold for ctx.
func (e *Egress) list(ctx context.Context, p Purpose) []Destination {
	e.mu.Lock()
	all := slices.Concat(e.c.Allow[p], e.granted[p])
	e.mu.Unlock()
	if more, ok := ctx.Value(permitKey{}).(permits); ok && more.purpose == p {
		all = append(all, more.to...)
	}
	return all
}

// Check reports whether a host, by its name alone, may be asked for p. HTTP
// clients call it for each request, so that neither a redirect nor a connection
// that somebody else opened leads past the list.
//
// Errors wrap ErrEgress and name host, port, purpose and setting.
func (e *Egress) Check(ctx context.Context, p Purpose, host string, port uint16) error {
	_, _, err := e.check(ctx, p, host, port)
	if err != nil {
		e.rejected(p, host, netip.AddrPort{}, err)
	}
	return err
}

func (e *Egress) check(ctx context.Context, p Purpose, host string, port uint16) (string, match, error) {
	where := net.JoinHostPort(host, strconv.Itoa(int(port)))
	if e.c.Off {
		return "", noMatch, fmt.Errorf("%w: %s for %s: egress is off", ErrEgress, where, p)
	}
	name, err := hostName(host)
	if err != nil {
		return "", noMatch, fmt.Errorf("%w: %q for %s: %w", ErrEgress, where, p, err)
	}
	best := noMatch
	for _, d := range e.list(ctx, p) {
		best = max(best, d.covers(name, port))
	}
	if best == noMatch {
		return "", noMatch, fmt.Errorf("%w: %s is not in the list egress.%s of the configuration", ErrEgress, where, p)
	}
	return name, best, nil
}

// Dial connects to "HOST:PORT" for a purpose. The name is looked up once, every
// address that it has is checked, and one of those addresses is dialled: an answer
// of the name service that changes in between changes nothing.
//
// Errors wrap ErrEgress when the list refuses, and else are the network's. Each
// call leaves one record: an attempt that came to no connection because its host
// is refused or not known is a REJECT.
func (e *Egress) Dial(ctx context.Context, p Purpose, address string) (net.Conn, error) {
	host, port, err := splitPort(address)
	if err != nil {
		e.rejected(p, address, netip.AddrPort{}, err)
		return nil, err
	}
	name, how, err := e.check(ctx, p, host, port)
	if err != nil {
		e.rejected(p, host, netip.AddrPort{}, err)
		return nil, err
	}
	addrs, err := e.lookup(ctx, name)
	if err != nil {
		err = fmt.Errorf("look up %s: %w", name, err)
		e.rejected(p, host, netip.AddrPort{}, err)
		return nil, err
	}
	for _, a := range addrs {
		if err := e.checkAddr(ctx, p, name, how, netip.AddrPortFrom(a, port)); err != nil {
			e.rejected(p, host, netip.AddrPortFrom(a, port), err)
			return nil, err
		}
	}
	return e.connect(ctx, p, addrs, port)
}

func splitPort(address string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%w: the address is not HOST:PORT", ErrEgress)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", 0, fmt.Errorf("%w: the port of %s is not 1 to 65535", ErrEgress, host)
	}
	return host, uint16(port), nil
}

// lookup returns the addresses of a host, each once.
func (e *Egress) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	found, err := e.c.Resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, a := range found {
		if a = plain(a); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("it has no address")
	}
	return all, nil
}

// checkAddr decides whether a host that the list covers may have this address.
func (e *Egress) checkAddr(ctx context.Context, p Purpose, name string, how match, a netip.AddrPort) error {
	refuse := func(why string) error {
		return fmt.Errorf("%w: %s has the address %s, %s", ErrEgress, name, a.Addr(), why)
	}
	if contains(never, a.Addr()) {
		return refuse("which is never dialled")
	}
	if !contains(reserved, a.Addr()) || how == byName && !a.Addr().IsLinkLocalUnicast() {
		return nil
	}
	for _, d := range e.list(ctx, p) {
		if d.coversAddr(a.Addr(), a.Port()) {
			return nil
		}
	}
	return refuse("which is not public: name the host in full, or its network, in egress." + string(p))
}

// connect tries the addresses in turn, IPv4 and IPv6 as the name service ordered
// them.
func (e *Egress) connect(ctx context.Context, p Purpose, addrs []netip.Addr, port uint16) (net.Conn, error) {
	start := e.c.Now()
	var errs []error
	var last netip.AddrPort
	for _, a := range addrs {
		last = netip.AddrPortFrom(a, port)
		c, err := e.c.Dial(ctx, "tcp", last.String())
		if err == nil {
			o := &outgoing{Conn: c, e: e, flow: Flow{Interface: face(p), Src: addrPort(c.LocalAddr()), Dst: last, Start: start, Action: Accept}}
			e.mu.Lock()
			e.open[o] = true
			e.mu.Unlock()
			return o, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	e.c.Flows.Record(Flow{Interface: face(p), Dst: last, Start: start, End: e.c.Now(), Action: Accept})
	return nil, errors.Join(errs...)
}

func face(p Purpose) string { return "egress-" + string(p) }

func (e *Egress) rejected(p Purpose, host string, to netip.AddrPort, err error) {
	now := e.c.Now()
	e.c.Flows.Record(Flow{Interface: face(p), Dst: to, Start: now, End: now, Action: Reject})
	e.c.Log.Warn("refused an outgoing connection", "purpose", string(p), "host", host, "error", err)
}

// outgoing counts what passes and makes the record at its end.
type outgoing struct {
	net.Conn
	e            *Egress
	flow         Flow
	bytes, moves atomic.Int64
	ended        atomic.Bool
}

// Read implements net.Conn.
func (o *outgoing) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.count(n)
	return n, err
}

// SyscallConn implements syscall.Conn, of connections that do: what is read past Read
// is not counted.
func (o *outgoing) SyscallConn() (syscall.RawConn, error) {
	if s, ok := o.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Write implements net.Conn.
func (o *outgoing) Write(b []byte) (int, error) {
	n, err := o.Conn.Write(b)
	o.count(n)
	return n, err
}

func (o *outgoing) count(n int) {
	if n > 0 {
		o.bytes.Add(int64(n))
		o.moves.Add(1)
	}
}

// Close implements net.Conn.
func (o *outgoing) Close() error {
	if !o.ended.Swap(true) {
		o.e.mu.Lock()
		delete(o.e.open, o)
		o.e.mu.Unlock()
		f := o.flow
		f.Bytes, f.Packets, f.End = o.bytes.Load(), o.moves.Load(), o.e.c.Now()
		o.e.c.Flows.Record(f)
	}
	return o.Conn.Close()
}
