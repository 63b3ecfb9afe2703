//go:build linux || darwin

package document

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// limitProcess asks the kernel to enforce limits on this process. They are a
// second line: what a system lacks or refuses is left to the watch.
func limitProcess(l Limits) {
	set := func(which int, n uint64) {
		var old syscall.Rlimit
		if syscall.Getrlimit(which, &old) == nil {
			_ = syscall.Setrlimit(which, &syscall.Rlimit{Cur: min(n, old.Max), Max: min(n, old.Max)})
		}
	}
	set(syscall.RLIMIT_CORE, 1)  // see app: 1, unlike 0, also holds for piped cores
	set(syscall.RLIMIT_FSIZE, 0) // it writes to its pipe and nowhere else
	set(syscall.RLIMIT_CPU, 2*uint64(l.Time.Seconds())+2)
	// A program with the race detector has mapped more than any limit before it
	// gets here; it is left to the watch.
	if data, ok := dataSize(); ok && data < l.Memory/2 {
		set(syscall.RLIMIT_DATA, uint64(l.Memory-programBytes)) // #nosec G115 -- positive
	}
}

// dataSize is how much private writable memory the process has mapped, in bytes,
// where the system tells. Source: Linux, proc(5), statm.
func dataSize() (int64, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 6 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[5], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}
