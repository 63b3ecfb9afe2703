//go:build unix

package document

import (
	"os"
	"runtime"
	"syscall"
)

// residentBytes is the most memory that a process had at a time.
func residentBytes(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin":
		return usage.Maxrss
	}
	return usage.Maxrss << 10
}
