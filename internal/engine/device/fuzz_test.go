package device

import (
	"bytes"
	"testing"
)

// FuzzParse: whatever an engine prints, its devices have memory that a ledger can
// count with.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"Available devices:\n  (none)\n", "Available devices:\n  CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)\n  CPU: Xeon (1 MiB, 1 MiB free)\n",
		"Available devices:\n  Vulkan0: x (1 MiB, 99999999999 MiB free)\n", "Available devices:\n  MTL0: Apple M4\n  A: (2147483647 MiB, 0 MiB free)\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, d := range list {
			if d.Name == "" || d.Total < 0 || d.Free < 0 || d.Free > d.Total {
				t.Errorf("%+v", d)
			}
			_, _, _ = d.String(), d.Backend(), d.Shared()
		}
		if n := Layers(list, 1<<30, 1<<33, 32); n < 0 || n > 32 {
			t.Errorf("%d layers of 32 on %+v", n, list)
		}
	})
}
