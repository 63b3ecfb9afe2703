package app

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"

	"github.com/outcrop/outcrop/internal/engine/sandbox"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// DefaultListen is where `outcrop serve` listens unless told otherwise.
const DefaultListen = "127.0.0.1:8686"

// Config is what an operator may set, in a YAML file given with --config. Every
// field may be left out.
type Config struct {
	// DataDir holds the database, the root key, models and engines. Set by
	// --data; default the user's data folder.
	DataDir string `yaml:"-"`
	// Listen is HOST:PORT. Set by --listen too; default 127.0.0.1:8686. A host
	// that is not loopback needs TLS.
	Listen string `yaml:"listen"`
	// TLS switches encryption on.
	TLS TLS `yaml:"tls"`
	// Metrics answers /metrics, the page for Prometheus, on the listener, to whoever
	// may connect. Default false.
	Metrics bool `yaml:"metrics"`
	// Listeners are the doors of the server, in place of Listen, TLS and Metrics, which
	// are the short form of one that is called "default".
	Listeners []Listener `yaml:"listeners"`
	// FlowLog keeps a record of each connection in <data>/flow. Default: of
	// listeners that other machines can reach, and of connections out of this one.
	FlowLog *bool `yaml:"flow_log"`
	// Egress says where connections out of this machine may go.
	Egress Egress `yaml:"egress"`
	// OIDCIssuers are identity providers whose tokens are believed. Default none.
	OIDCIssuers []OIDCIssuer `yaml:"oidc_issuers"`
	// Upstreams are servers that run models; weights of the catalogue name them as
	// their source. Default none.
	Upstreams []Upstream `yaml:"upstreams"`
	// Pools says how a server is picked where weights have several.
	Pools Pools `yaml:"pools"`
	// Valkey is where several servers count quotas and keep cached replies together.
	// Default none.
	Valkey Valkey `yaml:"valkey"`
	// Caches spare models the work that was done before. Default off.
	Caches Caches `yaml:"caches"`
	// ProvisionedUnits is how many model units of provisioned throughput an account
	// may have in a region; default 2.
	ProvisionedUnits int `yaml:"provisioned_units"`
	// Workloads are programs of this machine that get credentials. Default none.
	Workloads Workloads `yaml:"workloads"`
	// Regions are the only regions that this installation serves: calls that are
	// scoped to another one are refused, and no profile leads out of them. Default
	// every region. The first one stands in where a request names none.
	Regions []string `yaml:"regions"`
	// Account owns the first access key; 12 digits.
	Account string `yaml:"account"`
	// Catalog is a YAML file whose models and weights are added to the built-in
	// catalogue; an entry with a known id replaces it.
	Catalog string `yaml:"catalog"`
	// StandIns lets well-known ids be served by other weights, disclosed. Default true.
	StandIns *bool `yaml:"stand_ins"`
	// StrictParity answers AWS's 400 where Outcrop is lenient by default.
	StrictParity bool `yaml:"strict_parity"`
	// ModelsDir and EnginesDir hold downloads; default folders in DataDir.
	ModelsDir  string `yaml:"models_dir"`
	EnginesDir string `yaml:"engines_dir"`
	Engine     Engine `yaml:"engine"`
	Usage      Usage  `yaml:"usage"`
	Keys       Keys   `yaml:"keys"`
	// RootKey says how the key is kept that all secrets are sealed under.
	RootKey RootKey `yaml:"root_key"`
	Limits  Limits  `yaml:"limits"`
	// DocumentReader is the command that reads one document (document.Child);
	// empty means this program with the argument document.Argument, whose main
	// function must ask document.InChild.
	DocumentReader []string `yaml:"-"`
	// EngineLauncher is the command that confines a model's process and becomes it
	// (sandbox.Child); empty means this program with the argument sandbox.Argument,
	// whose main function must ask sandbox.InChild.
	EngineLauncher []string `yaml:"-"`

	out    *network.Egress  // the one way out; set by withDefaults
	record *network.FlowLog // nil keeps no flow records; set by withDefaults
}

