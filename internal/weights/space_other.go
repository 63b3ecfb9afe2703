//go:build !unix

package weights

// freeSpace is not known on this system.
func freeSpace(string) (int64, bool) { return 0, false }

// syncDir has no counterpart on this system: renames are durable by themselves.
func syncDir(string) error { return nil }
