package weights

import (
	"errors"
	"fmt"
	"syscall"
)

// Explain turns the system's error for a full disk into one that says so and
// wraps ErrNoSpace. Other errors come back as they are.
func Explain(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w in %s: free some and start again, what is here already is kept", ErrNoSpace, dir)
	}
	return err
}

// CheckSpace returns an error that wraps ErrNoSpace when dir has less than
// need bytes left. Where the system does not tell, it returns nil.
func CheckSpace(dir string, need int64) error {
	free, ok := freeSpace(dir)
	if !ok || free >= need {
		return nil
	}
	return fmt.Errorf("%w in %s: %s needed, %s free", ErrNoSpace, dir, Bytes(need), Bytes(free))
}

// Bytes writes a number of bytes for people: "98.4 MB".
func Bytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for _, name := range []string{"kB", "MB", "GB"} {
		v /= unit
		if v < unit {
			return fmt.Sprintf("%.1f %s", v, name)
		}
	}
	return fmt.Sprintf("%.1f TB", v/unit)
}