// Engine sets up the model server.
type Engine struct {
	// Command is a llama-server to use; default one on PATH that passes the
	// contract test, else the one that Outcrop installs.
	Command string `yaml:"command"`
	// Slots is how many requests one model serves at a time; default 4.
	Slots int `yaml:"slots"`
	// MaxContext bounds the tokens of one request; default 8192.
	MaxContext int `yaml:"max_context"`
	// QueueDeadline is how long a request may wait for a slot; default 30 s.
	QueueDeadline time.Duration `yaml:"queue_deadline"`
	// Queue is how many requests may wait for one model at a time; default 64.
	// Further ones are answered ThrottlingException at once.
	Queue int `yaml:"queue"`
	// MemoryLimit is how much memory all models may use together, in bytes;
	// default four fifths of the machine's.
	MemoryLimit int64 `yaml:"memory_limit"`
	// Threads that one model may use; default the machine's physical cores.
	Threads int `yaml:"threads"`
	// IdleSleep is after how long without a request a model gives its memory back but
	// for a part of its memory, to wake up with the next one; default 10 min, 0 never.
	IdleSleep *time.Duration `yaml:"idle_sleep"`
	// IdleUnload is after how long without a request a model's process ends; default
	// 1 h, 0 never.
	IdleUnload *time.Duration `yaml:"idle_unload"`
	// Replicas is how many processes may serve one model while callers wait for it
	// and memory is free; default 0: as many as find Threads cores each, one core
	// apart, and at least one.
	Replicas int `yaml:"replicas"`
	// Pin are weights that are loaded at once, never leave, and come back after every
	// crash. Preload are weights that are loaded at once.
	Pin     []string `yaml:"pin"`
	Preload []string `yaml:"preload"`
	// KVTokens is how many tokens the requests that one process serves at a time may
	// have together, input and output: less memory than a whole context for each, and
	// requests wait until theirs fit. Default 0: each slot has a whole context.
	KVTokens int `yaml:"kv_tokens"`
	// Sandbox confines the processes of models.
	Sandbox Sandbox `yaml:"sandbox"`
}

// Limits bound what clients may take of the server.
type Limits struct {
	// Drain is how long running calls may take after a stop was asked for;
	// default 25 s.
	Drain time.Duration `yaml:"drain"`
	// Write is how long a client may take to accept one event, or 256 KiB of an
	// answer; default 30 s.
	Write time.Duration `yaml:"write"`
	// Bodies is how many bytes all request bodies in memory may have together;
	// default 512 MiB.
	Bodies int64 `yaml:"bodies"`
}

// RootKey sets how the root key is kept: by default as a file of mode 0600. At most
// one way may be set; `outcrop keys protect` goes over to it.
type RootKey struct {
	// PassphraseFile holds the passphrase that encrypts the key; white space around
	// it does not count. Its group and others may not read it.
	PassphraseFile string `yaml:"passphrase_file"`
	// Wrap and Unwrap are commands, each a list of words, of a key management system,
	// see keys.Protection.
	Wrap   []string `yaml:"wrap"`
	Unwrap []string `yaml:"unwrap"`
}

// protection reads what the configuration names.
func (r RootKey) protection() (keys.Protection, error) {
	if r.PassphraseFile != "" && len(r.Wrap)+len(r.Unwrap) > 0 {
		return keys.Protection{}, errors.New("root_key: set either passphrase_file, or wrap and unwrap, not both")
	}
	if len(r.Wrap) > 0 && len(r.Unwrap) == 0 {
		return keys.Protection{}, errors.New("root_key: wrap and unwrap go together")
	}
	p := keys.Protection{Wrap: r.Wrap, Unwrap: r.Unwrap}
	if r.PassphraseFile == "" {
		return p, nil
	}
	text, err := keys.ReadSecretFile(r.PassphraseFile)
	if err != nil {
		return p, fmt.Errorf("root_key: passphrase_file: %w", err)
	}
	p.Passphrase = text
	return p, nil
}

// Keys sets what keys callers may have.
type Keys struct {
	// ForbidLongTermBearer refuses to make long-term bearer keys; those that exist go
	// on.
	ForbidLongTermBearer bool `yaml:"forbid_long_term_bearer"`
}

// Usage sets how usage records are kept.
type Usage struct {
	// Strict stores the record of a call before the call ends. Default false:
	// records are stored in groups within 200 ms.
	Strict bool `yaml:"strict"`
	// Keep is how long records are kept, e.g. 400d; 0 keeps them for ever. Default
	// 400 days: the 13 months that AWS Cost Explorer shows.
	Keep *time.Duration `yaml:"keep"`
}

// LoadConfig reads a configuration file. An empty path gives the defaults.
// Errors name the line.
func LoadConfig(path string) (Config, error) {
	var c Config
	if path == "" {
		return c, nil
	}
	f, err := os.Open(path) // #nosec G304 -- the operator names this file
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close() // read only
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict(), yaml.CustomUnmarshaler(readDuration)).Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, located(path, b, err)
	}
	return c, nil
}

// durationError is a value that is no duration. The YAML reader does not tell
// where it stands.
type durationError struct{ text string }

