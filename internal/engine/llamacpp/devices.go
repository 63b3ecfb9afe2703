package llamacpp

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/engine/device"
)

//go:embed devices.py
var devicesScript string

// ListDevices asks a server for the devices that it can compute on beside the CPU.
// The answer says what the drivers say: whether a device computes right, the
// self-test of the first load shows.
func ListDevices(ctx context.Context, h Host) ([]device.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // drivers may take their time the first time
	defer cancel()
	argv := []string{h.Binary, "--list-devices"}
	if h.Binary == "" {
		argv = []string{h.Python, "-I", "-S", "-B", "-c", devicesScript, h.Site}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) // #nosec G204 -- the installed engine
	cmd.Env = environ(h.Env)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its devices: %w", err)
	}
	return device.Parse(bytes.NewReader(out))
}

// findDevices is ListDevices where there can be any: it costs a start of the server.
func findDevices(ctx context.Context, h Host) ([]device.Device, error) {
	if runtime.GOOS == "linux" && len(device.Nodes()) == 0 {
		return nil, nil
	}
	return ListDevices(ctx, h)
}

// withDevices returns h with the devices that it may use. What goes wrong leaves it
// the CPU.
func (e *Engine) withDevices(ctx context.Context, h Host) Host {
	find := e.cfg.Devices
	if find == nil {
		find = findDevices
	}
	list, err := find(ctx, h)
	switch {
	case err != nil:
		e.cfg.Log.Warn("the engine does not tell its devices; it computes on the CPU", "err", err)
		h.layers = new(0)
		return h
	case len(list) == 0:
		return h
	}
	h.Devices = list
	if h.KnownBroken() {
		e.cfg.Log.Warn("the devices failed a self-test before; the engine computes on the CPU", "devices", names(list), "note", h.CPUNote())
		return h.onCPU()
	}
	e.cfg.Log.Info("the engine has devices", "devices", names(list))
	return h
}

// onCPU returns h without its devices.
func (h Host) onCPU() Host {
	h.Devices, h.layers = nil, new(0)
	return h
}

func names(list []device.Device) string {
	s := make([]string, 0, len(list))
	for _, d := range list {
		s = append(s, d.String())
	}
	return strings.Join(s, "; ")
}

const cpuNote = "cpu-only"

// deviceNote is what the note says for which it holds: another build or another card
// is tried again.
func (h Host) deviceNote() string {
	s := h.Build
	for _, d := range h.Devices {
		s += "\n" + d.Name + ": " + d.Description
	}
	return s
}

// CPUNote is the path of the note that the devices do not work.
func (h Host) CPUNote() string { return filepath.Join(h.Dir, cpuNote) }

// KnownBroken tells whether an earlier load found that the devices do not work.
func (h Host) KnownBroken() bool {
	if h.Dir == "" {
		return false
	}
	b, err := os.ReadFile(h.CPUNote())
	return err == nil && strings.TrimSpace(string(b)) == h.deviceNote()
}

// noteBroken remembers that the devices of h do not work. Removing the file has them
// tried again.
func (h Host) noteBroken() error {
	if h.Dir == "" {
		return nil
	}
	if err := os.WriteFile(h.CPUNote(), []byte(h.deviceNote()+"\n"), 0o600); err != nil {
		return fmt.Errorf("remember that devices do not work: %w", err)
	}
	return nil
}

// cards keeps account of the memory of devices, as the ledger does of the machine's.
// Nobody waits for it: what does not fit on the devices is computed on the CPU.
type cards struct {
	mu   sync.Mutex
	used map[*runner]int64 // bytes on all devices together: the server spreads a model
}

// onHost is what stays in the machine's memory of a process whose layers all lie on a
// device: the program, the token table and buffers to copy by.
const onHost = 512 << 20

// place decides how many layers of fa lie on the devices of h, and returns h with that
// decision and the bytes that the process takes of the machine's memory.
func (c *cards) place(r *runner, h Host, fa *facts) (Host, int64) {
	c.release(r)
	if len(h.Devices) == 0 {
		return h, fa.bytes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var used int64
	for _, n := range c.used {
		used += n
	}
	all := fa.layers + 1 // the output counts as one
	layers := device.Layers(h.Devices, used, fa.bytes, all)
	h.layers = &layers
	if layers == 0 {
		return h.onCPU(), fa.bytes
	}
	on := fa.bytes * int64(layers) / int64(all)
	c.used[r] = on
	if h.Devices[0].Shared() { // the machine's memory is the device's
		return h, fa.bytes
	}
	return h, min(fa.bytes, fa.bytes-on+onHost)
}

// release gives back what r's process took.
func (c *cards) release(r *runner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.used, r)
}

// withoutDevices takes the devices away from all loads to come: they failed, and the
// CPU did not.
func (e *Engine) withoutDevices(failed Host) {
	if err := failed.noteBroken(); err != nil {
		e.cfg.Log.Warn("the devices' failure is not remembered", "err", err)
	}
	e.hostMu.Lock()
	defer e.hostMu.Unlock()
	if e.hosted != nil {
		e.hosted = new(e.hosted.onCPU())
	}
}

// spawnOnCPU is spawn after devices failed with err. When the CPU does better, no
// later load uses the devices.
func (r *runner) spawnOnCPU(ctx context.Context, h Host, fa *facts, safe bool, err error) (*instance, error) {
	r.log.Warn("the load failed on the engine's devices; trying the CPU", "devices", names(h.Devices), "err", err)
	r.eng.cards.release(r)
	r.eng.ledger.release(r)
	if err := r.eng.ledger.reserve(ctx, r, fa.bytes, func() bool { return true }); err != nil {
		return nil, err
	}
	inst, err := r.spawn(ctx, h.onCPU(), fa, safe)
	if err == nil {
		r.eng.withoutDevices(h)
		r.log.Warn("the engine computes on the CPU from now on", "devices", names(h.Devices))
	}
	return inst, err
}
