package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Supported reports whether this system has any of the parts.
func Supported() bool { return true }

// spaces are the namespaces of a confined program.
//
// There is none of processes: its first process is an init, which loses the
// signals that it does not handle, an abort among them; and what such a namespace
// gives, the filter of system calls and Landlock give too. There is none of mounts:
// it would keep file systems of the machine from being unmounted.
const spaces = unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// bornConfined reports whether namespaces need a user namespace, which no process
// with threads can enter.
func bornConfined() bool { return os.Geteuid() != 0 }

// bear has cmd born into namespaces. In its user namespace it keeps its user.
func bear(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	uid, gid := os.Geteuid(), os.Getegid()
	cmd.SysProcAttr.Cloneflags |= spaces | unix.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
}

// notPermitted reports whether the system refuses namespaces, in one of its ways.
func notPermitted(err error) bool {
	for _, no := range []error{unix.EPERM, unix.EINVAL, unix.ENOSPC, unix.ENOSYS, unix.EACCES, unix.EUSERS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// own gives the private folder to the program's user.
func own(p Policy) error {
	if p.User == nil || p.Private == "" {
		return nil
	}
	return os.Lchown(p.Private, p.User.UID, p.User.GID)
}

// Child confines this process to what its second argument says, tells what holds,
// and becomes the program that the further arguments name. It returns only when
// that fails.
//
// Almost all of it binds the calling thread alone, and exec keeps that thread.
func Child() int {
	runtime.LockOSThread()
	report := os.NewFile(reportFD, "report")
	unix.CloseOnExec(reportFD)
	tell := func(a answer) int {
		if json.NewEncoder(report).Encode(a) != nil {
			return 1 // the server is gone
		}
		return 0
	}
	var s spec
	if err := json.Unmarshal([]byte(os.Args[2]), &s); err != nil || len(os.Args) < 4 {
		tell(answer{Err: "the launcher does not understand its arguments"})
		return 2
	}
	r, err := confine(s)
	if err != nil {
		tell(answer{Err: err.Error()})
		return 1
	}
	if code := tell(answer{Report: r}); code != 0 || s.Pretend {
		return code
	}
	err = syscall.Exec(os.Args[3], os.Args[4:], os.Environ()) // #nosec G204 -- what the server named
	tell(answer{Err: fmt.Sprintf("start %s: %v", os.Args[3], err)})
	return 127
}

// confine gives up what this thread can. Errors: only that the server is gone.
func confine(s spec) (Report, error) {
	r := Report{Detail: map[Part]string{}}
	p := s.Policy
	enterSpaces(&r, s.Born)
	limit(&r, p)
	rules, rulesErr := newRuleset(p) // opens files, as the server may
	if rules != nil {
		defer rules.close()
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		r.miss(Rights, "no_new_privs: %v", err)
	}
	become(&r, s, rules != nil)
	limitThreads(&r, p.User)
	// A change of user takes the parent-death signal away.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return r, fmt.Errorf("parent-death signal: %w", err)
	}
	if os.Getppid() != s.Parent {
		return r, errors.New("the server is gone")
	}
	if err := unix.CloseRange(reportFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		closeAll(&r)
	} else {
		r.held(Inherited)
	}
	if rules == nil {
		r.miss(Files, "%v", rulesErr)
		r.miss(Signals, "%v", rulesErr)
	} else {
		rules.enforce(&r)
	}
	filter(&r)
	return r, nil
}

// enterSpaces makes the namespaces, unless this process was born into them.
func enterSpaces(r *Report, born bool) {
	var err error
	if !born {
		if err = unix.Unshare(spaces); err != nil {
			// All or nothing would lose the network for the sake of the rest.
			if unix.Unshare(unix.CLONE_NEWNET) == nil {
				r.held(Network)
				r.miss(IPC, "no namespace: %v", err)
				return
			}
		}
	}
	for _, p := range []Part{Network, IPC} {
		if err != nil {
			r.miss(p, "no namespace: %v", err)
		} else {
			r.held(p)
		}
	}
}

// Limits of a confined program: far more than it needs for a connection per slot and
// a thread or two per core.
const (
	maxOpenFiles = 4096
	maxThreads   = 4096
)

func limit(r *Report, p Policy) {
	// A core file would hold prompts. 1 byte, unlike 0, also holds where the system
	// pipes cores to a program (core(5)).
	err := errors.Join(setLimit(unix.RLIMIT_CORE, 1), setLimit(unix.RLIMIT_NOFILE, openFiles()))
	if len(p.Devices) == 0 {
		err = errors.Join(err, setLimit(unix.RLIMIT_FSIZE, 0))
	}
	if err != nil {
		r.miss(Limits, "%v", err)
	} else {
		r.held(Limits)
	}
	if p.Memory <= 0 {
		r.miss(MemoryLimit, "not asked for")
	} else if err := setLimit(unix.RLIMIT_DATA, uint64(p.Memory)); err != nil {
		r.miss(MemoryLimit, "%v", err)
	} else {
		r.held(MemoryLimit)
	}
}

// limitThreads bounds the threads of the program's user. Another user than its own
// has threads elsewhere, which would count.
func limitThreads(r *Report, u *User) {
	if u == nil || !u.Alone || !r.Holds(OwnUser) {
		r.miss(ThreadLimit, "counts per user, and the user is not its own")
		return
	}
	if err := setLimit(unix.RLIMIT_NPROC, maxThreads); err != nil {
		r.miss(ThreadLimit, "%v", err)
		return
	}
	r.held(ThreadLimit)
}

// setLimit uses package syscall, for which Go forgets the limit of files that it would
// restore at exec.
func setLimit(what int, n uint64) error {
	return syscall.Setrlimit(what, &syscall.Rlimit{Cur: n, Max: n})
}

// openFiles is maxOpenFiles, or less where the system allows less.
func openFiles() uint64 {
	var now syscall.Rlimit
	if syscall.Getrlimit(unix.RLIMIT_NOFILE, &now) != nil {
		return maxOpenFiles
	}
	return min(now.Max, maxOpenFiles)
}

// closeAll is CloseRange on kernels before 5.11.
func closeAll(r *Report) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		r.miss(Inherited, "%v", err)
		return
	}
	defer dir.Close() // only read
	names, err := dir.Readdirnames(-1)
	if err != nil {
		r.miss(Inherited, "%v", err)
		return
	}
	for _, n := range names {
		var fd int
		if _, err := fmt.Sscan(n, &fd); err == nil && fd >= reportFD {
			unix.CloseOnExec(fd)
		}
	}
	r.held(Inherited)
}
