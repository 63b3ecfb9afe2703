package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/huggingface"
	"github.com/outcrop/outcrop/internal/weights/pypi"
	"github.com/outcrop/outcrop/internal/wire/h1"
)

// Words that stand for destinations in egress.models.
const (
	// fromCatalog: the hosts that the sources of the catalogue's weights name.
	fromCatalog = "catalogue"
	// fromPip: what the machine's own pip is set up to use, and the addresses that
	// it reports for a package.
	fromPip = "pip"
)

// Egress says where connections out of this machine may go: nowhere with `egress:
// off`, else by a list for each purpose. A list that is set is exact.
type Egress struct {
	// Off refuses every connection. Set by --offline too.
	Off bool
	// Models are where weights and the engine may come from; nil means catalogue
	// and pip. See network.ParseDestination for the other entries.
	Models []string
	// OIDC are identity providers whose documents may be read; nil means those that
	// oidc_issuers names.
	OIDC []string
	// Upstream are servers that run models; nil means those that upstreams names.
	Upstream []string
	// State are servers that several processes of an installation share; nil means
	// those that valkey names.
	State []string
}

// UnmarshalYAML reads `off`, `on` or the lists.
func (e *Egress) UnmarshalYAML(unmarshal func(any) error) error {
	var value any
	if err := unmarshal(&value); err != nil {
		return err
	}
	if word, ok := value.(string); ok {
		if word != "off" && word != "on" {
			return fmt.Errorf("egress: %q is neither off nor on nor lists such as {models: [catalogue, pip], oidc: [], upstream: []}", word)
		}
		e.Off = word == "off"
		return nil
	}
	var lists struct {
		Models   []string `yaml:"models"`
		OIDC     []string `yaml:"oidc"`
		Upstream []string `yaml:"upstream"`
		State    []string `yaml:"state"`
	}
	if err := unmarshal(&lists); err != nil {
		return err
	}
	e.Models, e.OIDC, e.Upstream, e.State = lists.Models, lists.OIDC, lists.Upstream, lists.State
	if m, ok := value.(map[string]any); ok {
		for name, list := range map[string]*[]string{"models": &e.Models, "oidc": &e.OIDC, "upstream": &e.Upstream, "state": &e.State} {
			if _, set := m[name]; set && *list == nil {
				*list = []string{} // nowhere, unlike nil
			}
		}
	}
	return nil
}

// has reports whether a word stands in the list of models.
func (e Egress) has(word string) bool {
	return !e.Off && (e.Models == nil || slices.Contains(e.Models, word))
}

// lists are the destinations that are written out.
func (e Egress) lists() (map[network.Purpose][]network.Destination, error) {
	all := map[network.Purpose][]network.Destination{}
	for p, list := range map[network.Purpose][]string{network.Models: e.Models, network.OIDC: e.OIDC, network.Upstream: e.Upstream, network.State: e.State} {
		for _, text := range list {
			if p == network.Models && (text == fromCatalog || text == fromPip) {
				continue
			}
			d, err := network.ParseDestination(text)
			if err != nil {
				return nil, fmt.Errorf("egress: %s: %w", p, err)
			}
			all[p] = append(all[p], d)
		}
	}
	return all, nil
}

// flows reports whether connections to a listener leave flow records.
func (c Config) flows(l Listener) bool {
	if c.FlowLog != nil {
		return *c.FlowLog
	}
	return l.public()
}

// connect sets up the way out of this machine and the records of connections.
func (c *Config) connect(log *slog.Logger) error {
	lists, err := c.Egress.lists()
	if err != nil {
		return err
	}
	c.record = nil
	if c.FlowLog == nil || *c.FlowLog {
		c.record = network.NewFlowLog(network.FlowConfig{Dir: flowDir(*c), Account: c.Account, Log: log})
	}
	c.out = network.NewEgress(network.EgressConfig{Allow: lists, Off: c.Egress.Off, Flows: c.record, Log: log})
	return nil
}

// disconnect ends what connect set up. Once more does nothing.
func (c Config) disconnect() error { return errors.Join(c.out.Close(), c.record.Close()) }

// flowDir holds the flow records.
func flowDir(c Config) string { return filepath.Join(c.DataDir, "flow") }

// grantCatalog opens the way to the hosts that the catalogue names.
func (c Config) grantCatalog(all []catalog.Weights) {
	e := c.out
	if !c.Egress.has(fromCatalog) {
		return
	}
	grant := func(address string) {
		if u, err := url.Parse(address); err == nil {
			if d, ok := destination(u); ok {
				e.Grant(network.Models, d)
			}
		}
	}
	hub := false
	for _, w := range all {
		sources := []catalog.Source{w.Source}
		if w.Projector != nil {
			sources = append(sources, *w.Projector)
		}
		for _, s := range sources {
			grant(s.URL)
			hub = hub || s.HuggingFace != nil
		}
	}
	if !hub {
		return
	}
	if own := os.Getenv("HF_ENDPOINT"); own != "" {
		grant(own)
		return
	}
	grant(huggingface.DefaultEndpoint)
	for _, storage := range huggingface.Storage() {
		if d, err := network.ParseDestination(storage); err == nil {
			e.Grant(network.Models, d)
		}
	}
}

