package llamacpp_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

// attempt is one thing that a hostile engine would try. A nil error means that it
// succeeded.
type attempt struct {
	name     string
	parts    []sandbox.Part // any of them denies it
	harmless bool           // may be tried outside a sandbox too
	try      func() error
}

func (p prey) hunt() []finding {
	var all []finding
	for _, a := range slices.Concat(p.network(), p.files(), p.processes(), p.kernel(), p.resources()) {
		if p.Control && !a.harmless {
			continue
		}
		f := finding{Name: a.name}
		for _, part := range a.parts {
			f.Parts = append(f.Parts, string(part))
		}
		if err := a.try(); err != nil {
			f.Err = err.Error()
		} else {
			f.Reached = true
		}
		all = append(all, f)
	}
	return all
}

var errNothing = errors.New("nothing there")

func (p prey) network() []attempt {
	filtered := []sandbox.Part{sandbox.SystemCalls}
	reach := []sandbox.Part{sandbox.Network, sandbox.SystemCalls}
	dial := func(network, address string) func() error {
		return func() error {
			c, err := net.DialTimeout(network, address, time.Second)
			if err != nil {
				return err
			}
			defer c.Close() // enough was seen
			if strings.HasPrefix(network, "udp") {
				_, err = c.Write([]byte("x"))
			}
			return err
		}
	}
	socket := func(family, kind, proto int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind, proto)
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		}
	}
	list := []attempt{
		{"connect to the server's listener", reach, true, dial("tcp4", p.TCP4)},
		{"send a datagram", reach, true, dial("udp4", p.UDP)},
		{"ask a name server", reach, true, dial("udp4", "192.0.2.1:53")},
		{"connect to another machine", reach, false, dial("tcp4", "192.0.2.1:443")},
		{"connect to an abstract socket", []sandbox.Part{sandbox.Network, sandbox.Signals, sandbox.SystemCalls}, true, dial("unix", "@"+p.Abstract)},
		{"connect to a socket of the server", filtered, true, dial("unix", p.Socket)},
		{"connect to another engine's socket", []sandbox.Part{sandbox.SystemCalls, sandbox.OwnUser}, true, dial("unix", p.Engine)},
		{"send to a socket with an address", filtered, false, func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd) // enough was seen
			if err := unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrUnix{Name: p.Socket}); err != nil && !errors.Is(err, unix.EPROTOTYPE) {
				return err
			}
			return nil
		}},
		{"listen on TCP", []sandbox.Part{sandbox.SystemCalls}, true, func() error {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err == nil {
				_ = l.Close()
			}
			return err
		}},
		{"open a raw socket", filtered, false, socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{"open a packet socket", filtered, false, socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{"open a netlink socket", filtered, true, socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)},
		{"open a vsock socket", filtered, false, socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{"open a socket of the kernel's ciphers", filtered, false, socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
	}
	if p.TCP6 != "" {
		list = append(list, attempt{"connect over IPv6", reach, true, dial("tcp6", p.TCP6)})
	}
	return list
}

func read(path string) func() error {
	return func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() // only read
		if st, err := f.Stat(); err == nil && st.IsDir() {
			_, err = f.Readdirnames(-1)
			return err
		}
		_, err = io.ReadFull(f, make([]byte, 1))
		return err
	}
}

func create(path string) func() error {
	return func() error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_ = f.Close()
		return os.Remove(path)
	}
}

