package jsonschema

import "math/big"

// Bounds of numbers that a schema leaves open, and of what the grammar follows.
const (
	openNumber    = 999_999_999 // to both sides of 0, or away from the one bound
	fraction      = 6           // digits after the point
	maxFraction   = 12          // the same where the range or multipleOf needs more
	maxDigits     = 18          // before the point, where the other bound allows less
	maxDigitStart = 60          // before the point, at all
	maxWays       = 4_000       // states of a number's automaton
	maxMultiples  = 100         // numbers in a list, where the automaton is too large
)

// numberOf is what a number must be. nil means open.
type numberOf struct {
	integer          bool
	least, most      *big.Rat
	above, below     *big.Rat
	multipleOf       *big.Rat
	pointer, keyword string // for errors
}

// scaled is a range of whole numbers that stand for numbers with digits after
// the point: 150 for 1.50 when digits is 2.
type scaled struct {
	lo, hi *big.Int
	digits int
	step   *big.Int // lo to hi in steps that count from 0
}

// scale turns what is said of a number into a range; false when it is empty.
func (n numberOf) scale(digits int) (scaled, bool) {
	unit := new(big.Rat).SetInt(power(digits))
	s := scaled{digits: digits, step: big.NewInt(1)}
	lowest := func(r *big.Rat, beyond int64) {
		// The smallest whole number that is not below r, or is above it.
		v := new(big.Rat).Mul(r, unit)
		k := new(big.Int).Add(floor(v), big.NewInt(1))
		if v.IsInt() {
			k.Add(floor(v), big.NewInt(beyond))
		}
		if s.lo == nil || k.Cmp(s.lo) > 0 {
			s.lo = k
		}
	}
	highest := func(r *big.Rat, beyond int64) {
		v := new(big.Rat).Mul(r, unit)
		k := floor(v)
		if v.IsInt() {
			k.Sub(k, big.NewInt(beyond))
		}
		if s.hi == nil || k.Cmp(s.hi) < 0 {
			s.hi = k
		}
	}
	if n.least != nil {
		lowest(n.least, 0)
	}
	if n.above != nil {
		lowest(n.above, 1)
	}
	if n.most != nil {
		highest(n.most, 0)
	}
	if n.below != nil {
		highest(n.below, 1)
	}
	s.close()
	if m := n.multipleOf; m != nil {
		// Whole numbers that are multiples of a/b are those of a.
		if v := new(big.Rat).Mul(m, unit); v.IsInt() {
			s.step = v.Num()
		} else {
			s.step = new(big.Int).Mul(m.Num(), power(digits))
		}
	}
	return s, s.some()
}

// close gives open sides a bound.
func (s *scaled) close() {
	open := new(big.Int).Mul(big.NewInt(openNumber), power(s.digits))
	far := power(maxDigits + s.digits)
	switch {
	case s.lo == nil && s.hi == nil:
		s.lo, s.hi = new(big.Int).Neg(open), open
	case s.lo == nil:
		s.lo = new(big.Int).Sub(s.hi, open)
		if below := new(big.Int).Neg(open); s.lo.Cmp(below) > 0 {
			s.lo = below
		}
	case s.hi == nil:
		s.hi = new(big.Int).Add(s.lo, open)
		if s.hi.Cmp(open) < 0 {
			s.hi = open
		}
	}
	if s.hi.Cmp(far) > 0 && s.lo.Cmp(far) < 0 {
		s.hi = new(big.Int).Sub(far, big.NewInt(1))
	}
	if minus := new(big.Int).Neg(far); s.lo.Cmp(minus) < 0 && s.hi.Cmp(minus) > 0 {
		s.lo = minus.Add(minus, big.NewInt(1))
	}
}

// some reports whether the range has a member.
func (s scaled) some() bool {
	first := s.atLeast(s.lo)
	return first.Cmp(s.hi) <= 0
}

