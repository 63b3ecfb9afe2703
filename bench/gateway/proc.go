//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit of times in /proc: the kernel's USER_HZ is 100 everywhere.
const tick = 10 * time.Millisecond

// process is what /proc tells of one.
type process struct {
	parent int
	used   time.Duration // processor time, of children that ended too
}

// processes reads /proc.
func processes() map[int]process {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	all := make(map[int]process, len(files))
	for _, name := range files {
		b, err := os.ReadFile(name) //nolint:gosec // of the list above
		if err != nil {
			continue // it has ended
		}
		// The name may hold anything, but ends with the last parenthesis.
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) < 15 {
			continue
		}
		p := process{parent: number(f[1])}
		for _, t := range f[11:15] { // utime stime cutime cstime
			p.used += time.Duration(number(t)) * tick
		}
		all[number([]byte(filepath.Base(filepath.Dir(name))))] = p
	}
	return all
}

func number(b []byte) int {
	n, err := strconv.Atoi(string(b))
	if err != nil {
		return 0
	}
	return n
}

// tree lists a process and its descendants.
func tree(all map[int]process, root int) []int {
	var pids []int
	for pid := range all {
		for at := pid; at > 1; at = all[at].parent {
			if at == root {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// treeCPU is the processor time that a process and its descendants have used; 0
// for root 0.
func treeCPU(root int) time.Duration {
	if root == 0 {
		return 0
	}
	all := processes()
	var sum time.Duration
	for _, pid := range tree(all, root) {
		sum += all[pid].used
	}
	return sum
}

// treePSS is the memory of a process and its descendants in bytes, each page
// shared out among those that have it.
func treePSS(root int) (int64, error) {
	var sum int64
	for _, pid := range tree(processes(), root) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("memory: %w", err)
		}
		_, rest, ok := bytes.Cut(b, []byte("\nPss:"))
		f := bytes.Fields(rest)
		if !ok || len(f) == 0 {
			return 0, fmt.Errorf("memory of %d: no Pss", pid)
		}
		sum += int64(number(f[0])) << 10
	}
	return sum, nil
}

// busy is how much processor time everybody has used since the start of the
// machine.
func busy() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	var sum time.Duration
	for i, f := range bytes.Fields(line) { // cpu user nice system idle iowait irq softirq steal guest
		if i > 0 && i < 9 && i != 4 && i != 5 {
			sum += time.Duration(number(f)) * tick
		}
	}
	return sum
}

// pinned is a command that runs on one core only, in a process group of its own.
// Where there is no taskset, or but one core, it runs anywhere.
func (b *bench) pinned(ctx context.Context, core int, argv ...string) *exec.Cmd {
	if b.taskset != "" {
		argv = append([]string{b.taskset, "-c", strconv.Itoa(core)}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // this program or what it installed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}
