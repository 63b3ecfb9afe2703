package picture

import (
	"encoding/binary"
	"image"
	"image/color"
)

// maxScans is the most passes of a JPEG over its picture. Encoders make about
// ten; thousands of empty ones would keep a processor busy for minutes.
const maxScans = 100

// decodeMemory is about how many bytes the decoder of f allocates for data. ok
// is false for a picture that no encoder makes.
func decodeMemory(f Format, data []byte, cfg image.Config) (bytes int64, ok bool) {
	pixels := int64(cfg.Width) * int64(cfg.Height)
	switch f {
	case PNG:
		per := int64(4)
		switch cfg.ColorModel {
		case color.RGBA64Model, color.NRGBA64Model:
			per = 8
		case color.Gray16Model:
			per = 2
		}
		if len(data) > 28 && data[28] == 1 { // interlaced: passes are images of their own
			return pixels * per * 3 / 2, true
		}
		return pixels * per, true
	case JPEG:
		return jpegMemory(data, pixels)
	case GIF:
		return pixels, true
	}
	if bytesAt(data, 12, "VP8 ") {
		return pixels * 2, true
	}
	return pixels * 6, true
}

// jpegMemory reads the frame header and counts the passes.
func jpegMemory(data []byte, pixels int64) (int64, bool) {
	var bytes int64
	scans := 0
	for s := range segments(data) {
		switch {
		case s.marker == 0xda:
			if scans++; scans > maxScans {
				return 0, false
			}
		case s.marker >= 0xc0 && s.marker <= 0xc2 && len(s.data) >= 6:
			samples := int64(0) // of 1/64 pixel, over all components
			var h, v int64 = 1, 1
			for c := s.data[6:]; len(c) >= 3; c = c[3:] {
				ch, cv := int64(c[1]>>4), int64(c[1]&15)
				samples += ch * cv
				h, v = max(h, ch), max(v, cv)
			}
			bytes = pixels * samples / (h * v)
			if s.marker == 0xc2 {
				bytes *= 5 // progressive: a 4-byte coefficient for each sample
			}
			if len(s.data) >= 6+4*3 {
				bytes += pixels * 4 // CMYK is put together from its planes
			}
		}
	}
	return bytes, bytes > 0
}

// segment is one part of a JPEG.
type segment struct {
	marker byte
	data   []byte // without marker and length
}

// segments ranges over the marker segments of a JPEG, those behind the first
// pass included, until the end or the first thing that is none.
func segments(data []byte) func(yield func(segment) bool) {
	return func(yield func(segment) bool) {
		for i := 2; i+1 < len(data); {
			if data[i] != 0xff {
				i++ // entropy-coded data
				continue
			}
			m := data[i+1]
			switch {
			case m == 0xff:
				i++ // filler
				continue
			case m == 0 || m == 1 || m >= 0xd0 && m <= 0xd8:
				i += 2 // an escaped byte, or a marker without data
				continue
			case m == 0xd9:
				return
			}
			if i+4 > len(data) {
				return
			}
			n := int(binary.BigEndian.Uint16(data[i+2:]))
			if n < 2 || i+2+n > len(data) {
				return
			}
			if !yield(segment{m, data[i+4 : i+2+n]}) {
				return
			}
			i += 2 + n
		}
	}
}

func bytesAt(data []byte, at int, text string) bool {
	return len(data) >= at+len(text) && string(data[at:at+len(text)]) == text
}
