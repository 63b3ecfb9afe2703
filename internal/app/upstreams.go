package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	openaiengine "github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/h1"
)

// Upstream is a server that runs models for this one, over OpenAI's API. Weights
// of the catalogue are served by it when their source is {upstream: NAME}, and by
// several when it is {upstreams: [NAME, NAME]}.
type Upstream struct {
	// Name is how the catalogue calls it. Required.
	Name string `yaml:"name"`
	// URL is where its API lies, e.g. http://10.0.0.7:8000/v1. Required, but for kind
	// bedrock: AWS's own address of the Region.
	URL string `yaml:"url"`
	// Kind is llama-server, vllm, sglang, ollama or openai; default what the server
	// says of itself. Behind a gateway it has to be set. bedrock is AWS or another
	// Outcrop; sd-server and openai-images make pictures.
	Kind string `yaml:"kind"`
	// Model is the name of the model at the server; default the only one there.
	Model string `yaml:"model"`
	// KeyFile is a file with the key that is sent as bearer token, KeyEnv an
	// environment variable with it. At most one; default no key.
	KeyFile string `yaml:"key_file"`
	KeyEnv  string `yaml:"key_env"`
	// CAFile holds certificates, in PEM, of the authorities that the server's may be
	// signed by; default those of the machine.
	CAFile string `yaml:"ca_file"`
	// Headers are sent with every request.
	Headers map[string]string `yaml:"headers"`
	// ConnectTimeout bounds connecting, TLS included; default 5 s. FirstByte is how
	// long the first event of a reply may take; default 120 s. Idle is the longest
	// time between two events; default 60 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	FirstByte      time.Duration `yaml:"first_byte_timeout"`
	Idle           time.Duration `yaml:"idle_timeout"`
	// Concurrent is how many generations run there at a time; default 64.
	Concurrent int `yaml:"concurrent"`
	// MaxTokens is how many tokens may be set aside there at a time, input and output
	// limits together, before other servers of the same weights are preferred; default
	// any number.
	MaxTokens int `yaml:"max_tokens"`
	// Region is where the server stands: it answers only calls that may be answered
	// there. Default every region.
	Region string `yaml:"region"`
	// Order is its place among the servers of the same weights: those of a higher
	// order get what those of lower ones cannot take. Default 0.
	Order int `yaml:"order"`
	// Tools, Images and Thoughts say what the model can do; llama-server tells
	// itself.
	Tools    bool `yaml:"tools"`
	Images   bool `yaml:"images"`
	Thoughts bool `yaml:"thoughts"`
	// SpecialTokens are control tokens of the vocabulary, for servers that do not
	// tell them.
	SpecialTokens []string `yaml:"special_tokens"`
	// Exclusive: nobody else uses this llama-server, which runs with --cache-ram 0.
	Exclusive bool `yaml:"exclusive"`
	// Accounts may use a server that cannot keep the prompts of accounts apart: kinds
	// ollama and openai. Default the account of the installation; "*" are all.
	Accounts []string `yaml:"accounts"`
	// Gateway is llm-d when its router stands before the server.
	Gateway string `yaml:"gateway"`
	// CredentialsFile is a file of AWS's form with an access key, of its profile
	// CredentialsProfile (default "default"); CredentialsEnv is how the names of the
	// environment variables with one begin, such as "AWS_". Kind bedrock needs one of
	// these, or a key.
	CredentialsFile    string `yaml:"credentials_file"`
	CredentialsProfile string `yaml:"credentials_profile"`
	CredentialsEnv     string `yaml:"credentials_env"`
	// ImageSampling says that a server of OpenAI's images API takes seed,
	// negative_prompt, num_inference_steps and guidance_scale too. ImageSizes are all
	// that it makes, such as "1024x1024"; default any.
	ImageSampling bool     `yaml:"image_sampling"`
	ImageSizes    []string `yaml:"image_sizes"`
}

const defaultConnect = 5 * time.Second

