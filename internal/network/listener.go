package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Rules say who may use a listener and what its connections stand for.
type Rules struct {
	Name string // of the listener; required
	// Allow are the clients that may connect; empty allows all. Who is not in it is
	// cut off before a byte is read.
	Allow []netip.Prefix
	// Proxies are believed when they tell who the client is. They may connect
	// themselves; the client they tell of must be in Allow.
	Proxies []netip.Prefix
	// ProxyProtocol makes every connection begin with a PROXY protocol version 2
	// header, and lets none but Proxies connect.
	ProxyProtocol bool
	VPCE, VPC     string
	Hosts         []string
	// Policy returns the text of the endpoint policy that holds now; nil means none.
	Policy func() []byte
	// Flows gets a record of each connection; nil keeps none.
	Flows *FlowLog
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil discards; tells of refused connections at level debug
}

// Guard puts rules before a listener: what its Accept returns is a *Conn of an
// allowed peer. Connections to a unix socket must come from a process of the same
// user; on systems that cannot tell, the mode of the socket's file decides alone.
func Guard(l net.Listener, r Rules) net.Listener {
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	return &guarded{Listener: l, rules: &r}
}

type guarded struct {
	net.Listener
	rules *Rules
}

// Accept waits for the next connection of an allowed peer.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		inner, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &Conn{Conn: inner, rules: g.rules, start: g.rules.Now(), peer: addrPort(inner.RemoteAddr()), local: addrPort(inner.LocalAddr())}
		c.client = c.peer
		if err := c.admit(); err != nil {
			g.rules.Log.Debug("refused a connection", "listener", g.rules.Name, "peer", c.peer, "error", err)
			c.refuse()
			_ = inner.Close() // nothing was read from it
			continue
		}
		return c, nil
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(plain(ap.Addr()), ap.Port())
}

// Conn is a connection that a guarded listener let in.
type Conn struct {
	net.Conn
	rules *Rules
	start time.Time
	peer  netip.AddrPort // zero for unix sockets
	local netip.AddrPort

	bytes, moves atomic.Int64
	ended        atomic.Bool // its record is made

	header    sync.Once // guards these; they hold once it is done
	headerErr error
	client    netip.AddrPort
	vpce      string
	tls       bool // the client reached the proxy over TLS
	behind    bool // a proxy's header told of client
}

// admit decides by the peer alone.
func (c *Conn) admit() error {
	if u, ok := c.Conn.(*net.UnixConn); ok {
		return sameUser(u)
	}
	a := c.peer.Addr()
	switch {
	case contains(c.rules.Proxies, a):
		return nil
	case c.rules.ProxyProtocol:
		return errors.New("it is none of the trusted proxies")
	case len(c.rules.Allow) > 0 && !contains(c.rules.Allow, a):
		return ErrNotAllowed
	}
	return nil
}

// Read reads what comes after the PROXY header.
func (c *Conn) Read(b []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	return c.read(b)
}

func (c *Conn) read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.count(n)
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.count(n)
	return n, err
}

func (c *Conn) count(n int) {
	if n > 0 {
		c.bytes.Add(int64(n))
		c.moves.Add(1)
	}
}

// readerFunc is a function that reads.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// begin reads the PROXY header, once, under the deadlines of the first Read.
func (c *Conn) begin() error {
	if !c.rules.ProxyProtocol {
		return nil
	}
	c.header.Do(func() {
		p, err := readProxy(readerFunc(c.read))
		switch {
		case err == nil && !p.local:
			c.client, c.behind, c.vpce, c.tls = p.src, true, p.vpce, p.tls
			if a := c.client.Addr(); len(c.rules.Allow) > 0 && !contains(c.rules.Allow, a) && !contains(c.rules.Proxies, a) {
				err = ErrNotAllowed
			}
		case err == nil:
			c.vpce = p.vpce
		}
		if err != nil {
			c.headerErr = fmt.Errorf("connection from %s: %w", c.peer, err)
			c.rules.Log.Debug("refused a connection", "listener", c.rules.Name, "error", c.headerErr)
			c.refuse()
			_ = c.Conn.Close() // the error tells
		}
	})
	return c.headerErr
}

// Close implements net.Conn. It makes the record of the connection.
func (c *Conn) Close() error {
	c.record(Accept)
	return c.Conn.Close()
}

func (c *Conn) refuse() { c.record(Reject) }

func (c *Conn) record(a Action) {
	if c.ended.Swap(true) {
		return
	}
	c.rules.Flows.Record(Flow{
		Interface: c.rules.Name, Src: c.client, Dst: c.local, Packets: c.moves.Load(), Bytes: c.bytes.Load(),
		Start: c.start, End: c.rules.Now(), Action: a,
	})
}

// Source tells what is known of the connection's requests, encryption left out:
// TLS is set for a client that reached a proxy on this machine over TLS, and else
// the HTTP server knows. It must be called after the first successful Read.
func (c *Conn) Source() Source {
	_ = c.begin() // done by now; without it, client would be read while it is set
	s := Source{
		Listener: c.rules.Name, VPCE: c.rules.VPCE, VPC: c.rules.VPC, Hosts: c.rules.Hosts,
		IP: c.client.Addr(), Port: c.client.Port(),
	}
	if _, ok := c.Conn.(*net.UnixConn); ok {
		s.Unix, s.Loopback = true, true
	} else {
		s.Loopback = !c.behind && s.IP.IsLoopback()
		s.TLS = c.tls && c.peer.Addr().IsLoopback()
	}
	if s.VPCE == "" {
		s.VPCE = c.vpce
	}
	if c.rules.Policy != nil {
		s.EndpointPolicy = c.rules.Policy()
	}
	return s
}

// Rules are those of the connection's listener.
func (c *Conn) Rules() *Rules { return c.rules }
