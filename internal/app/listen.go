package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/internal/edge/metrics"
	"github.com/outcrop/outcrop/internal/localca"
	"github.com/outcrop/outcrop/internal/network"
)

// front is all doors of a server.
type front struct {
	doors []*door
	log   *slog.Logger
}

// door is one listener, open.
type door struct {
	cfg    Listener
	rules  network.Rules
	listen net.Listener
	certs  *localca.Keeper // nil without TLS
	policy atomic.Pointer[[]byte]
	http   *http.Server // set by serve
}

// openFront takes the addresses of all listeners and reads their files. It
// answers nobody yet.
func openFront(c Config, flows *network.FlowLog, log *slog.Logger) (_ *front, err error) {
	f := &front{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	all := c.doors()
	for _, l := range all {
		d := &door{cfg: l}
		if d.rules, err = l.rules(); err != nil {
			return f, err
		}
		if c.flows(l) {
			d.rules.Flows = flows
		}
		d.rules.Log = log
		if err := d.open(); err != nil {
			return f, err
		}
		f.doors = append(f.doors, d)
		if err := d.load(c, all, log); err != nil {
			return f, err
		}
		if l.InsecurePlaintext && l.public() {
			log.Warn("INSECURE: a listener takes calls from other machines without TLS; prompts, replies and session tokens can be read on the way", "listener", l.Name, "address", l.Address)
		}
	}
	return f, nil
}

func (d *door) open() error {
	var err error
	if path, unix := d.cfg.path(); unix {
		d.listen, err = network.ListenUnix(path)
	} else if d.listen, err = net.Listen("tcp", d.cfg.Address); err != nil {
		err = fmt.Errorf("listen on %s: %w; choose another with --listen", d.cfg.Address, err)
	}
	return err
}

// load reads the files of a door: certificates and endpoint policy.
func (d *door) load(c Config, all []Listener, log *slog.Logger) error {
	if err := d.reloadPolicy(); err != nil {
		return fmt.Errorf("listener %s: %w", d.cfg.Name, err)
	}
	if d.cfg.Policy != "" {
		d.rules.Policy = func() []byte { return *d.policy.Load() }
	}
	if !d.cfg.TLS.On() {
		return nil
	}
	k := localca.KeeperConfig{Cert: d.cfg.TLS.Cert, Key: d.cfg.TLS.Key, ClientCA: d.cfg.TLS.ClientCA, Log: log}
	if d.cfg.TLS.SelfSigned {
		k.Dir, k.Hosts = tlsDir(c), certificateHosts(all)
	}
	var err error
	if d.certs, err = localca.NewKeeper(k); err != nil {
		return fmt.Errorf("listener %s: set up TLS: %w", d.cfg.Name, err)
	}
	return nil
}

// tlsDir holds the certificates that Outcrop makes.
func tlsDir(c Config) string { return filepath.Join(c.DataDir, "tls") }

func (d *door) reloadPolicy() error {
	if d.cfg.Policy == "" {
		return nil
	}
	text, err := readPolicy(d.cfg.Policy)
	if err != nil {
		return err
	}
	if old := d.policy.Load(); old == nil || !bytes.Equal(*old, text) {
		d.policy.Store(&text)
	}
	return nil
}

// reload takes up changed certificates and endpoint policies at once. What cannot
// be used leaves the old in place.
func (f *front) reload() {
	for _, d := range f.doors {
		err := d.reloadPolicy()
		if d.certs != nil {
			err = errors.Join(err, d.certs.Reload())
		}
		if err != nil {
			f.log.Error("what changed cannot be used; the old stays in use", "listener", d.cfg.Name, "error", err)
			continue
		}
		f.log.Info("read the files of a listener again", "listener", d.cfg.Name)
	}
}

// watch takes up changed certificates until ctx ends.
func (f *front) watch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range f.doors {
		if d.certs != nil {
			g.Go(func() error { return d.certs.Run(ctx) })
		}
	}
	return g.Wait()
}

// metrics reports whether a door has the page of metrics.
func (f *front) metrics() bool {
	return slices.ContainsFunc(f.doors, func(d *door) bool { return d.cfg.Metrics })
}

