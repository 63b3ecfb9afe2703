package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// become takes the rights of root away and changes the user.
//
// Weights often lie in a folder that only root may enter. Where Landlock decides
// which files are open, the program keeps one right, to read what other users own:
// it applies to the files of the policy and no others.
func become(r *Report, u *User, fenced bool) {
	if os.Geteuid() != 0 {
		r.miss(OwnUser, "only root may switch")
		dropAmbient()
		r.held(Rights)
		return
	}
	keep := uint64(0)
	if fenced {
		keep = 1 << unix.CAP_DAC_READ_SEARCH
	}
	if err := dropBounding(keep); err != nil {
		r.miss(Rights, "%v", err)
		r.miss(OwnUser, "%v", err)
		return
	}
	switch {
	case u == nil:
		r.miss(OwnUser, "not asked for")
		// Root would get all that is left back at exec.
		_ = unix.Prctl(unix.PR_SET_SECUREBITS, secureNoRoot, 0, 0, 0)
	default:
		if err := switchTo(*u); err != nil {
			r.miss(OwnUser, "%v", err)
			_ = unix.Prctl(unix.PR_SET_SECUREBITS, secureNoRoot, 0, 0, 0)
		} else {
			r.held(OwnUser)
			r.Detail[OwnUser] = fmt.Sprintf("uid %d", u.UID)
		}
	}
	if err := setCapabilities(keep); err != nil {
		r.miss(Rights, "%v", err)
		return
	}
	if keep != 0 {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_DAC_READ_SEARCH, 0, 0); err != nil {
			r.miss(Rights, "%v", err)
			return
		}
		r.Detail[Rights] = "may read the files of its policy whoever owns them"
	}
	r.held(Rights)
}

// secureNoRoot is SECBIT_NOROOT with its lock: user 0 is a user like any other.
const secureNoRoot = 1<<0 | 1<<1

func dropAmbient() { _ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) }

// dropBounding takes all rights but keep out of what any exec could give.
func dropBounding(keep uint64) error {
	for c := uintptr(0); c <= 63; c++ {
		if keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			if err == unix.EINVAL { // the last right is behind us
				return nil
			}
			return fmt.Errorf("drop capabilities: %w", err)
		}
	}
	return nil
}

// switchTo changes the user and groups of this thread; Go's own functions change
// all threads.
func switchTo(u User) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	groups := make([]uint32, 0, len(u.Groups))
	for _, g := range u.Groups {
		groups = append(groups, uint32(g)) // #nosec G115 -- ids are not negative
	}
	list := unsafe.Pointer(unsafe.SliceData(groups)) // #nosec G103 -- an argument of a system call
	if _, _, no := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(list), 0); no != 0 {
		return fmt.Errorf("leave groups: %w", no)
	}
	gid, uid := uintptr(u.GID), uintptr(u.UID) // #nosec G115 -- ids are not negative
	if _, _, no := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); no != 0 {
		return fmt.Errorf("change group: %w", no)
	}
	if _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); no != 0 {
		return fmt.Errorf("change user: %w", no)
	}
	return nil
}

// setCapabilities leaves this thread keep and nothing else.
func setCapabilities(keep uint64) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(keep), uint32(keep>>32) // #nosec G115 -- two halves
	data := [2]unix.CapUserData{
		{Effective: low, Permitted: low, Inheritable: low},
		{Effective: high, Permitted: high, Inheritable: high},
	}
	if err := unix.Capset(&head, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

// DeviceGroups are the groups that may use device nodes which not everybody may.
func DeviceGroups(nodes []string) []int {
	var groups []int
	look := func(st os.FileInfo) {
		sys, ok := st.Sys().(*syscall.Stat_t)
		if ok && st.Mode()&os.ModeDevice != 0 && st.Mode().Perm()&0o006 != 0o006 && st.Mode().Perm()&0o060 == 0o060 && !slices.Contains(groups, int(sys.Gid)) {
			groups = append(groups, int(sys.Gid))
		}
	}
	for _, node := range nodes {
		_ = filepath.WalkDir(node, func(_ string, d os.DirEntry, err error) error {
			if err != nil {
				return nil // what cannot be seen gives no group
			}
			if st, err := d.Info(); err == nil {
				look(st)
			}
			return nil
		})
	}
	return groups
}
