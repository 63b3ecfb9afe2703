//go:build !linux

package llamacpp

import "errors"

// The figures of other systems are not read: estimates count, without a limit
// unless one is configured.

func memoryOf(int) int64 { return 0 }

func totalMemory() int64 { return 0 }

func availableMemory() (int64, error) { return 0, errors.New("not known on this system") }
