package device

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []Device
	}{
		"none":         {"Available devices:\n", nil},
		"told as none": {"Available devices:\n  (none)\n", nil},
		"cuda": {
			"ggml_cuda_init: found 2 CUDA devices (Total VRAM: 35936 MiB):\n  Device 0: NVIDIA GeForce RTX 3080 Ti, compute capability 8.6\nAvailable devices:\n" +
				"  CUDA0: NVIDIA GeForce RTX 3080 Ti (11909 MiB, 11650 MiB free)\n  CUDA1: NVIDIA RTX PRO 4000 Blackwell SFF Edition (24026 MiB, 23795 MiB free)\n",
			[]Device{
				{"CUDA0", "NVIDIA GeForce RTX 3080 Ti", 11909 << 20, 11650 << 20},
				{"CUDA1", "NVIDIA RTX PRO 4000 Blackwell SFF Edition", 24026 << 20, 23795 << 20},
			},
		},
		"vulkan, with a log around": {
			"ggml_vulkan: 0 = NVIDIA GeForce RTX 2060 (NVIDIA) | uma: 0\nAvailable devices:\n  Vulkan0: NVIDIA GeForce RTX 2060 (6144 MiB, 5136 MiB free)\nload_backend: done\n",
			[]Device{{"Vulkan0", "NVIDIA GeForce RTX 2060", 6144 << 20, 5136 << 20}},
		},
		"rocm and metal": {
			"Available devices:\r\n  ROCm0: AMD Radeon RX 7900 XTX (24560 MiB, 24500 MiB free)\r\n  MTL0: Apple M3 (16384 MiB, 99999 MiB free)\r\n",
			[]Device{{"ROCm0", "AMD Radeon RX 7900 XTX", 24560 << 20, 24500 << 20}, {"MTL0", "Apple M3", 16384 << 20, 16384 << 20}},
		},
		"parentheses and no memory": {"Available devices:\n  Vulkan0: AMD Radeon Graphics (RADV GFX1103)\n", []Device{{"Vulkan0", "AMD Radeon Graphics (RADV GFX1103)", 0, 0}}},
		"libraries for the CPU":     {"Available devices:\n  BLAS: OpenBLAS (0 MiB, 0 MiB free)\n  CPU: AMD EPYC (1 MiB, 1 MiB free)\n", nil},
		"no heading":                {"  CUDA0: x (1 MiB, 1 MiB free)\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := Parse(strings.NewReader("Available devices:\n  CUDA0: x (99999999999 MiB, 1 MiB free)\n")); err == nil {
		t.Error("memory beyond all bounds is believed")
	}
}

func TestDevice(t *testing.T) {
	t.Parallel()
	d := Device{"CUDA12", "card", 2 << 30, 1 << 30}
	if d.Backend() != "CUDA" || d.Shared() || d.String() != "CUDA12: card, 1024 of 2048 MiB free" {
		t.Errorf("%s, %t, %s", d.Backend(), d.Shared(), d)
	}
	if m := (Device{Name: "MTL0"}); !m.Shared() || m.String() != "MTL0" {
		t.Errorf("%t, %s", m.Shared(), m)
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	two := []Device{{Total: 4 << 30, Free: 3 << 30}, {Total: 4 << 30, Free: 4 << 30}} // 6 GiB after reserves
	for name, c := range map[string]struct {
		list       []Device
		used, need int64
		want       int
	}{
		"fits":                      {two, 0, 6 << 30, 32},
		"a half":                    {two, 0, 12 << 30, 16},
		"beside another":            {two, 3 << 30, 6 << 30, 16},
		"nothing left":              {two, 6 << 30, 1, 0},
		"overbooked":                {two, 9 << 30, 1, 0},
		"memory not told":           {[]Device{{Name: "Vulkan0"}}, 5 << 30, 6 << 30, 32},
		"no device":                 {nil, 0, 1, 0},
		"no room beside the driver": {[]Device{{Total: 1 << 30, Free: Reserve}}, 0, 1 << 20, 0},
	} {
		if got := Layers(c.list, c.used, c.need, 32); got != c.want {
			t.Errorf("%s: %d layers, want %d", name, got, c.want)
		}
	}
}
