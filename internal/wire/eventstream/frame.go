// Package eventstream frames the events of vnd.amazon.eventstream, the binary
// format of every streamed Bedrock reply.
//
// A frame is a 12-byte prelude (total length, header length, CRC-32 of those
// two), typed headers, a payload, and a CRC-32 of all that came before. All
// numbers are big-endian; the CRC is the IEEE polynomial. Source: AWS's
// description of the event stream encoding, proven against the AWS SDK for Go.
package eventstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// Limits of a frame, the same that AWS's own SDKs apply.
const (
	MaxHeaders = 128 << 10 // bytes of encoded headers
	MaxPayload = 24 << 20  // bytes of payload
	MaxFrame   = preludeSize + MaxHeaders + MaxPayload + crcSize
)

// ContentType is the media type of a body made of frames.
const ContentType = "application/vnd.amazon.eventstream"

const (
	preludeSize = 12
	crcSize     = 4
	minFrame    = preludeSize + crcSize
)

// The reasons for which a frame is refused. The errors of this package wrap one
// of them.
var (
	ErrTooLarge  = errors.New("eventstream: frame over its size limit")
	ErrMalformed = errors.New("eventstream: malformed frame")
	ErrChecksum  = errors.New("eventstream: checksum does not match")
	ErrShort     = errors.New("eventstream: frame is cut short")
)

// Frame is one decoded message. Headers and Payload point into the bytes that
// were decoded.
type Frame struct {
	Headers []Header
	Payload []byte
}

// Header returns the value of the first header called name; ok tells whether
// there is one.
func (f *Frame) Header(name string) (v Value, ok bool) {
	for i := range f.Headers {
		if f.Headers[i].Name == name {
			return f.Headers[i].Value, true
		}
	}
	return Value{}, false
}

// Text returns the string value of the header called name, or "" when it is
// absent or not a string.
func (f *Frame) Text(name string) string {
	v, _ := f.Header(name)
	if v.typ != TypeString {
		return ""
	}
	return string(v.data)
}

// AppendFrame appends one frame to dst. Names must be unique, 1 to 255 bytes;
// string and byte values are at most 65,535 bytes. On an error dst is returned
// as it was.
func AppendFrame(dst []byte, headers []Header, payload []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	for i := range headers {
		h := &headers[i]
		if err := h.check(); err != nil {
			return dst[:start], err
		}
		if slices.ContainsFunc(headers[:i], func(o Header) bool { return o.Name == h.Name }) {
			return dst[:start], fmt.Errorf("%w: header %q twice", ErrMalformed, h.Name)
		}
		dst = h.append(dst)
	}
	size := len(dst) - start - preludeSize
	if size > MaxHeaders || len(payload) > MaxPayload {
		return dst[:start], ErrTooLarge
	}
	dst = append(dst, payload...)
	return seal(dst, start, size), nil
}

// seal fills the prelude of the frame that starts at dst[start:] and appends
// the message checksum.
func seal(dst []byte, start, headers int) []byte {
	frame := dst[start:]
	binary.BigEndian.PutUint32(frame, uint32(len(frame)+crcSize)) // #nosec G115 -- at most MaxFrame
	binary.BigEndian.PutUint32(frame[4:], uint32(headers))        // #nosec G115 -- at most MaxHeaders
	binary.BigEndian.PutUint32(frame[8:], crc32.ChecksumIEEE(frame[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(frame))
}

// Decode reads the frame at the start of b and returns it with the number of
// bytes it took. The frame points into b.
//
// ErrShort means that b holds only the beginning of a frame; every other error
// means that the stream cannot be read further.
func Decode(b []byte) (Frame, int, error) {
	if len(b) < preludeSize {
		return Frame{}, 0, ErrShort
	}
	total, headers, err := prelude(b)
	if err != nil {
		return Frame{}, 0, err
	}
	if len(b) < total {
		return Frame{}, 0, ErrShort
	}
	body := b[:total-crcSize]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(b[total-crcSize:]) {
		return Frame{}, 0, fmt.Errorf("%w: message", ErrChecksum)
	}
	end := preludeSize + headers
	hs, err := decodeHeaders(body[preludeSize:end:end])
	if err != nil {
		return Frame{}, 0, err
	}
	return Frame{Headers: hs, Payload: body[end:len(body):len(body)]}, total, nil
}

// prelude checks the first 12 bytes of a frame and returns its total length
// and the length of its headers.
func prelude(b []byte) (total, headers int, err error) {
	if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
		return 0, 0, fmt.Errorf("%w: prelude", ErrChecksum)
	}
	t, h := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if h > MaxHeaders || t > MaxFrame {
		return 0, 0, ErrTooLarge
	}
	total, headers = int(t), int(h)
	if total < minFrame+headers {
		return 0, 0, fmt.Errorf("%w: lengths disagree", ErrMalformed)
	}
	if total-minFrame-headers > MaxPayload {
		return 0, 0, ErrTooLarge
	}
	return total, headers, nil
}
