package engine

import "time"

// State is where the process of some weights stands.
type State string

// The states of a process.
const (
	Cold     State = "cold"     // not loaded; the next request loads it
	Loading  State = "loading"  // waiting for memory, starting, reading weights
	Ready    State = "ready"    // answers
	Sleeping State = "sleeping" // loaded, unused for long; the next request wakes it
	Draining State = "draining" // leaves when its last request ends
	Stopped  State = "stopped"  // the engine has ended
	Failed   State = "failed"   // waits before it is tried again
)

// Process is what an engine tells people about one process: of one weights and
// mode that was asked for at least once.
type Process struct {
	Weights  string
	Mode     Mode
	State    State
	Progress float64 // of loading, 0 to 1
	Since    time.Time
	PID      int // 0 without a process
	// Estimate is how many bytes the process is expected to take and Memory how
	// many it takes now; 0 means unknown.
	Estimate, Memory int64
	Slots            int  // requests that it runs at once
	Busy             int  // of them in use
	Waiting          int  // requests in the queue, told by the first process of the weights and mode
	Restarts         int  // starts after the first
	Replica          int  // number among the processes of the same weights and mode
	Pinned           bool // it stays loaded
	Safe             bool
	Build            string // of the model server; "" before its first load
	Err              string // why it failed last; "" when it did not
}

// Reporter is what an Engine with processes of its own also is.
type Reporter interface {
	// Processes tells of every process of what was wanted so far, ordered by
	// weights, mode and number.
	Processes() []Process
}
