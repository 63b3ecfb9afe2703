// Package device knows the devices that engines compute on beside the CPU: graphics
// cards of CUDA, ROCm, Vulkan and Metal.
package device

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Device is one device as an engine names it.
type Device struct {
	// Name is the engine's name, e.g. CUDA0, and Description that of its maker.
	Name        string
	Description string
	// Total and Free are bytes of its memory; both 0 when the engine does not tell.
	Total, Free int64
}

// Backend is the kind of the device, e.g. CUDA: its name without the number.
func (d Device) Backend() string { return strings.TrimRight(d.Name, "0123456789") }

// Shared reports whether the device has no memory of its own: what it uses is the
// machine's.
func (d Device) Shared() bool { return d.Backend() == "MTL" || d.Backend() == "Metal" }

// String describes the device for people.
func (d Device) String() string {
	s := d.Name
	if d.Description != "" {
		s += ": " + d.Description
	}
	if d.Total > 0 {
		s += fmt.Sprintf(", %d of %d MiB free", d.Free>>20, d.Total>>20)
	}
	return s
}

var line = regexp.MustCompile(`^\s+([A-Za-z]+[A-Za-z0-9_\[\]:.]*): (.*?)(?: \((\d+) MiB, (\d+) MiB free\))?\s*$`)

// Parse reads what `llama-server --list-devices` prints: a heading and one line per
// device, with memory in MiB. The CPU and lines of another form are left out; what
// stands before the heading is the engine's log.
func Parse(r io.Reader) ([]Device, error) {
	var list []Device
	started := false
	for s := bufio.NewScanner(r); ; {
		if !s.Scan() {
			if err := s.Err(); err != nil {
				return nil, fmt.Errorf("read the list of devices: %w", err)
			}
			return list, nil
		}
		if strings.HasPrefix(s.Text(), "Available devices:") {
			started = true
			continue
		}
		m := line.FindStringSubmatch(s.Text())
		if !started || m == nil || processor(m[1]) {
			continue
		}
		d := Device{Name: m[1], Description: m[2]}
		if m[3] != "" {
			total, err := strconv.ParseInt(m[3], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("memory of device %s: %w", d.Name, err)
			}
			free, err := strconv.ParseInt(m[4], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("memory of device %s: %w", d.Name, err)
			}
			d.Total, d.Free = total<<20, min(free, total)<<20
		}
		list = append(list, d)
	}
}

// processor reports whether a name is that of the CPU, or of a library for it.
func processor(name string) bool {
	return slices.Contains([]string{"CPU", "BLAS", "AMX", "KLEIDIAI"}, strings.ToUpper(name))
}

// Nodes are the device files of this machine through which its graphics cards are
// used. Only what is there is told; it is Linux that has any.
func Nodes() []string {
	var nodes []string
	for _, pattern := range []string{"/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm*", "/dev/nvidia-modeset", "/dev/nvidia-caps", "/dev/kfd", "/dev/dri", "/dev/dxg"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // the patterns are well formed
		}
		for _, f := range found {
			if _, err := os.Stat(f); err == nil {
				nodes = append(nodes, f)
			}
		}
	}
	return nodes
}

// Reserve is memory of a device that a load leaves free: the driver's own, and that
// of other programs.
const Reserve = 512 << 20

// Layers tells how many of a model's layers fit on the devices: need is what all of
// them take there and used what others take already, in bytes. Devices that do not
// tell their memory are given the whole model.
func Layers(list []Device, used, need int64, layers int) int {
	room := -used
	for _, d := range list {
		if d.Total == 0 {
			return layers
		}
		room += max(d.Free-Reserve, 0)
	}
	switch {
	case room <= 0:
		return 0
	case room >= need:
		return layers
	}
	return int(int64(layers) * room / need)
}
