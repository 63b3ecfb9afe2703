package fault

import (
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
)

// drawn is what goes wrong with one call.
type drawn struct {
	wait time.Duration // before anything else
	rule *live         // whose fault ends the call; nil: none does
	name string        // for Call.Fault
}

// draw decides what goes wrong with a call to a model, of the faults that fit it.
// Rules are asked in the order of their names: what they let wait adds up, and the
// first that ends the call is the last one asked.
func (r *Rules) draw(c *call.Call, model string, fits func(Type) bool) drawn {
	now := r.now.Load()
	if now == nil {
		return drawn{}
	}
	var d drawn
	at := r.cfg.Now()
	for _, l := range *now {
		if !fits(l.Type) || !l.about(c, model, at) || !l.hit() {
			continue
		}
		if d.name != "" {
			d.name += ", "
		}
		d.name += l.Name + "=" + string(l.Type)
		d.wait += l.Latency
		if l.Type != Latency {
			d.rule = l
			break
		}
	}
	return d
}

// about reports whether a rule is about a call.
func (l *live) about(c *call.Call, model string, at time.Time) bool {
	switch {
	case l.Account != EveryAccount && l.Account != c.Principal.Account,
		!at.Before(l.Expires),
		l.Trigger == OnRequest && !named(c.Metadata[MetadataKey], l.Name):
		return false
	}
	return l.Model == "" || matches(l.Model, model) || matches(l.Model, c.ModelID)
}

// matches reports whether an id is what a pattern says, whose stars stand for any
// text.
func matches(pattern, id string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return id == pattern
	}
	id, ok := strings.CutPrefix(id, first)
	for ok {
		first, rest, star = strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(id, first)
		}
		_, id, ok = strings.Cut(id, first)
	}
	return false
}

// named reports whether a list with commas names a rule.
func named(list, name string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(s) == name {
			return true
		}
	}
	return false
}

// hit draws for one call.
func (l *live) hit() bool {
	n := l.calls.Add(1)
	if l.Rate < 1 && share(l.key, uint64(n)) >= l.Rate { // #nosec G115 -- a count
		return false
	}
	if h := l.hits.Add(1); l.Max > 0 && h > int64(l.Max) {
		l.hits.Add(-1)
		return false
	}
	return true
}

// share is the n-th number of a sequence, 0 to less than 1. It is SplitMix64 begun
// at key: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
func share(key, n uint64) float64 {
	z := key + n*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
