package llamacpp_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/engine/device"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
)

const twoCards = "Available devices:\n  CUDA0: one (8192 MiB, 8000 MiB free)\n  CUDA1: two (8192 MiB, 8000 MiB free)\n"

// startsOf loads weights on f's devices and returns the lines of its starts.
func startsOf(t *testing.T, f fake, starts string) string {
	t.Helper()
	f.Starts = starts
	c := f.config(t)
	c.Devices = llamacpp.ListDevices
	e := begin(t, c)
	if err := e.Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(starts)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ", ")
}

func TestListDevices(t *testing.T) {
	t.Parallel()
	list, err := llamacpp.ListDevices(t.Context(), fake{Cards: twoCards}.host(t))
	if err != nil || len(list) != 2 || list[1].Name != "CUDA1" || list[1].Free != 8000<<20 {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := llamacpp.ListDevices(t.Context(), theReal(t).host); err != nil {
		t.Errorf("the installed engine: %v, %v", list, err)
	}
	if _, err := llamacpp.ListDevices(t.Context(), llamacpp.Host{Binary: "/no/such"}); err == nil {
		t.Error("no error without a server")
	}
}

// TestOffload: what fits on the devices lies there, and the server is told so; where
// there is none it is told nothing.
func TestOffload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ cards, want string }{
		"two cards":    {twoCards, "plain 3 layers"}, // the tiny model has two, and its output
		"no device":    {"Available devices:\n", "plain"},
		"a full card":  {"Available devices:\n  CUDA0: one (8192 MiB, 100 MiB free)\n", "plain 0 layers"},
		"a small rest": {"Available devices:\n  CUDA0: one (8192 MiB, 536 MiB free)\n", "plain 2 layers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := startsOf(t, fake{Cards: c.cards}, filepath.Join(t.TempDir(), "starts")); got != c.want {
				t.Errorf("started as %q, want %q", got, c.want)
			}
		})
	}
}

// TestDevicesFail: devices on which the self-test fails are left alone, also by the
// next server, until the build or the card is another one.
func TestDevicesFail(t *testing.T) {
	t.Parallel()
	starts := filepath.Join(t.TempDir(), "starts")
	f := fake{Cards: twoCards, CardCrash: true}
	const first = "plain 3 layers, plain 0 layers"
	if got := startsOf(t, f, starts); got != first {
		t.Errorf("started as %q, want %q", got, first)
	}
	note := filepath.Join(filepath.Dir(starts), "cpu-only")
	if b, err := os.ReadFile(note); err != nil || string(b) != "fake 1\nCUDA0: one\nCUDA1: two\n" {
		t.Errorf("the note says %q, %v", b, err)
	}
	second := first + ", plain 0 layers"
	if got := startsOf(t, f, starts); got != second {
		t.Errorf("the next server: %q, want %q", got, second)
	}
	f = fake{Cards: "Available devices:\n  CUDA0: three (8192 MiB, 8000 MiB free)\n"}
	if got, want := startsOf(t, f, starts), second+", plain 3 layers"; got != want {
		t.Errorf("with another card: %q, want %q", got, want)
	}
}

// TestDevicesUnknown: a server that cannot tell its devices computes on the CPU.
func TestDevicesUnknown(t *testing.T) {
	t.Parallel()
	starts := filepath.Join(t.TempDir(), "starts")
	c := fake{Starts: starts}.config(t)
	c.Devices = func(context.Context, llamacpp.Host) ([]device.Device, error) { return nil, errors.New("no driver") }
	if err := begin(t, c).Load(t.Context(), targetA); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(starts); err != nil || string(b) != "plain 0 layers\n" {
		t.Errorf("started as %q, %v", b, err)
	}
}
