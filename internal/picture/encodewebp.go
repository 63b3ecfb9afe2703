package picture

import (
	"cmp"
	"image"
	mathbits "math/bits"
	"slices"
)

// encodeWebP encodes an opaque picture as a lossless WebP file: every pixel as its
// difference from its neighbours, in prefix codes made for the picture, without
// references back. Files are some 10 % larger than those of an encoder that looks
// for repetitions.
//
// Source: RFC 9649, sections 2 and 3.
func encodeWebP(img *image.RGBA) []byte {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	var b bitWriter
	b.put(0x2f, 8)
	b.put(uint64(w-1), 14) // #nosec G115 -- at least 1
	b.put(uint64(h-1), 14) // #nosec G115 -- at least 1
	b.put(0, 1)            // no transparency
	b.put(0, 3)            // version

	const predict, subtractGreen, tileBits = 0, 2, 9
	const average = 12 // left plus top less top left, clamped
	b.put(1, 1)
	b.put(predict, 2)
	b.put(tileBits-2, 3)
	modes := [4]code{single(average), single(0), single(0), single(0xff)} // one colour, which takes no bits
	b.put(0, 1)                                                           // no colour cache
	for i := range modes {
		modes[i].write(&b)
	}
	distance := single(0)
	distance.write(&b)
	b.put(1, 1)
	b.put(subtractGreen, 2)
	b.put(0, 1) // no further transform

	residues := residuesOf(img)
	var counts [3][]int // green, red, blue
	counts[0], counts[1], counts[2] = make([]int, 256+24), make([]int, 256), make([]int, 256)
	for i := 0; i < len(residues); i += 3 {
		for c := range counts {
			counts[c][residues[i+c]]++
		}
	}
	var codes [3]code
	b.put(0, 1) // no colour cache
	b.put(0, 1) // one group of codes
	for c := range codes {
		codes[c] = codeOf(counts[c])
		codes[c].write(&b)
	}
	alpha := single(0) // opaque everywhere, as expected
	alpha.write(&b)
	distance.write(&b)
	for i := 0; i < len(residues); i += 3 {
		for c := range codes {
			v := residues[i+c]
			b.put(uint64(codes[c].bits[v]), int(codes[c].lengths[v]))
		}
	}
	data := b.bytes()
	n := len(data)
	chunk := append([]byte("VP8L"), byte(n), byte(n>>8), byte(n>>16), byte(n>>24)) // #nosec G115 -- the bytes of a length
	chunk = append(chunk, data...)
	if n%2 == 1 {
		chunk = append(chunk, 0)
	}
	return riff(chunk)
}

// residuesOf are green, red and blue of every pixel as they are encoded: first
// green is taken from red and blue, then of each what its neighbours let expect.
// The transforms are undone in the opposite order of the file.
func residuesOf(img *image.RGBA) []byte {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := make([]byte, 0, 3*w*h)
	at := func(x, y, c int) int { return int(img.Pix[y*img.Stride+4*x+c]) }
	order := [3]int{1, 0, 2}
	for y := range h {
		for x := range w {
			var d [3]byte
			for i, c := range order {
				want := 0
				switch {
				case x == 0 && y == 0:
				case y == 0:
					want = at(x-1, y, c)
				case x == 0:
					want = at(x, y-1, c)
				default:
					want = min(0xff, max(0, at(x-1, y, c)+at(x, y-1, c)-at(x-1, y-1, c)))
				}
				d[i] = byte(at(x, y, c) - want) // #nosec G115 -- wraps on purpose
			}
			out = append(out, d[0], d[1]-d[0], d[2]-d[0])
		}
	}
	return out
}

// code is a prefix code.
type code struct {
	lengths []uint8 // by symbol, in bits; 0: does not occur
	bits    []uint16
	only    int // the only symbol, which takes no bits; -1 for several
}

func single(symbol int) code {
	return code{lengths: make([]uint8, 256), bits: make([]uint16, 256), only: symbol}
}

const (
	maxCodeBits   = 15 // of a symbol
	maxLengthBits = 7  // of the length of a symbol's code
)

