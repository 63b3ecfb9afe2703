package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// legacy is empty: this architecture has no older forms of the calls of denied.
func legacy() []uint32 { return nil }