// checkUpstreams refuses what needs no look at the catalogue.
func checkUpstreams(all []Upstream) error {
	seen := map[string]bool{}
	for i, u := range all {
		switch {
		case u.Name == "":
			return fmt.Errorf("upstreams: entry %d has no name", i+1)
		case seen[u.Name]:
			return fmt.Errorf("upstreams: %s stands twice", u.Name)
		case u.URL == "" && u.Kind != kindBedrock:
			return fmt.Errorf("upstreams: %s: url is missing", u.Name)
		case u.KeyFile != "" && u.KeyEnv != "":
			return fmt.Errorf("upstreams: %s: key_file and key_env: want one of them", u.Name)
		case u.ConnectTimeout < 0:
			return fmt.Errorf("upstreams: %s: connect_timeout must not be negative", u.Name)
		case u.MaxTokens < 0 || u.Order < 0:
			return fmt.Errorf("upstreams: %s: max_tokens and order must not be negative", u.Name)
		case u.Region != "" && !arn.ValidRegion(u.Region):
			return fmt.Errorf("upstreams: %s: region: %q is not a region", u.Name, u.Region)
		}
		if err := u.checkKind(); err != nil {
			return fmt.Errorf("upstreams: %s: %w", u.Name, err)
		}
		seen[u.Name] = true
	}
	return nil
}

// grantUpstream opens the way to a server, unless the configuration lists where
// connections may go.
func (c Config) grantUpstream(address string) {
	if c.Egress.Upstream != nil {
		return
	}
	if u, err := url.Parse(address); err == nil {
		if d, ok := destination(u); ok {
			c.out.Grant(network.Upstream, d)
		}
	}
}

// upstream is the engine's view of a server and the weights on it.
func (s *Server) upstream(u Upstream, w *catalog.Weights) (openaiengine.Upstream, error) {
	out := openaiengine.Upstream{
		URL: u.URL, Kind: openaiengine.Kind(u.Kind), Model: cmp.Or(w.Source.Model, u.Model), Mode: engine.Mode(w.Mode),
		Concurrent: u.Concurrent, MaxTokens: u.MaxTokens, ContextTokens: w.ContextTokens, FirstByte: u.FirstByte, Idle: u.Idle,
		Tools: u.Tools, Images: u.Images, Thoughts: u.Thoughts, SpecialTokens: u.SpecialTokens,
		Exclusive: u.Exclusive, Scopes: u.Accounts, Gateway: u.Gateway, Header: u.header(),
	}
	if len(out.Scopes) == 0 {
		out.Scopes = []string{s.cfg.Account}
	}
	var err error
	if out.Key, err = s.upstreamKey(u); err != nil {
		return out, err
	}
	out.Transport, err = u.transport(s.cfg.out)
	return out, err
}

// upstreamKey reads the key of a server and warns of one that others may read.
func (s *Server) upstreamKey(u Upstream) (secret.Value, error) {
	key, err := u.key()
	if err != nil || key.IsZero() || !strings.HasPrefix(u.URL, "http://") {
		return key, err
	}
	if at, err := url.Parse(u.URL); err == nil && !loopbackHost(at.Hostname()) {
		s.log.Warn("the key of an upstream travels without TLS", "upstream", u.Name)
	}
	return key, nil
}

// key reads the key; none is no error when none is configured.
func (u Upstream) key() (secret.Value, error) {
	var text []byte
	switch {
	case u.KeyFile != "":
		b, err := os.ReadFile(u.KeyFile) // #nosec G304 -- the operator names this file
		if err != nil {
			return secret.Value{}, fmt.Errorf("key_file: %w", err)
		}
		text = bytes.TrimSpace(b)
	case u.KeyEnv != "":
		text = []byte(strings.TrimSpace(os.Getenv(u.KeyEnv)))
	default:
		return secret.Value{}, nil
	}
	if len(text) == 0 {
		return secret.Value{}, errors.New("key_file, key_env: there is no key")
	}
	if bytes.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }) {
		return secret.Value{}, errors.New("key_file, key_env: want one line of printable characters")
	}
	return secret.New(text), nil
}

// transport makes the connections to a server: through the way out of this
// machine, and through no proxy, which would see prompts.
func (u Upstream) transport(out *network.Egress) (http.RoundTripper, error) {
	o := newOutbound(out, network.Upstream, func(*http.Request) (*url.URL, error) { return nil, nil })
	connect := cmp.Or(u.ConnectTimeout, defaultConnect)
	o.inner.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connect)
		defer cancel()
		return o.dial(ctx, network, address)
	}
	o.inner.TLSHandshakeTimeout = connect
	o.inner.ResponseHeaderTimeout = 0 // the engine watches
	o.inner.DisableCompression = true
	o.inner.MaxIdleConnsPerHost = u.concurrent()
	o.plain = &h1.Transport{Dial: o.inner.DialContext, MaxIdle: u.concurrent()}
	if u.CAFile == "" {
		return o, nil
	}
	pem, err := os.ReadFile(u.CAFile) // #nosec G304 -- the operator names this file
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca_file: it holds no certificate in PEM")
	}
	o.inner.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return o, nil
}