// destination is the host and port of an address of the web.
func destination(u *url.URL) (network.Destination, bool) {
	host, port := hostPort(u)
	if host == "" || port == 0 {
		return network.Destination{}, false
	}
	d, err := network.ParseDestination(net.JoinHostPort(host, strconv.Itoa(int(port))))
	return d, err == nil
}

func hostPort(u *url.URL) (string, uint16) {
	switch text := u.Port(); {
	case text != "":
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return "", 0
		}
		return u.Hostname(), uint16(n)
	case u.Scheme == "https":
		return u.Hostname(), 443
	case u.Scheme == "http":
		return u.Hostname(), 80
	}
	return "", 0
}

// outbound is an HTTP client's way out for one purpose. Each request is checked by
// the name that it asks for, so neither a redirect nor a connection that is still
// open leads past the list; each connection is checked by its address.
type outbound struct {
	egress  *network.Egress
	purpose network.Purpose
	inner   *http.Transport
	plain   *h1.Transport                         // takes requests without TLS, when set
	via     func(*http.Request) (*url.URL, error) // the proxy that a request takes, if any

	mu      sync.Mutex
	proxies map[string]network.Destination // by the address that is dialled; guarded by mu
}

// newClient returns the HTTP client of a purpose. Proxies of the environment are
// used, as its user set them: what they are asked for is checked by name alone,
// since they look names up themselves.
func newClient(e *network.Egress, p network.Purpose) *http.Client {
	return &http.Client{Transport: newOutbound(e, p, http.ProxyFromEnvironment)}
}

func newOutbound(e *network.Egress, p network.Purpose, via func(*http.Request) (*url.URL, error)) *outbound {
	o := &outbound{egress: e, purpose: p, via: via, proxies: map[string]network.Destination{}}
	o.inner = newTransport()
	o.inner.Proxy = o.proxy
	o.inner.DialContext = o.dial
	return o
}

// RoundTrip implements http.RoundTripper.
func (o *outbound) RoundTrip(r *http.Request) (*http.Response, error) {
	host, port := hostPort(r.URL)
	if err := o.egress.Check(r.Context(), o.purpose, host, port); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as every RoundTripper must
		}
		return nil, err
	}
	if o.plain != nil && r.URL.Scheme == "http" {
		return o.plain.RoundTrip(r)
	}
	return o.inner.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections work.
func (o *outbound) CloseIdleConnections() {
	o.inner.CloseIdleConnections()
	if o.plain != nil {
		o.plain.CloseIdleConnections()
	}
}

func (o *outbound) proxy(r *http.Request) (*url.URL, error) {
	u, err := o.via(r)
	if err != nil || u == nil {
		return u, err
	}
	switch u.Scheme {
	case "http", "https":
	default: // a SOCKS proxy may be asked for a name that only it can look up
		return nil, errors.New("proxies other than http and https are not supported")
	}
	if d, ok := destination(u); ok {
		host, port := hostPort(u)
		o.mu.Lock()
		o.proxies[net.JoinHostPort(host, strconv.Itoa(int(port)))] = d
		o.mu.Unlock()
	}
	return u, nil
}

func (o *outbound) dial(ctx context.Context, _, address string) (net.Conn, error) {
	o.mu.Lock()
	d, ok := o.proxies[address]
	o.mu.Unlock()
	if ok {
		ctx = network.Permit(ctx, o.purpose, d)
	}
	return o.egress.Dial(ctx, o.purpose, address)
}

// permitting lets downloads go where the machine's own settings send them.
type permitting struct {
	weights.Fetcher
	pip bool // pip's addresses are welcome
}

// Fetch implements weights.Fetcher.
func (p permitting) Fetch(ctx context.Context, part weights.Part, path string, s weights.Step) (weights.File, error) {
	if u, err := url.Parse(part.URL); err == nil && part.Configured && p.pip {
		if d, ok := destination(u); ok {
			ctx = network.Permit(ctx, network.Models, d)
		}
	}
	return p.Fetcher.Fetch(ctx, part, path, s)
}

// fetcher downloads what weights and the engine are made of.
func (c Config) fetcher() weights.Fetcher {
	return permitting{fetch.New(fetch.Config{Client: newClient(c.out, network.Models)}), c.Egress.has(fromPip)}
}

// pip resolves packages. Where it may not use the network, it looks into folders
// of this machine only.
func (c Config) pip() *pypi.Source { return &pypi.Source{Offline: !c.Egress.has(fromPip)} }

// newTransport is a transport for clients of our own; its caller says how it
// dials.
func newTransport() *http.Transport {
	return &http.Transport{
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
	}
}
