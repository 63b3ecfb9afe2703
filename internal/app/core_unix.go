//go:build unix

package app

import "syscall"

// forbidCores keeps this process and its children from leaving core files,
// which would hold prompts and keys. A limit of 1 byte, unlike 0, also holds for
// systems that pipe cores to a program (Linux, core(5)).
func forbidCores() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 1, Max: 1}) // lowering a limit needs no right
}