// atLeast returns the first multiple of the step that is not below k.
func (s scaled) atLeast(k *big.Int) *big.Int {
	r := new(big.Int).Mod(k, s.step) // 0 or above
	if r.Sign() == 0 {
		return new(big.Int).Set(k)
	}
	return new(big.Int).Add(k, r.Sub(s.step, r))
}

// number returns the graph of the numbers that fit.
func (c *compiler) number(n numberOf) (*graph, error) {
	s, ok := n.scale(0)
	if !n.integer {
		s, ok = n.decimals()
	}
	if !ok {
		return nil, errEmpty
	}
	for _, bound := range []*big.Int{s.lo, s.hi} {
		if len(new(big.Int).Abs(bound).String()) > maxDigitStart+s.digits {
			return nil, &Error{Pointer: n.pointer, Keyword: n.keyword, Reason: "asks for numbers too large to be guaranteed"}
		}
	}
	d := digits{scaled: s, g: &graph{}, ids: map[place]int{}}
	if !d.draw() {
		d = digits{scaled: s, g: &graph{}}
		d.list()
	}
	return d.g, nil
}

// decimals chooses the number of digits after the point.
func (n numberOf) decimals() (scaled, bool) {
	if n.multipleOf != nil {
		for digits := 0; digits <= maxFraction; digits++ {
			v := new(big.Rat).Mul(n.multipleOf, new(big.Rat).SetInt(power(digits)))
			if v.IsInt() {
				return n.scale(digits)
			}
		}
		return n.scale(0)
	}
	for digits := fraction; digits <= maxFraction; digits++ {
		if s, ok := n.scale(digits); ok {
			return s, true
		}
	}
	return scaled{}, false
}

// digits draws the automaton of a range. Digits are read from the left; a place
// remembers whether what was read is still equal to the bounds, and what it adds
// up to in steps.
type digits struct {
	scaled
	g      *graph
	ids    map[place]int
	stride int64
}

type place struct {
	negative bool
	left     int  // digits still to come, those after the point included
	low      bool // equal to the lower bound so far
	high     bool // equal to the upper bound so far
	sum      int64
	point    pointState
}

type pointState uint8

const (
	beforePoint pointState = iota
	atPoint
	behindPoint
)

// draw builds the graph from its first state; false when it grows too large.
func (d *digits) draw() bool {
	if d.step.BitLen() > 50 {
		return false
	}
	d.stride = d.step.Int64()
	start := d.g.add(false)
	if !d.side(start, false) {
		return false
	}
	if d.lo.Sign() >= 0 {
		return true
	}
	minus := d.g.add(false)
	d.g.join(start, runes{'-', '-'}, minus)
	return d.side(minus, true)
}

// bounds returns the range of the absolute values on one side of 0, which
// belongs to the positive side.
func (d *digits) bounds(negative bool) (lo, hi *big.Int, ok bool) {
	lo, hi = d.lo, d.hi
	least := big.NewInt(0)
	if negative {
		lo, hi = new(big.Int).Neg(d.hi), new(big.Int).Neg(d.lo)
		least = big.NewInt(1)
	}
	if lo.Cmp(least) < 0 {
		lo = least
	}
	return lo, hi, lo.Cmp(hi) <= 0
}

func (d *digits) side(from int, negative bool) bool {
	lo, hi, ok := d.bounds(negative)
	if !ok {
		return true
	}
	for whole := 1; whole <= max(1, len(hi.String())-d.digits); whole++ {
		total := whole + d.digits
		end := power(total)
		if lo.Cmp(end) >= 0 {
			continue
		}
		p := place{negative: negative, left: total, low: true, high: hi.Cmp(end) < 0}
		if !d.next(from, p, lo, hi, whole) {
			return false
		}
	}
	return true
}

