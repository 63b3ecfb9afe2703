package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights over files, by what Landlock's versions know. A ruleset names all that the
// kernel knows, so that what no rule gives is denied.
const (
	mayRead    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	mayRun     = mayRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	mayServe   = mayRead | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	mayKeep    = mayServe | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	mayWrite   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	mayControl = mayWrite | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	// ofFile are the rights that a rule for a file, not a folder, may give.
	ofFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// handled are the rights over files that each version of Landlock knows, from 1 on.
func handled(abi int) uint64 {
	all := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM)<<1 - 1
	if abi >= 2 {
		all |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		all |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		all |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return all
}

// everywhere is what any program needs to run: the system's libraries, the
// description of the processor, and devices that hold nothing.
func everywhere() []string {
	return []string{
		"/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew",
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/localtime",
		"/etc/alternatives", "/etc/ssl/openssl.cnf",
		"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems",
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/max_map_count",
		"/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm",
		"/dev/urandom", "/dev/random", "/dev/zero",
	}
}

// withDevices is what drivers of graphics cards need beside their nodes.
func withDevices() []string {
	return []string{
		"/sys", "/opt/rocm", "/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/proc/version", "/proc/sys/kernel",
		"/etc/vulkan", "/etc/OpenCL", "/etc/nvidia", "/etc/glvnd", "/run/opengl-driver", "/run/nvidia-persistenced",
	}
}

// ruleset is a Landlock ruleset that is not enforced yet.
type ruleset struct {
	fd, abi int
	fs      uint64
}

func (r *ruleset) close() { _ = unix.Close(r.fd) }

// newRuleset makes the rules of p. Errors: the kernel has no Landlock, or refuses it.
func newRuleset(p Policy) (*ruleset, error) {
	abi, _, no := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if no != 0 {
		return nil, fmt.Errorf("this kernel has no Landlock: %w", no)
	}
	r := &ruleset{abi: int(abi), fs: handled(int(abi))}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: r.fs}
	if r.abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if r.abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	fd, _, no := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0) // #nosec G103 -- an argument of a system call
	if no != 0 {
		return nil, fmt.Errorf("ask Landlock: %w", no)
	}
	r.fd = int(fd)
	if err := r.rules(p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ruleset) rules(p Policy) error {
	read := everywhere()
	if len(p.Devices) > 0 {
		read = append(read, withDevices()...)
	}
	var errs []error
	for _, path := range read {
		errs = append(errs, r.allowAround(path, mayRun, p.Hidden))
	}
	for _, path := range p.Read {
		hidden := p.Hidden
		if slices.ContainsFunc(hidden, func(h string) bool { return within(h, path) }) {
			hidden = slices.DeleteFunc(slices.Clone(hidden), func(h string) bool { return within(h, path) })
		}
		errs = append(errs, r.allowAround(path, mayRun, hidden))
	}
	errs = append(errs, r.allow(os.DevNull, mayWrite))
	for _, path := range p.Devices {
		errs = append(errs, r.allow(path, mayControl))
	}
	switch {
	case p.Private == "":
	case len(p.Devices) > 0:
		errs = append(errs, r.allow(p.Private, mayKeep))
	default:
		errs = append(errs, r.allow(p.Private, mayServe))
	}
	return errors.Join(errs...)
}

// within reports whether path is dir or lies in it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// allowAround is allow for what lies in path but not in hidden: a rule cannot take
// away what another one gives.
func (r *ruleset) allowAround(path string, rights uint64, hidden []string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil // what is not there needs no rule
	}
	holds := func(h string) bool { return within(real, h) }
	if slices.ContainsFunc(hidden, func(h string) bool { return within(h, real) }) {
		return nil
	}
	if !slices.ContainsFunc(hidden, holds) {
		return r.allow(real, rights)
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return nil // the program could not read it either
	}
	var errs []error
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 { // a link leads to what has rules of its own, or none
			errs = append(errs, r.allowAround(filepath.Join(real, e.Name()), rights, hidden))
		}
	}
	return errors.Join(errs...)
}

// allow adds a rule for a file, or for all that is in a folder.
func (r *ruleset) allow(path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // what cannot be opened here, cannot there
	}
	defer unix.Close(fd) // a handle, nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("ask Landlock: %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFile
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.fs, Parent_fd: int32(fd)} // #nosec G115 -- a file descriptor
	// The kernel's structure is packed: 12 bytes, which this one begins with.
	_, _, no := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0) // #nosec G103 -- an argument of a system call
	if no != 0 {
		return fmt.Errorf("ask Landlock: %s: %w", path, no)
	}
	return nil
}

// enforce binds this thread, and what it becomes, to the rules.
func (r *ruleset) enforce(report *Report) {
	if _, _, no := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0); no != 0 {
		report.miss(Files, "ask Landlock: %v", no)
		report.miss(Signals, "ask Landlock: %v", no)
		return
	}
	report.held(Files)
	report.Detail[Files] = fmt.Sprintf("Landlock %d", r.abi)
	if r.abi >= 6 {
		report.held(Signals)
	} else {
		report.miss(Signals, "Landlock %d has no scopes; the filter of system calls stands in", r.abi)
	}
}
