package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"
)

// The builders make pictures of the corners' colours: red top left, green top
// right, blue bottom left, black bottom right.
var corners = [4]color.RGBA{{0xff, 0, 0, 0xff}, {0, 0xff, 0, 0xff}, {0, 0, 0xff, 0xff}, {0, 0, 0, 0xff}}

// setter is an image that can be drawn on.
type setter interface {
	image.Image
	Set(x, y int, c color.Color)
}

func paint[T setter](img T) T {
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			img.Set(b.Min.X+x, b.Min.Y+y, corners[2*(2*y/b.Dy())+2*x/b.Dx()])
		}
	}
	return img
}

func rgba(w, h int) *image.RGBA { return paint(image.NewRGBA(image.Rect(0, 0, w, h))) }

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gifOf makes an animation of the given frames on a canvas of w by h.
func gifOf(t testing.TB, w, h int, frames ...*image.Paletted) []byte {
	t.Helper()
	var b bytes.Buffer
	g := &gif.GIF{Image: frames, Delay: make([]int, len(frames)), Config: image.Config{Width: w, Height: h, ColorModel: frames[0].Palette}}
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func paletted(r image.Rectangle) *image.Paletted {
	return paint(image.NewPaletted(r, color.Palette{corners[0], corners[1], corners[2], corners[3]}))
}

// exif is a TIFF header whose first directory has an orientation.
func exif(order binary.AppendByteOrder, o uint16) []byte {
	b := []byte("MM\x00*")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		b = []byte("II*\x00")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, tag := range []uint16{0x0100, 0x0112} {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, o)
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

// jpegWith puts an EXIF part behind the first marker.
func jpegWith(data, tiff []byte) []byte {
	part := append([]byte("Exif\x00\x00"), tiff...)
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(part)+2))
	return slices.Concat(data[:2], head, part, data[2:])
}

// pngChunk is one chunk of a PNG with its checksum.
func pngChunk(id string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, id...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngBomb is a PNG of one colour: w by h pixels of bits a channel in few bytes.
func pngBomb(t testing.TB, w, h int, bits byte) []byte {
	t.Helper()
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	head = append(head, bits, 2, 0, 0, 0)
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	row := make([]byte, 1+w*3*int(bits)/8)
	for range h {
		if _, err := z.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", head), pngChunk("IDAT", packed.Bytes()), pngChunk("IEND", nil))
}

// bits writes the least significant bit first, as WebP's lossless format reads.
type bits struct {
	b []byte
	n int
}

func (w *bits) put(v uint32, count int) {
	for i := range count {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// vp8l is a lossless bit stream whose left half has one colour and whose right
// half the other; they may differ in green alone. With one colour its pixels take no bits.
func vp8l(w, h int, left, right color.NRGBA) []byte {
	s := &bits{b: []byte{0x2f}, n: 8}
	s.put(uint32(w-1), 14)
	s.put(uint32(h-1), 14)
	s.put(1, 1)   // there is alpha
	s.put(0, 3+3) // version; no transform, no colour cache, no meta codes
	simple := func(symbols ...uint32) {
		s.put(1, 1)
		s.put(uint32(len(symbols)-1), 1)
		s.put(1, 1)
		for _, v := range symbols {
			s.put(v, 8)
		}
	}
	two := left.G != right.G
	if two {
		simple(uint32(min(left.G, right.G)), uint32(max(left.G, right.G)))
	} else {
		simple(uint32(left.G))
	}
	simple(uint32(left.R))
	simple(uint32(left.B))
	simple(uint32(left.A))
	simple(0)
	if two {
		for range h {
			for x := range w {
				// The smaller symbol has the code 0.
				bit := uint32(0)
				if (x >= w/2) == (right.G > left.G) {
					bit = 1
				}
				s.put(bit, 1)
			}
		}
	}
	return s.b
}

func riffChunk(id string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(id), uint32(len(data)))
	b = append(b, data...)
	if len(data)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func webpOf(parts ...[]byte) []byte { return riff(slices.Concat(parts...)) }

// vp8x is the header of the extended format.
func vp8x(flags byte, w, h int) []byte {
	return riffChunk("VP8X", append([]byte{flags, 0, 0, 0}, frameSize(w, h)...))
}

func frameSize(w, h int) []byte {
	w, h = w-1, h-1
	return []byte{byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)}
}

// lossy is the WebP of one pixel, of the format's first kind.
func lossy(t testing.TB) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