// next adds the edges for the next digit at p. first is the number of digits
// before the point when p is the very first place, else 0.
func (d *digits) next(from int, p place, lo, hi *big.Int, first int) bool {
	weight := new(big.Int).Mod(power(p.left-1), big.NewInt(d.stride)).Int64()
	for digit := int64(0); digit <= 9; digit++ {
		q := p
		q.left--
		if l := digitAt(lo, q.left); p.low {
			if digit < l {
				continue
			}
			q.low = digit == l
		}
		if h := digitAt(hi, q.left); p.high {
			if digit > h {
				continue
			}
			q.high = digit == h
		}
		if first > 1 && digit == 0 {
			continue
		}
		q.sum = (p.sum + digit*weight) % d.stride
		if p.point == atPoint {
			q.point = behindPoint
		}
		to, ok := d.place(q, lo, hi)
		if !ok {
			return false
		}
		d.g.join(from, runes{rune('0' + digit), rune('0' + digit)}, to)
	}
	return true
}

// place returns the state of p, with all that follows it.
func (d *digits) place(p place, lo, hi *big.Int) (int, bool) {
	if id, ok := d.ids[p]; ok {
		return id, true
	}
	if len(d.ids) == maxWays {
		return 0, false
	}
	// The rest of a number that ends here is zeros.
	accept := p.left <= d.digits && p.point != atPoint && p.sum == 0
	if p.low {
		accept = accept && new(big.Int).Mod(lo, power(p.left)).Sign() == 0
	}
	id := d.g.add(accept)
	d.ids[p] = id
	switch {
	case p.left == 0:
		return id, true
	case p.point == beforePoint && p.left == d.digits:
		q := p
		q.point = atPoint
		to, ok := d.place(q, lo, hi)
		d.g.join(id, runes{'.', '.'}, to)
		return id, ok
	}
	return id, d.next(id, p, lo, hi, 0)
}

// list makes a graph of the members of the range that are nearest to 0.
func (d *digits) list() {
	start, end := d.g.add(false), d.g.add(true)
	add := func(k *big.Int) {
		text := decimal(k, d.digits)
		at := start
		for i, r := range text {
			to := end
			if i < len(text)-1 {
				to = d.g.add(false)
			}
			d.g.join(at, runes{r, r}, to)
			at = to
		}
	}
	up := d.atLeast(d.lo)
	if d.lo.Sign() < 0 {
		up = new(big.Int)
	}
	down := new(big.Int).Sub(up, d.step)
	if d.hi.Sign() < 0 {
		down = new(big.Int).Neg(scaled{step: d.step}.atLeast(new(big.Int).Neg(d.hi)))
		up = new(big.Int).Add(d.hi, big.NewInt(1))
	}
	for range maxMultiples / 2 {
		if up.Cmp(d.lo) >= 0 && up.Cmp(d.hi) <= 0 {
			add(up)
		}
		if down.Cmp(d.lo) >= 0 && down.Cmp(d.hi) <= 0 {
			add(down)
		}
		up, down = new(big.Int).Add(up, d.step), new(big.Int).Sub(down, d.step)
	}
}

// decimal writes k with a point before its last digits.
func decimal(k *big.Int, digits int) string {
	sign, text := "", k.String()
	if k.Sign() < 0 {
		sign, text = "-", text[1:]
	}
	if digits == 0 {
		return sign + text
	}
	for len(text) <= digits {
		text = "0" + text
	}
	return sign + text[:len(text)-digits] + "." + text[len(text)-digits:]
}

// digitAt returns a decimal digit, counted from the right.
func digitAt(k *big.Int, n int) int64 {
	v := new(big.Int).Quo(k, power(n))
	return v.Mod(v, big.NewInt(10)).Int64()
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// floor returns the largest whole number that is not above r.
func floor(r *big.Rat) *big.Int { return new(big.Int).Div(r.Num(), r.Denom()) }

// commonMultiple returns the smallest number that is a multiple of both.
func commonMultiple(a, b *big.Rat) *big.Rat {
	x, y := new(big.Int).Mul(a.Num(), b.Denom()), new(big.Int).Mul(b.Num(), a.Denom())
	gcd := new(big.Int).GCD(nil, nil, x, y)
	top := x.Div(x.Mul(x, y), gcd)
	return new(big.Rat).SetFrac(top, new(big.Int).Mul(a.Denom(), b.Denom()))
}
