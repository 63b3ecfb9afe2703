package engine

import "context"

// Reserver is what an Engine also is that can set capacity aside.
type Reserver interface {
	// Reserve sets n slots of the weights of t aside for a holder, in place of those
	// that he has: requests whose Target.Reserved is the holder run on them and on no
	// others, and nobody else is given them. n = 0 gives them back. It lasts as long
	// as the engine, whether the weights are loaded or not. Of t, weights and mode
	// count.
	//
	// Errors: ServiceQuotaExceededException when fewer can be set aside; otherwise as
	// Engine has them for weights that cannot be used.
	Reserve(ctx context.Context, t Target, holder string, n int) error
}