func (e durationError) Error() string {
	return fmt.Sprintf("%q is not a duration, e.g. 30s, 2m or 400d", e.text)
}

func readDuration(d *time.Duration, text []byte) error {
	word := strings.Trim(strings.TrimSpace(string(text)), `"'`)
	v, err := time.ParseDuration(word)
	if days, ok := strings.CutSuffix(word, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		v = time.Duration(n) * 24 * time.Hour // #nosec G115 -- 16 bits
	}
	if err != nil {
		return durationError{word}
	}
	*d = v
	return nil
}

// located adds the line to an error of the YAML reader.
func located(path string, text []byte, err error) error {
	line, message := 0, err.Error()
	if ye, ok := errors.AsType[yaml.Error](err); ok {
		message = ye.GetMessage()
		if t := ye.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
	}
	if de, ok := errors.AsType[durationError](err); ok {
		message = de.Error()
		for _, t := range lexer.Tokenize(string(text)) {
			if t.Value == de.text {
				line = t.Position.Line
				break
			}
		}
	}
	if line == 0 {
		return fmt.Errorf("configuration %s: %s", path, message)
	}
	return fmt.Errorf("configuration %s: line %d: %s", path, line, message)
}

// withDefaults fills what was left out and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if len(c.Listeners) == 0 {
		c.Listen = cmp.Or(c.Listen, DefaultListen)
	}
	c.Account = cmp.Or(c.Account, keys.DefaultAccount)
	if err := c.checkListeners(); err != nil {
		return c, err
	}
	if err := checkRegions(c.Regions); err != nil {
		return c, err
	}
	if err := checkUpstreams(c.Upstreams); err != nil {
		return c, err
	}
	if err := c.Pools.check(); err != nil {
		return c, err
	}
	if err := c.Valkey.check(); err != nil {
		return c, err
	}
	if err := c.Caches.check(); err != nil {
		return c, err
	}
	if c.out == nil {
		if err := c.connect(slog.New(slog.DiscardHandler)); err != nil {
			return c, err
		}
	}
	if c.StandIns == nil {
		c.StandIns = new(true)
	}
	if c.ModelsDir == "" {
		c.ModelsDir = filepath.Join(c.DataDir, "models")
	}
	if c.EnginesDir == "" {
		c.EnginesDir = filepath.Join(c.DataDir, "engines")
	}
	if c.Engine.Slots == 0 {
		c.Engine.Slots = 4
	}
	if c.Engine.MaxContext == 0 {
		c.Engine.MaxContext = 8192
	}
	if c.Engine.QueueDeadline == 0 {
		c.Engine.QueueDeadline = 30 * time.Second
	}
	if c.Engine.Queue == 0 {
		c.Engine.Queue = limit.DefaultMaxQueue
	}
	if c.Engine.Queue < 0 {
		return c, errors.New("engine: queue must not be negative")
	}
	if c.ProvisionedUnits < 0 {
		return c, errors.New("provisioned_units: must not be negative")
	}
	if err := c.Engine.scale(); err != nil {
		return c, err
	}
	if c.Usage.Keep == nil {
		c.Usage.Keep = new(400 * 24 * time.Hour)
	}
	if *c.Usage.Keep < 0 {
		return c, errors.New("usage: keep must not be negative; 0 keeps records for ever")
	}
	c.Limits.Drain = cmp.Or(c.Limits.Drain, 25*time.Second)
	c.Limits.Write = cmp.Or(c.Limits.Write, 30*time.Second)
	c.Limits.Bodies = cmp.Or(c.Limits.Bodies, 512<<20)
	if c.Limits.Drain < 0 || c.Limits.Write < 0 || c.Limits.Bodies < 25_000_000 {
		return c, errors.New("limits: drain and write must not be negative, and bodies at least 25000000, the largest body of one request")
	}
	if !arn.ValidAccount(c.Account) {
		return c, fmt.Errorf("account: %q is not an account id of 12 digits", c.Account)
	}
	if err := c.Engine.Sandbox.resolve(); err != nil {
		return c, err
	}
	if len(c.EngineLauncher) == 0 {
		self, err := sandbox.Self()
		if err != nil {
			return c, err
		}
		c.EngineLauncher = self.Command
	}
	if c.Engine.MemoryLimit < 0 || c.Engine.Threads < 0 {
		return c, errors.New("engine: memory_limit and threads must not be negative")
	}
	if c.Engine.Slots < 1 || c.Engine.Slots > 256 || c.Engine.MaxContext < 64 || c.Engine.QueueDeadline < 0 {
		return c, errors.New("engine: slots must be 1 to 256, max_context at least 64 and queue_deadline not negative")
	}
	return c, nil
}

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
