package engine

import "context"

// Prober is what an Engine over servers that others run also is.
type Prober interface {
	// Probe asks the server of t's weights for a sign of life, by a request that
	// costs it next to nothing. Only t.Weights counts. nil means that it answered.
	Probe(ctx context.Context, t Target) error
}
