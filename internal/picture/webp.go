package picture

import (
	"encoding/binary"
	"iter"
)

// chunk is one part of a RIFF file.
type chunk struct {
	id   string
	data []byte
	raw  []byte // header and padding included
}

// chunks ranges over the chunks of a RIFF file behind its 12-byte header.
func chunks(rest []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		for len(rest) >= 8 {
			n := int64(binary.LittleEndian.Uint32(rest[4:]))
			if n > int64(len(rest))-8 {
				return
			}
			end := min(8+n+n%2, int64(len(rest)))
			if !yield(chunk{string(rest[:4]), rest[8 : 8+n], rest[:end]}) {
				return
			}
			rest = rest[end:]
		}
	}
}

// firstFrame returns the first frame of an animated WebP as a file of its own,
// and any other file as it is.
// Source: RFC 9649, WebP container, sections 2.7 and 2.7.1.1.
func firstFrame(data []byte) []byte {
	const animated, alpha = 0x02, 0x10
	if !bytesAt(data, 12, "VP8X") || len(data) < 30 || data[20]&animated == 0 {
		return data
	}
	for c := range chunks(data[12:]) {
		if c.id != "ANMF" || len(c.data) < 16 {
			continue
		}
		head := []byte("VP8X\x0a\x00\x00\x00\x00\x00\x00\x00")
		head = append(head, c.data[6:12]...) // width and height less one, 3 bytes each
		var body []byte
		for f := range chunks(c.data[16:]) {
			switch f.id {
			case "ALPH":
				head[8] |= alpha
				body = append(body, f.raw...)
			case "VP8 ":
				body = append(body, f.raw...)
			case "VP8L":
				return riff(f.raw)
			}
		}
		return riff(append(head, body...))
	}
	return data
}

func riff(body []byte) []byte {
	out := []byte("RIFF\x00\x00\x00\x00WEBP")
	binary.LittleEndian.PutUint32(out[4:], uint32(len(body)+4)) // #nosec G115 -- a part of a few megabytes
	return append(out, body...)
}
