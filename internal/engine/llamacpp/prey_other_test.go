//go:build !linux

package llamacpp_test

// hunt finds nothing: there is no sandbox on this system.
func (prey) hunt() []finding { return nil }
