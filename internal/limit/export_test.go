package limit

// Scopes is how many scopes are remembered of those who hold nothing.
func (s *Slots) Scopes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.demand.queue.scopes)
}
