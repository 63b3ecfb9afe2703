//go:build !linux

package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

func bornConfined() bool { return false }

func notPermitted(error) bool { return false }

func bear(*exec.Cmd) {}

func own(Policy) error { return nil }

// Supported reports whether this system has any of the parts.
func Supported() bool { return false }

// Child tells that this system has none of the parts. No program is started by it:
// see Supported.
func Child() int {
	var r Report
	for _, p := range Parts() {
		r.miss(p, "not on %s", runtime.GOOS)
	}
	a := answer{Report: r}
	if len(os.Args) > 3 && os.Args[3] != os.DevNull {
		a.Err = fmt.Sprintf("there is no sandbox on %s", runtime.GOOS)
	}
	if json.NewEncoder(os.NewFile(reportFD, "report")).Encode(a) != nil {
		return 1
	}
	return 0
}

// DeviceGroups is nil: users are never switched here.
func DeviceGroups([]string) []int { return nil }