func (p prey) files() []attempt {
	files := []sandbox.Part{sandbox.Files}
	own := filepath.Dir(p.Own())
	calls := []sandbox.Part{sandbox.SystemCalls}
	list := []attempt{
		{"list the server's data folder", files, true, read(p.Data)},
		{"list other engines' folders", files, true, read(p.Run)},
		{"read another model", files, true, read(p.Foreign)},
		{"list the folder of the model", files, true, read(filepath.Dir(p.Model))},
		{"list the root folder", files, true, read("/")},
		{"list /tmp", files, true, read("/tmp")},
		{"read /etc/passwd", files, true, read("/etc/passwd")},
		{"read /etc/shadow", files, true, read("/etc/shadow")},
		{"read the server's environment", []sandbox.Part{sandbox.Files, sandbox.OwnUser}, true, read(fmt.Sprintf("/proc/%d/environ", p.Server))},
		{"read the server's memory map", []sandbox.Part{sandbox.Files, sandbox.OwnUser}, true, read(fmt.Sprintf("/proc/%d/maps", p.Server))},
		{"open the server's memory", []sandbox.Part{sandbox.Files, sandbox.OwnUser}, true, func() error {
			f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.Server), os.O_RDWR, 0)
			if err == nil {
				_ = f.Close()
			}
			return err
		}},
		{"list the server's open files", []sandbox.Part{sandbox.Files, sandbox.OwnUser}, true, read(fmt.Sprintf("/proc/%d/fd", p.Server))},
		{"list processes", files, true, read("/proc")},
		{"write the model", files, true, func() error {
			f, err := os.OpenFile(p.Model, os.O_RDWR, 0)
			if err == nil {
				_ = f.Close()
			}
			return err
		}},
		{"create a file beside the model", files, true, create(filepath.Join(filepath.Dir(p.Model), "evil.gguf"))},
		{"remove the model", files, false, func() error { return os.Remove(p.Model) }},
		{"rename the model", files, false, func() error { return os.Rename(p.Model, p.Model+".old") }},
		{"shorten the model", files, false, func() error { return os.Truncate(p.Model, 0) }},
		{"change the mode of the model", calls, true, func() error { return os.Chmod(p.Model, 0o600) }},
		{"change the owner of the model", calls, true, func() error { return os.Chown(p.Model, os.Getuid(), os.Getgid()) }},
		{"change the times of the model", calls, true, func() error { return os.Chtimes(p.Model, time.Now(), time.Now()) }},
		{"write into the engine's folder", files, true, create(filepath.Join(p.Site, "evil.so"))},
		{"write into /usr", files, false, create("/usr/lib/evil.so")},
		{"keep a file in its own folder", files, true, create(filepath.Join(own, "prompts"))},
		{"keep a file in shared memory", files, true, create("/dev/shm/outcrop-evil")},
		{"make a link", calls, true, func() error {
			defer os.Remove(filepath.Join(own, "l")) // is not there when it was denied
			return os.Symlink("/etc/shadow", filepath.Join(own, "l"))
		}},
		{"make a setuid program", calls, true, func() error { return os.Chmod(p.Own(), 0o4700) }},
		{"make a device node", calls, false, func() error {
			return unix.Mknod(filepath.Join(own, "d"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1)))
		}},
		{"find a file that the server left open", []sandbox.Part{sandbox.Inherited}, true, func() error {
			for fd := range 64 {
				if to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && to == p.Open {
					return nil
				}
			}
			return errNothing
		}},
	}
	for _, disk := range []string{"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/mem", "/dev/kmsg"} {
		if _, err := os.Stat(disk); err == nil {
			list = append(list, attempt{"read " + disk, files, false, read(disk)})
		}
	}
	for _, f := range p.Files {
		list = append(list, attempt{"read " + filepath.Base(f), files, true, read(f)})
	}
	return list
}

// Own is the probe's socket: the value of its option --host.
func (prey) Own() string {
	if i := slices.Index(os.Args, "--host"); i > 0 {
		return os.Args[i+1]
	}
	return "/nonexistent/s.sock"
}

func (p prey) processes() []attempt {
	calls := []sandbox.Part{sandbox.SystemCalls}
	signals := []sandbox.Part{sandbox.Signals, sandbox.SystemCalls, sandbox.OwnUser}
	return []attempt{
		{"trace the server", []sandbox.Part{sandbox.SystemCalls, sandbox.Files}, false, func() error { return unix.PtraceSeize(p.Server) }},
		{"read the server's memory by call", []sandbox.Part{sandbox.SystemCalls, sandbox.Files}, true, func() error {
			var b byte
			local := []unix.Iovec{{Base: &b, Len: 1}}
			_, err := unix.ProcessVMReadv(p.Server, local, []unix.RemoteIovec{{Base: 4096, Len: 1}}, 0)
			if errors.Is(err, unix.EFAULT) {
				return nil // nothing at that address, but it was allowed to look
			}
			return err
		}},
		{"signal the server", signals, true, func() error { return unix.Kill(p.Server, 0) }},
		{"signal another engine", signals, true, func() error { return unix.Kill(p.Other, 0) }},
		{"get a handle of the server", calls, true, func() error {
			fd, err := unix.PidfdOpen(p.Server, 0)
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		}},
		{"start a program", calls, true, func() error { return exec.Command("/bin/true").Run() }},
		{"start a process", calls, false, func() error { // a fork bomb begins with one
			pid, _, no := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if no == 0 && pid == 0 {
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			return errOf(no)
		}},
		{"outlive the server", calls, false, func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }},
		{"leave its process group", calls, false, func() error { return unix.Setpgid(0, unix.Getpgrp()) }},
		{"change the server's limits", calls, true, func() error { return unix.Prlimit(p.Server, unix.RLIMIT_CORE, nil, &unix.Rlimit{}) }},
		{"become root", []sandbox.Part{sandbox.SystemCalls}, false, func() error { return syscall.Setresuid(0, 0, 0) }},
		{"take rights back", calls, false, func() error {
			head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			data := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
			return unix.Capset(&head, &data[0])
		}},
	}
}

