//go:build !unix

package app

// forbidCores does nothing: these systems write no core files.
func forbidCores() {}
