package llamacpp

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// fencedAttr is sysProcAttr with a network namespace of the child's own, which
// holds nothing but a loopback that is down. Who is not root needs a user namespace
// for that, in which the child keeps its user.
func fencedAttr() *syscall.SysProcAttr {
	a := sysProcAttr()
	a.Cloneflags = unix.CLONE_NEWNET
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	return a
}

// hardenChild keeps the child from leaving core files, which would hold prompts.
// A limit of 1 byte, unlike 0, also holds where the system pipes cores to a
// program (core(5)). host.py does it again, before anything is loaded.
func hardenChild(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}, nil)
}
