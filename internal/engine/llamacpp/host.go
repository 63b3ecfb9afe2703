package llamacpp

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/engine/device"
)

//go:embed host.py
var hostScript string

// logLevel is what the server may log: errors and warnings. From level 4 on it
// would log prompts.
const logLevel = 2

// Host is an installed llama.cpp server: either a llama-server binary or a
// Python with the package xllamacpp.
type Host struct {
	// Binary is the path of a llama-server. When it is empty, Python is used.
	Binary string
	// Python is the path of a Python interpreter, 3.10 or newer, and Site the
	// folder that holds the package xllamacpp (a site-packages folder).
	Python string
	Site   string
	// Build names the version of the server, e.g. "xllamacpp 2026.10.11549".
	Build string
	// Dir is a folder of this installation in which the engine keeps a note
	// when this machine needs safe mode. "" means the note is not kept.
	Dir string
	// Devices are those that the server found and that passed the self-test; none
	// means that it computes on the CPU.
	Devices []device.Device
	// Knows are options of a binary beyond those that it must know, as "--kv-unified";
	// Probe finds them. The hosted server knows all of them.
	Knows []string
	// layers is how many layers of a model lie on Devices; nil leaves it to the
	// server.
	layers *int
	// Env is added to the few variables that the server inherits.
	Env []string
}

// Installer provides a llama.cpp server, installing it when needed.
type Installer interface {
	// Engine returns the installed server. It may take minutes the first time.
	Engine(ctx context.Context) (Host, error)
}

// InstallerFunc makes an Installer of a function.
type InstallerFunc func(ctx context.Context) (Host, error)

// Engine calls f.
func (f InstallerFunc) Engine(ctx context.Context) (Host, error) { return f(ctx) }

// Discover returns an Installer that looks for a server in this order: the
// configured path (an error when it fails the contract test), a llama-server on
// PATH if it passes the contract test, and at last the given installer.
func Discover(path string, last Installer) Installer {
	return InstallerFunc(func(ctx context.Context) (Host, error) {
		if path != "" {
			return Probe(ctx, path)
		}
		if found, err := exec.LookPath("llama-server"); err == nil {
			if h, err := Probe(ctx, found); err == nil {
				return h, nil
			}
		}
		if last == nil {
			return Host{}, errors.New("no llama-server on PATH passes the contract test, and no engine can be installed")
		}
		return last.Engine(ctx)
	})
}

// contract are the options that a llama-server must know. What the options do is
// proven by the self-test of the first load.
var contract = []string{
	"--host", "--model", "--alias", "--ctx-size", "--parallel", "--batch-size", "--ubatch-size", "--threads",
	"--threads-batch", "--cache-ram", "--metrics", "--offline", "--embeddings", "--pooling", "--no-repack", "--fit",
	"--no-context-shift", "--no-slots", "--log-verbosity", "--jinja", "--mmproj", "--chat-template",
}

// wishes are options that Outcrop sets where the server knows them.
var wishes = []string{optSleep, optUnified, optCheckpoints}

const (
	optSleep       = "--sleep-idle-seconds"
	optUnified     = "--kv-unified"
	optCheckpoints = "--ctx-checkpoints"
)

// Probe is the contract test of a llama-server binary: it runs, tells its
// version, and knows every option that Outcrop sets. It starts no server.
func Probe(ctx context.Context, path string) (Host, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	run := func(arg string) (string, error) {
		cmd := exec.CommandContext(ctx, path, arg) // #nosec G204 -- the operator's own binary
		cmd.Env = environ(nil)
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	help, err := run("--help")
	if err != nil {
		return Host{}, fmt.Errorf("run %s --help: %w", path, err)
	}
	known := map[string]bool{}
	for _, w := range strings.FieldsFunc(help, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' }) {
		known[w] = true
	}
	for _, o := range contract {
		if !known[o] {
			return Host{}, fmt.Errorf("%s does not know the option %s: it is too old for Outcrop", path, o)
		}
	}
	version, err := run("--version")
	if err != nil {
		return Host{}, fmt.Errorf("run %s --version: %w", path, err)
	}
	build := "llama-server"
	for line := range strings.Lines(version) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "version:"); ok {
			build += " " + strings.TrimSpace(v)
		}
	}
	h := Host{Binary: path, Build: build}
	for _, o := range wishes {
		if known[o] {
			h.Knows = append(h.Knows, o)
		}
	}
	return h, nil
}

// launch is what a process is started for.
type launch struct {
	model     string // path of the GGUF file
	projector string // path of the projector; "" without
	template  string // chat template instead of the file's; "" leaves that
	alias     string // id of the weights
	socket    string
	slots     int
	context   int // tokens per slot
	batch     int
	threads   int
	embedding bool
	pooling   string        // "MEAN", "CLS", ...; "" leaves it to the file
	kv        int           // tokens that all slots share; 0 when each has its own
	sleep     time.Duration // without a request, before it gives its memory back; 0 never
	safe      bool          // without repacked weights: for CPUs on which those crash
}

