package llamacpp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// hardenChild keeps the child from leaving core files, which would hold prompts.
// A limit of 1 byte, unlike 0, also holds where the system pipes cores to a
// program (core(5)). host.py does it again, before anything is loaded, and a sandbox
// before it.
func hardenChild(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}, nil)
}
