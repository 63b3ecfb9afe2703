package limit

// The ranks of a free slot for a caller.
const (
	rankUseless = iota + 1 // holds another scope's state, or what the caller cannot use
	rankUnowned            // holds nothing
	rankHead               // the caller's own head, and little that would be lost
	rankSame               // the caller's own conversation
)

// rank tells how well a free slot suits a caller.
func (sl *slot) rank(scope string, p *Prefix) int {
	switch held := &sl.prefix; {
	case !sl.owned:
		return rankUnowned
	case sl.owner != scope:
		return rankUseless
	case *p == (Prefix{}) || p.Turn != 0 && p.Turn == held.Turn:
		return rankSame
	case p.Head != 0 && p.Head == held.Head && held.Size-held.HeadSize <= held.HeadSize:
		return rankHead
	}
	return rankUseless
}

// place returns the slot, and its group, that suits best of those that may be
// granted now to a caller of p; -1 when there is none. Of equals it takes the
// warmest of the same conversation; of all others one of the group with most room,
// there the coldest.
func (s *Slots) place(p *pool, scope string, prefix *Prefix, room int) (slot, in int) {
	best, from, rank := -1, -1, 0
	if p != s.demand && p.busy >= p.n {
		return best, from
	}
	for g := range s.groups {
		if !s.fits(p, g, room) {
			continue
		}
		for i := s.groups[g].first; i < s.groups[g].end; i++ {
			sl := &s.slots[i]
			if sl.busy {
				continue
			}
			r := sl.rank(scope, prefix)
			if r < rank || r == rank && !s.better(i, g, best, from, r) {
				continue
			}
			best, from, rank = i, g, r
		}
	}
	return best, from
}

// better tells whether slot i of group g goes before another one of the same rank.
func (s *Slots) better(i, g, other, from, rank int) bool {
	if rank == rankSame {
		return s.slots[i].used >= s.slots[other].used
	}
	if a, b := s.groups[g].free, s.groups[from].free; a != b {
		return a > b
	}
	return s.slots[i].used < s.slots[other].used
}

// fits tells whether a group may take a caller of p with so many tokens: it is open
// and has a slot and the tokens, and what is set aside for others stays so. Only a
// holder who asks for no more than his slot's share of the tokens need not look at
// the others: his slot is there.
func (s *Slots) fits(p *pool, g int, room int) bool {
	gr := &s.groups[g]
	if !gr.open || gr.free == 0 || s.tokens > 0 && gr.tokens+room > s.tokens {
		return false
	}
	owed := s.owed
	if p != s.demand {
		owed--
		if room <= s.share {
			return true
		}
	}
	if owed <= 0 {
		return true
	}
	gr.free--
	gr.tokens += room
	left := s.room()
	gr.free++
	gr.tokens -= room
	return left >= owed
}

// room is how many more holders could be given a slot with its share of tokens.
func (s *Slots) room() int {
	n := 0
	for g := range s.groups {
		switch gr := &s.groups[g]; {
		case !gr.open:
		case s.share == 0:
			n += gr.free
		default:
			n += min(gr.free, (s.tokens-gr.tokens)/s.share)
		}
	}
	return n
}
