package cache

import "sync/atomic"

// Stats are counts since the start, but for what is held now.
type Stats struct {
	Hits         int64 // replies from the cache of equal requests
	Misses       int64 // requests that it was asked for in vain
	SemanticHits int64 // replies to a question that is nearly the same
	SemanticMiss int64 // questions without one that is near
	Coalesced    int64 // calls that listened to the generation of another one
	Flights      int   // generations under way that may be shared
	Kept         int64 // replies that were kept
	Failures     int64 // of the store or the embedding weights; calls go on without them
	Questions    int   // held for the semantic cache
	Batches      int64 // passes of embedding weights for more than one call
	Batched      int64 // calls that shared them
	// Memory is what the store of this process holds; zero with another one.
	Memory Use
}

type counters struct {
	hits, misses, semanticHits, semanticMisses, coalesced, kept, failures, batches, batched atomic.Int64
}

// Stats tells the counts.
func (g *Gate) Stats() Stats {
	s := Stats{
		Hits: g.counts.hits.Load(), Misses: g.counts.misses.Load(), SemanticHits: g.counts.semanticHits.Load(), SemanticMiss: g.counts.semanticMisses.Load(),
		Coalesced: g.counts.coalesced.Load(), Kept: g.counts.kept.Load(), Failures: g.counts.failures.Load(),
		Batches: g.counts.batches.Load(), Batched: g.counts.batched.Load(), Questions: g.near.len(), Flights: g.flights.len(),
	}
	if m, ok := g.cfg.Store.(*Memory); ok {
		s.Memory = m.Use()
	}
	return s
}

func (fs *flights) len() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.all)
}
