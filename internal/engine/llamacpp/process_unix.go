//go:build unix

package llamacpp

import "syscall"

// signalGroup sends sig to the process group that pid leads.
func signalGroup(pid int, sig syscall.Signal) { _ = syscall.Kill(-pid, sig) }