func errOf(no syscall.Errno) error {
	if no == 0 {
		return nil
	}
	return no
}

func call(n uintptr, args ...uintptr) func() error {
	return func() error {
		var a [4]uintptr
		copy(a[:], args)
		_, _, no := unix.Syscall6(n, a[0], a[1], a[2], a[3], 0, 0)
		if no == unix.EINVAL || no == unix.EFAULT {
			return nil // the kernel was reached, and minds the arguments
		}
		return errOf(no)
	}
}

func (p prey) kernel() []attempt {
	calls := []sandbox.Part{sandbox.SystemCalls}
	zero := uintptr(unsafe.Pointer(&make([]byte, 256)[0]))
	return []attempt{
		{"mount a file system", calls, false, func() error { return unix.Mount("tmpfs", filepath.Dir(p.Own()), "tmpfs", 0, "") }},
		{"open a mount", calls, false, func() error {
			fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		}},
		{"change its root", calls, false, func() error { return unix.Chroot("/proc") }},
		{"enter new namespaces", calls, false, func() error { return unix.Unshare(unix.CLONE_NEWUSER | unix.CLONE_NEWNS) }},
		{"join the server's namespaces", calls, false, func() error {
			fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", p.Server), unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, unix.CLONE_NEWNET)
		}},
		{"keep a key in the kernel", calls, true, func() error {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
			return err
		}},
		{"count events of the processor", calls, false, call(unix.SYS_PERF_EVENT_OPEN, zero, 0, ^uintptr(0), ^uintptr(0))},
		{"load a program into the kernel", calls, false, call(unix.SYS_BPF, 0, zero, 64)},
		{"use io_uring", calls, true, call(unix.SYS_IO_URING_SETUP, 0, zero)},
		{"handle page faults", calls, false, call(unix.SYS_USERFAULTFD, 1)},
		{"open a file by its handle", calls, false, func() error {
			_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), unix.O_RDONLY)
			if errors.Is(err, unix.ESTALE) {
				return nil // allowed, only the handle is wrong
			}
			return err
		}},
		{"load a module", calls, false, call(unix.SYS_INIT_MODULE, zero, 1, zero)},
		{"load a kernel", calls, false, call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)},
		{"read the kernel's log", calls, false, call(unix.SYS_SYSLOG, 3, zero, 1)},
		{"set the host's name", calls, false, func() error { return unix.Sethostname([]byte("evil")) }},
		{"call by numbers of another ABI", calls, false, func() error {
			_, _, no := unix.RawSyscall(0x40000000+unix.SYS_GETPPID, 0, 0, 0)
			return errOf(no)
		}},
		{"share memory by number", []sandbox.Part{sandbox.SystemCalls, sandbox.IPC}, true, func() error {
			id, err := unix.SysvShmGet(0x0c0ffee, 4096, unix.IPC_CREAT|0o600)
			if err == nil {
				_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			}
			return err
		}},
	}
}

func (p prey) resources() []attempt {
	return []attempt{
		{"take all memory", []sandbox.Part{sandbox.MemoryLimit}, true, func() error {
			b, err := unix.Mmap(-1, 0, 64<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
			if err == nil {
				_ = unix.Munmap(b)
			}
			return err
		}},
		{"make threads without end", []sandbox.Part{sandbox.ThreadLimit}, true, func() error {
			var l unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NPROC, &l); err != nil || l.Max > 1<<13 {
				return nil // no bound that means anything
			}
			return fmt.Errorf("%d at most", l.Max)
		}},
		{"leave a core file", []sandbox.Part{sandbox.Limits}, false, func() error {
			var l unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil || l.Max > 1 {
				return nil // no bound that means anything
			}
			return fmt.Errorf("%d bytes at most", l.Max)
		}},
		{"find a secret in its environment", []sandbox.Part{sandbox.Inherited}, false, func() error {
			for _, v := range os.Environ() {
				name, _, _ := strings.Cut(v, "=")
				if !slices.Contains(known(), name) {
					return nil
				}
			}
			return errNothing
		}},
	}
}

// known are the variables that a confined process may have, the test's own two included.
func known() []string {
	return []string{
		"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
		"ROCR_VISIBLE_DEVICES", "GGML_BACKEND_PATH", "GGML_VK_VISIBLE_DEVICES", "LLAMA_SERVER_ROUTER_PORT", roleVar, fakeVar,
	}
}