// hostConfig is argv[1] of host.py.
type hostConfig struct {
	Parent    int    `json:"parent"`
	Site      string `json:"site"`
	Model     string `json:"model"`
	Projector string `json:"projector"`
	Template  string `json:"template"`
	Alias     string `json:"alias"`
	Socket    string `json:"socket"`
	Slots     int    `json:"slots"`
	Context   int    `json:"context"`
	Batch     int    `json:"batch"`
	Threads   int    `json:"threads"`
	Embedding bool   `json:"embedding"`
	Pooling   string `json:"pooling"`
	KV        int    `json:"kv"`    // 0: each slot has its own
	Sleep     int    `json:"sleep"` // seconds; -1: never
	Spare     int    `json:"spare"` // states of each slot that are kept aside
	Safe      bool   `json:"safe"`
	Verbosity int    `json:"verbosity"`
	Layers    *int   `json:"layers"`
}

// command returns the program, its arguments and its environment.
func (h Host) command(l launch) (argv, env []string, err error) {
	env = environ(h.Env)
	if h.Binary != "" {
		argv = append([]string{h.Binary}, l.flags(h)...)
		if h.layers != nil {
			argv = append(argv, "--n-gpu-layers", strconv.Itoa(*h.layers))
		}
		return argv, append(env, "LLAMA_SERVER_ROUTER_PORT=1"), nil
	}
	if h.Python == "" {
		return nil, nil, errors.New("the engine host has neither a binary nor a Python")
	}
	cfg, err := json.Marshal(hostConfig{
		Parent: os.Getpid(), Site: h.Site, Model: l.model, Projector: l.projector, Template: l.template, Alias: l.alias, Socket: l.socket,
		Slots: l.slots, Context: l.context, Batch: l.batch, Threads: l.threads,
		Embedding: l.embedding, Pooling: l.pooling, KV: l.kv, Sleep: l.sleepSeconds(), Spare: checkpoints, Safe: l.safe, Verbosity: logLevel, Layers: h.layers,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("encode the host's settings: %w", err)
	}
	// -I: no user site, no PYTHON variables; -S: no site at all; -B: write nothing.
	return []string{h.Python, "-I", "-S", "-B", "-c", hostScript, string(cfg)}, env, nil
}

// sleepSeconds is l.sleep in whole seconds, -1 for never.
func (l launch) sleepSeconds() int {
	if l.sleep <= 0 {
		return -1
	}
	return int((l.sleep + time.Second - 1) / time.Second)
}

// flags are the arguments of a llama-server binary.
func (l launch) flags(h Host) []string {
	n := strconv.Itoa
	size := l.slots * l.context
	if l.kv > 0 && slices.Contains(h.Knows, optUnified) {
		size = l.kv
	}
	f := []string{
		"--model", l.model, "--alias", l.alias, "--host", l.socket,
		"--ctx-size", n(size), "--parallel", n(l.slots),
		"--batch-size", n(l.batch), "--ubatch-size", n(l.batch),
		"--threads", n(l.threads), "--threads-batch", n(l.threads),
		"--cache-ram", "0", "--metrics", "--offline", "--fit", "off", "--no-context-shift", "--no-slots", "--jinja",
		"--log-verbosity", n(logLevel),
	}
	if size == l.kv {
		f = append(f, optUnified)
	}
	if l.sleep > 0 && slices.Contains(h.Knows, optSleep) {
		f = append(f, optSleep, n(l.sleepSeconds()))
	}
	if slices.Contains(h.Knows, optCheckpoints) {
		f = append(f, optCheckpoints, n(checkpoints))
	}
	if l.projector != "" {
		f = append(f, "--mmproj", l.projector)
	}
	if l.template != "" {
		f = append(f, "--chat-template", l.template)
	}
	if l.safe {
		f = append(f, "--no-repack")
	}
	if l.embedding {
		f = append(f, "--embeddings")
		if l.pooling != "" {
			f = append(f, "--pooling", strings.ToLower(l.pooling))
		}
	}
	return f
}

// inherited are the variables that a server may need. Everything else, above
// all credentials and LLAMA_ARG_ settings, stays here.
var inherited = []string{
	"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT",
	"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_BACKEND_PATH", "GGML_VK_VISIBLE_DEVICES",
}

func environ(more []string) []string {
	var env []string
	for _, k := range inherited {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return append(env, more...)
}

const safeNote = "safe-mode"

// needsSafeMode tells whether an earlier load found that this build only runs
// in safe mode here.
func (h Host) needsSafeMode() bool {
	if h.Dir == "" {
		return false
	}
	b, err := os.ReadFile(filepath.Join(h.Dir, safeNote))
	return err == nil && string(bytes.TrimSpace(b)) == h.Build
}

// noteSafeMode remembers that this build needs safe mode. The note is worth a
// crash at the next start, no more, so it is written plainly.
func (h Host) noteSafeMode() error {
	if h.Dir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(h.Dir, safeNote), []byte(h.Build+"\n"), 0o600); err != nil {
		return fmt.Errorf("remember safe mode: %w", err)
	}
	return nil
}

// deviceNodes are the device files that the server needs; nil when it uses none.
func (h Host) deviceNodes() []string {
	if len(h.Devices) == 0 {
		return nil
	}
	return device.Nodes()
}
