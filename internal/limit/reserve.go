package limit

import (
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Reserve sets n slots aside for a holder, in place of those that he has: only asks
// with his name in Ask.Reserved are granted them, and they are granted no others.
// Which slots they are is open; there are always so many left for the holder. n = 0
// gives them back, and those who wait for them are refused.
//
// What can be set aside are the slots of one group but one, and no more than leave
// a request of SlotsConfig.Most tokens its place in it: however few processes run,
// both holders and all others are served. Slots that are leased when they are set
// aside are the holder's as soon as enough of them are free.
//
// Error: ServiceQuotaExceededException when fewer can be set aside; then nothing
// has changed.
func (s *Slots) Reserve(holder string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pool(holder)
	if holder == "" || n <= 0 {
		if holder != "" && p != nil {
			s.drop(p)
		}
		return nil
	}
	others := 0
	for _, o := range s.holders {
		if o != p {
			others += o.n
		}
	}
	if most := s.reservable() - others; n > most {
		return apierr.QuotaExceeded("The model's server can set aside %d more of its requests at once, not %d.", max(most, 0), n)
	}
	if p == nil {
		p = &pool{holder: holder, queue: newQueue(s.wait / tiers)}
		s.holders = append(s.holders, p)
	}
	p.n = n
	s.count()
	s.dispatch(time.Now())
	return nil
}

// Reserved tells how many slots are set aside for a holder, and for all together.
func (s *Slots) Reserved(holder string) (his, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.holders {
		if all += p.n; p.holder == holder {
			his = p.n
		}
	}
	return his, all
}

// reservable is how many slots can be set aside in all.
func (s *Slots) reservable() int {
	n := s.size - 1
	if s.share > 0 {
		n = min(n, (s.tokens-s.most)/s.share)
	}
	return n
}

// drop ends what is set aside for a holder. Its leases run on; the pool is forgotten
// with the last of them.
func (s *Slots) drop(p *pool) {
	p.n = 0
	s.forget(p)
	now := time.Now()
	for w := p.queue.first(now); w != nil; w = p.queue.first(now) {
		p.queue.refuse(w, errGone())
	}
	s.count()
	s.dispatch(now)
}

// forget removes the pool of a holder who has nothing any more.
func (s *Slots) forget(p *pool) {
	if p.n == 0 && p.busy == 0 {
		s.holders = slices.DeleteFunc(s.holders, func(o *pool) bool { return o == p })
	}
}

func errGone() error {
	return apierr.NotFound("The provisioned throughput was deleted.")
}

// pool finds the pool of a holder; nil when he has none.
func (s *Slots) pool(holder string) *pool {
	if holder == "" {
		return s.demand
	}
	for _, p := range s.holders {
		if p.holder == holder {
			return p
		}
	}
	return nil
}

// count adds up what is owed to holders.
func (s *Slots) count() {
	s.owed = 0
	for _, p := range s.holders {
		s.owed += max(p.n-p.busy, 0)
	}
}
