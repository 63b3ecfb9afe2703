//go:build unix && !linux

package llamacpp

import "syscall"

// sysProcAttr has no parent-death signal here: the child sees the end of stdin.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// fencedAttr is nil: there are no network namespaces here.
func fencedAttr() *syscall.SysProcAttr { return nil }

func hardenChild(int) {}
