package llamacpp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// memoryOf is the proportional set size of a process, in bytes: its own memory, and
// its part of what it shares, as pages of files. The system tells it of processes
// that this user could trace; of others the resident memory has to do. 0 when the
// process is gone.
func memoryOf(pid int) int64 {
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup"); err == nil {
		if n, err := kilobytes(b, "Pss:"); err == nil {
			return n
		}
	}
	return residentBytes(pid)
}

// residentBytes is the resident memory of a process; 0 when it is gone.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	n, err := kilobytes(b, "VmRSS:")
	if err != nil {
		return 0
	}
	return n
}

// totalMemory is the machine's memory; 0 when unknown.
func totalMemory() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	n, err := kilobytes(b, "MemTotal:")
	if err != nil {
		return 0
	}
	return n
}

// availableMemory is what could be had without swapping.
func availableMemory() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("available memory: %w", err)
	}
	return kilobytes(b, "MemAvailable:")
}

// kilobytes finds "name   123 kB" and returns bytes.
func kilobytes(b []byte, name string) (int64, error) {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				n, err := strconv.ParseInt(string(f[0]), 10, 64)
				return n << 10, err
			}
		}
	}
	return 0, errors.New("no line " + name)
}