// codeOf makes the code for symbols that occur so often.
func codeOf(counts []int) code {
	used, last := 0, 0
	for s, n := range counts {
		if n > 0 {
			used, last = used+1, s
		}
	}
	if used < 2 {
		return code{lengths: make([]uint8, len(counts)), bits: make([]uint16, len(counts)), only: last}
	}
	return canonical(lengthsOf(counts, maxCodeBits))
}

// lengthsOf is Huffman's algorithm. When a code gets longer than most, rare symbols
// are taken for more frequent until none does.
func lengthsOf(counts []int, most int) []uint8 {
	type node struct{ count, symbol, left, right int }
	for floor := 1; ; floor *= 2 {
		var nodes []node
		for s, n := range counts {
			if n > 0 {
				nodes = append(nodes, node{max(n, floor), s, -1, -1})
			}
		}
		slices.SortStableFunc(nodes, func(a, b node) int { return cmp.Compare(a.count, b.count) })
		leaves := len(nodes)
		leaf, inner := 0, leaves
		least := func() int { // of those that have no parent yet
			if leaf < leaves && (inner == len(nodes) || nodes[leaf].count <= nodes[inner].count) {
				leaf++
				return leaf - 1
			}
			inner++
			return inner - 1
		}
		for range leaves - 1 {
			a, b := least(), least()
			nodes = append(nodes, node{nodes[a].count + nodes[b].count, -1, a, b})
		}
		depth := make([]int, len(nodes))
		lengths := make([]uint8, len(counts))
		deepest := 0
		for i := len(nodes) - 1; i >= 0; i-- {
			if n := nodes[i]; n.left >= 0 {
				depth[n.left], depth[n.right] = depth[i]+1, depth[i]+1
			} else {
				deepest = max(deepest, depth[i])
				lengths[n.symbol] = uint8(min(depth[i], 0xff)) // #nosec G115 -- clamped
			}
		}
		if deepest <= most {
			return lengths
		}
	}
}

// canonical gives codes of the given lengths their bits, first bit lowest.
func canonical(lengths []uint8) code {
	c := code{lengths: lengths, bits: make([]uint16, len(lengths)), only: -1}
	next := uint16(0)
	for length := uint8(1); length <= maxCodeBits; length++ {
		for s, l := range lengths {
			if l == length {
				c.bits[s] = mathbits.Reverse16(next) >> (16 - length)
				next++
			}
		}
		next <<= 1
	}
	return c
}

// write writes the code itself: the lengths, in a code of their own.
func (c *code) write(b *bitWriter) {
	if c.only >= 0 {
		b.put(1, 1)
		b.put(0, 1) // one symbol
		b.put(1, 1) // of 8 bits
		b.put(uint64(c.only), 8)
		return
	}
	counts := make([]int, 19)
	for _, l := range c.lengths {
		counts[l]++
	}
	used := 0
	for _, n := range counts {
		used += min(n, 1)
	}
	if used == 1 { // a code has two symbols at least
		counts[0]++
		counts[maxCodeBits]++
	}
	lengths := canonical(lengthsOf(counts, maxLengthBits))
	order := [...]int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	b.put(0, 1)
	b.put(uint64(len(order)-4), 4)
	for _, s := range order {
		b.put(uint64(lengths.lengths[s]), 3)
	}
	b.put(0, 1) // all symbols follow
	for _, l := range c.lengths {
		b.put(uint64(lengths.bits[l]), int(lengths.lengths[l]))
	}
}

// bitWriter writes bits, the lowest first.
type bitWriter struct {
	out []byte
	acc uint64
	n   int
}

func (b *bitWriter) put(v uint64, n int) {
	b.acc |= v << b.n
	for b.n += n; b.n >= 8; b.n -= 8 {
		b.out = append(b.out, byte(b.acc)) // #nosec G115 -- the lowest byte
		b.acc >>= 8
	}
}

func (b *bitWriter) bytes() []byte {
	if b.n > 0 {
		return append(b.out, byte(b.acc)) // #nosec G115 -- the lowest byte
	}
	return b.out
}
