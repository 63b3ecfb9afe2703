package engine

import "github.com/outcrop/outcrop/internal/limit"

// Line is what an engine tells of the line before the slots of some weights and
// mode.
type Line struct {
	Weights string
	Mode    Mode
	limit.Stats
}

// Liner is what an Engine whose requests take turns also is.
type Liner interface {
	// Lines tells of every line that there was so far, in no order.
	Lines() []Line
}
