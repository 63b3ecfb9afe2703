package llamacpp

import "time"

// The circuit of a model that keeps failing.
const (
	firstBackoff  = time.Second
	maxBackoff    = 60 * time.Second
	failureWindow = 10 * time.Minute
	failuresToTry = 5 // within failureWindow; then the circuit opens
)

// circuit decides when a failed process may be started again. It is used by one
// goroutine.
type circuit struct {
	failures []time.Time // within failureWindow, oldest first
}

// fail records a failure and returns how long to wait before the next start,
// and whether the circuit is open: then nothing is started by itself after the
// wait, and the first request after it is the probe.
func (c *circuit) fail(now time.Time) (wait time.Duration, open bool) {
	for len(c.failures) > 0 && now.Sub(c.failures[0]) > failureWindow {
		c.failures = c.failures[1:]
	}
	c.failures = append(c.failures, now)
	n := len(c.failures)
	if n >= failuresToTry {
		return maxBackoff, true
	}
	return min(firstBackoff<<(n-1), maxBackoff), false
}
