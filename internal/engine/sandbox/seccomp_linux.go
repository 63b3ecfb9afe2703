//go:build linux && (amd64 || arm64)

package sandbox

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newest is the highest number of a system call that was weighed here. What comes
// later does not exist for a confined program.
const newest = unix.SYS_MSEAL

// denied are system calls that no engine needs and that reach beyond it. Those of
// one architecture alone are in legacy.
func denied() []uint32 {
	return append([]uint32{
		// Other processes.
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
		unix.SYS_PROCESS_MRELEASE, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_KCMP,
		unix.SYS_TKILL, unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES, unix.SYS_SETPGID, unix.SYS_SETSID,
		// Other places: an engine answers connections and makes none.
		unix.SYS_CONNECT, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
		// Namespaces, mounts, roots.
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
		unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
		unix.SYS_MOUNT_SETATTR, unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT,
		// Who it is, and whose files are.
		unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
		unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET, unix.SYS_PERSONALITY,
		unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT,
		unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR,
		unix.SYS_FREMOVEXATTR, unix.SYS_MKNODAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT,
		unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
		// Parts of the kernel with a history.
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER,
		unix.SYS_IO_URING_REGISTER, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_FANOTIFY_INIT,
		unix.SYS_FANOTIFY_MARK, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL, unix.SYS_VMSPLICE, unix.SYS_REMAP_FILE_PAGES,
		unix.SYS_LSM_SET_SELF_ATTR,
		// What processes share by number or name.
		unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV,
		unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
		// The machine.
		unix.SYS_REBOOT, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
		unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SYSLOG,
		unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX,
		unix.SYS_CLOCK_ADJTIME, unix.SYS_VHANGUP,
	}, legacy()...)
}

// Where the fields of the kernel's struct seccomp_data lie.
const (
	atNumber = 0
	atArch   = 4
	atArg    = 16 // of 8 bytes each; the low half first, as both architectures are little-endian
)

// program is a filter in the making.
type program struct{ code []unix.SockFilter }

func (p *program) add(code uint16, k uint32, jt, jf uint8) {
	p.code = append(p.code, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(at uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, at, 0, 0) }

func (p *program) ret(action uint32) { p.add(unix.BPF_RET|unix.BPF_K, action, 0, 0) }

const (
	allow = unix.SECCOMP_RET_ALLOW
	deny  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	never = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS) // as a kernel that does not know it
)

// call adds what is done at system call n: body must end in returns.
func (p *program) call(n uint32, body func(*program)) {
	var b program
	body(&b)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, n, 0, uint8(len(b.code))) // #nosec G115 -- a few instructions
	p.code = append(p.code, b.code...)
}

// only adds: allowed when the low half of argument i is one of values.
func (p *program) only(i uint32, other uint32, values ...uint32) {
	p.load(atArg + 8*i)
	for n, v := range values {
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, v, uint8(len(values)-n), 0) // #nosec G115 -- a few values
	}
	p.ret(other)
	p.ret(allow)
}

// except adds: allowed unless the low half of argument i is one of values.
func (p *program) except(i uint32, values ...uint32) {
	p.load(atArg + 8*i)
	for n, v := range values {
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, v, uint8(len(values)-n), 0) // #nosec G115 -- a few values
	}
	p.ret(allow)
	p.ret(deny)
}

// Numbers that package unix lacks or has only for one architecture.
const (
	fSetOwn, fSetSig, fSetOwnEx = 8, 10, 15
	fioSetOwn, siocSetPgrp      = 0x8901, 0x8902
)

// newFilter makes the filter for the process self.
func newFilter(self uint32) []unix.SockFilter {
	var p program
	p.load(atArch)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, auditArch, 1, 0)
	p.ret(unix.SECCOMP_RET_KILL_PROCESS)
	p.load(atNumber)
	p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, newest, 0, 1) // the numbers of x32 are above too
	p.ret(never)
	for _, n := range denied() {
		p.call(n, func(p *program) { p.ret(deny) })
	}
	// Threads, but no processes.
	p.call(unix.SYS_CLONE3, func(p *program) { p.ret(never) }) // its flags lie in memory; libraries then use clone
	p.call(unix.SYS_CLONE, func(p *program) {
		p.load(atArg)
		p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, unix.CLONE_THREAD, 1, 0)
		p.ret(deny)
		p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, spaces|unix.CLONE_NEWUSER|unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWCGROUP, 0, 1)
		p.ret(deny)
		p.ret(allow)
	})
	p.call(unix.SYS_SOCKET, func(p *program) { p.only(0, unix.SECCOMP_RET_ERRNO|uint32(unix.EAFNOSUPPORT), unix.AF_UNIX) })
	p.call(unix.SYS_SENDTO, func(p *program) { // with an address it is a connection
		p.load(atArg + 8*4)
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 0, 3)
		p.load(atArg + 8*4 + 4)
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 0, 1)
		p.ret(allow)
		p.ret(deny)
	})
	// Signals to itself alone: abort is one.
	for _, n := range []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO} {
		p.call(n, func(p *program) { p.only(0, deny, self) })
	}
	p.call(unix.SYS_FCNTL, func(p *program) { p.except(1, fSetOwn, fSetSig, fSetOwnEx) })
	p.call(unix.SYS_IOCTL, func(p *program) { p.except(1, unix.TIOCSTI, unix.TIOCLINUX, fioSetOwn, siocSetPgrp) })
	p.call(unix.SYS_PRLIMIT64, func(p *program) { p.only(0, deny, 0, self) })
	// The parent-death signal stays what it is.
	p.call(unix.SYS_PRCTL, func(p *program) {
		p.load(atArg)
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.PR_SET_PDEATHSIG, 0, 3)
		p.load(atArg + 8)
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, uint32(unix.SIGKILL), 1, 0)
		p.ret(deny)
		p.ret(allow)
	})
	p.ret(allow)
	return p.code
}

// filter installs the filter for this thread and what it becomes.
func filter(r *Report) {
	code := newFilter(uint32(os.Getpid()))                           // #nosec G115 -- a process id
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]} // #nosec G115 -- a few hundred
	// Without SPEC_ALLOW, kernels before 5.16 slow all code down that has a filter.
	// Nothing in an engine is kept from other code in it, so nothing is lost.
	for _, flags := range []uintptr{unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0} {
		_, _, no := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog))) // #nosec G103 -- an argument of a system call
		if no == 0 {
			r.held(SystemCalls)
			return
		}
		if flags == 0 {
			r.miss(SystemCalls, "this kernel has no seccomp filters: %v", no)
		}
	}
}
