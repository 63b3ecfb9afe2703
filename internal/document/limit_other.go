//go:build !linux && !darwin

package document

// limitProcess does nothing: the watch alone bounds memory and time here.
func limitProcess(Limits) {}
