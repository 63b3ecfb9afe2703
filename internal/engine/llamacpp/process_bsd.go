//go:build unix && !linux

package llamacpp

import "syscall"

// sysProcAttr has no parent-death signal here: the child sees the end of stdin.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func hardenChild(int) {}