// handle sets what answers calls, on all doors, and the page of metrics, on those
// that have it.
func (f *front) handle(h http.Handler, book *metrics.Book) {
	for _, d := range f.doors {
		own := h
		if d.cfg.Metrics {
			page := book.Handler()
			own = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == metrics.Path {
					page.ServeHTTP(w, r)
					return
				}
				h.ServeHTTP(w, r)
			})
		}
		d.http = newServer(d.tell(own), nil, f.log)
		if d.certs != nil {
			d.http = newServer(d.tell(own), d.certs.Config(), f.log)
		}
		d.http.ConnContext = withConn
	}
}

// serve takes calls with base as their parent context until shutdown or close. It
// returns the first error of a door.
func (f *front) serve(base context.Context) error {
	failed := make(chan error, len(f.doors))
	for _, d := range f.doors {
		d.http.BaseContext = func(net.Listener) context.Context { return base }
		go func() {
			l := network.Guard(d.listen, d.rules)
			if d.certs != nil {
				failed <- d.http.ServeTLS(l, "", "")
			} else {
				failed <- d.http.Serve(l)
			}
		}()
	}
	var errs []error
	for range f.doors {
		err := <-failed
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
			_ = f.cut() // one door alone would look like a whole server
		}
	}
	return errors.Join(errs...)
}

// shutdown stops taking calls and waits for those that run, until ctx ends.
func (f *front) shutdown(ctx context.Context) error {
	errs := make([]error, len(f.doors))
	var g errgroup.Group
	for i, d := range f.doors {
		g.Go(func() error { errs[i] = d.http.Shutdown(ctx); return nil })
	}
	_ = g.Wait() // the errors are in errs
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// cut ends all connections.
func (f *front) cut() error {
	var errs []error
	for _, d := range f.doors {
		errs = append(errs, d.http.Close())
	}
	return errors.Join(errs...)
}

// close gives the addresses back.
func (f *front) close() error {
	var errs []error
	for _, d := range f.doors {
		if err := d.listen.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// endpoint is the address for clients of this machine.
func (f *front) endpoint() string {
	all := make([]Listener, len(f.doors))
	for i, d := range f.doors {
		all[i] = d.cfg
	}
	d := f.doors[mainDoor(all)]
	return d.cfg.endpoint(d.listen.Addr().String())
}

// others are the listeners beside the one that endpoint tells of, e.g. "private
// https://10.0.0.5:8443".
func (f *front) others() []string {
	var all []string
	for _, d := range f.doors {
		if e := d.cfg.endpoint(d.listen.Addr().String()); e != f.endpoint() {
			all = append(all, d.cfg.Name+" "+e)
		}
	}
	return all
}

// withConn remembers the connection in the context of its requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		c = t.NetConn()
	}
	if known, ok := c.(*network.Conn); ok {
		return network.WithConn(ctx, known)
	}
	return ctx
}

// tell puts the source of each request into its context.
func (d *door) tell(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told, err := d.told(r)
		switch {
		case errors.Is(err, network.ErrNotAllowed):
			refuse(w, http.StatusForbidden, "AccessDeniedException", err)
		case err != nil:
			refuse(w, http.StatusBadRequest, "ValidationException", err)
		default:
			next.ServeHTTP(w, told)
		}
	})
}

// told is r with its source in the context. That of a plain connection without proxies
// is there already.
func (d *door) told(r *http.Request) (*http.Request, error) {
	c := network.ConnOf(r.Context())
	if c == nil { // never: without it, the listener's rules would not hold
		return nil, errors.New("the connection of the request is not known")
	}
	if r.TLS == nil && len(d.rules.Proxies) == 0 {
		return r, nil
	}
	s, err := d.source(c, r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(network.WithSource(r.Context(), s)), nil
}

func (d *door) source(c *network.Conn, r *http.Request) (network.Source, error) {
	s := c.Source()
	if r.TLS != nil {
		s.TLS = true
		if len(r.TLS.VerifiedChains) > 0 {
			s.ClientCert = r.TLS.PeerCertificates[0].Subject.String()
		}
	}
	if len(d.rules.Proxies) == 0 {
		return s, nil
	}
	return network.Resolve(s, network.Headers{
		For: r.Header["X-Forwarded-For"], Proto: r.Header["X-Forwarded-Proto"], Forwarded: r.Header["Forwarded"],
	}, d.rules.Proxies, d.rules.Allow)
}

// refuse answers before there is a call: the request is not let in.
func refuse(w http.ResponseWriter, status int, code string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-errortype", code)
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "{\"message\":%q}", err.Error()) // texts of our own, in ASCII
}
