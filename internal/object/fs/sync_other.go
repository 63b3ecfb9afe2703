//go:build !unix

package fs

import "os"

// syncDir does nothing: these systems cannot open a folder to sync it, and keep
// its names by themselves.
func syncDir(*os.Root, string) error { return nil }
