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
func become(r *Report, s spec, fenced bool) {
	if os.Geteuid() != 0 {
		r.miss(OwnUser, "only root may switch")
		_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		r.held(Rights) // the exec of a user without rights gives none
		return
	}
	keep := uint64(0)
	if fenced {
		keep = reader()
	}
	bound := dropBounding(keep)
	switch u := s.Policy.User; {
	case s.Disowned != "":
		r.miss(OwnUser, "%s", s.Disowned)
	case u == nil:
		r.miss(OwnUser, "not asked for")
	case keep == 0 && u.Alone: // nobody has seen to it that this user can read them
		r.miss(OwnUser, "the weights could be out of its reach: %s", why(fenced))
		disown(s.Policy)
	default:
		if err := switchTo(*u); err != nil {
			r.miss(OwnUser, "%v", err)
			disown(s.Policy)
		} else {
			r.held(OwnUser)
			r.Detail[OwnUser] = fmt.Sprintf("uid %d", u.UID)
		}
	}
	if err := setCapabilities(keep); err != nil {
		r.miss(Rights, "%v", err)
		return
	}
	if bound != nil {
		r.miss(Rights, "%v", bound)
		return
	}
	if keep != 0 {
		r.Detail[Rights] = "but to read the files of its policy whoever owns them"
	}
	r.held(Rights)
}

// why a program may not keep the right to read what other users own.
func why(fenced bool) string {
	if fenced {
		return "the server has no right to read what others own"
	}
	return "without Landlock it may not keep the right to read what others own"
}

// disown gives the private folder back to root, who stays the program's user.
func disown(p Policy) {
	if p.Private != "" {
		_ = os.Lchown(p.Private, 0, 0) // the program tells when it cannot make its socket
	}
}

// reader is the right to read what other users own, as a set: the smaller one that
// this process has of the two that give it. Containers often have only the larger,
// and Landlock makes them the same. 0 when it has neither.
func reader() uint64 {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return 0
	}
	for _, c := range []int{unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE} {
		if data[0].Permitted&(1<<c) != 0 {
			return 1 << c
		}
	}
	return 0
}

// dropBounding takes all rights but keep out of what any exec could give, even to
// root.
func dropBounding(keep uint64) error {
	for c := uintptr(0); c <= 63; c++ {
		has, _, no := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_READ, c, 0)
		if no != 0 { // the last right is behind us
			return nil
		}
		if has == 0 || keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
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

// setCapabilities leaves this thread keep and nothing else, also after exec.
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
	for c := uintptr(0); c <= 63; c++ {
		if keep&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return fmt.Errorf("keep capability %d: %w", c, err)
		}
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
