package eventstream

import (
	"errors"
	"fmt"
	"io"
)

// Reader reads frames from a byte stream. It is not safe for concurrent use.
type Reader struct {
	// Max bounds a whole frame, in bytes; 0 means MaxFrame.
	Max int

	r   io.Reader
	buf []byte
}

// NewReader returns a reader of r's frames. It reads no further than the frame
// it was asked for.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next frame, which stays valid until the following call.
// io.EOF means that the stream ended between two frames; ErrShort that it ended
// within one. After an error the reader must not be used again.
func (r *Reader) Next() (Frame, error) {
	if cap(r.buf) < preludeSize {
		r.buf = make([]byte, 4096)
	}
	r.buf = r.buf[:preludeSize]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Frame{}, ErrShort
		}
		return Frame{}, err
	}
	total, _, err := prelude(r.buf)
	if err != nil {
		return Frame{}, err
	}
	if r.Max > 0 && total > r.Max {
		return Frame{}, ErrTooLarge
	}
	if err := r.fill(total); err != nil {
		return Frame{}, err
	}
	f, _, err := Decode(r.buf)
	return f, err
}

// fill reads until the buffer holds total bytes. It grows with what really
// arrives, so a lying prelude cannot reserve megabytes.
func (r *Reader) fill(total int) error {
	const step = 64 << 10
	for len(r.buf) < total {
		n := len(r.buf)
		want := min(total, max(2*n, n+step, cap(r.buf)))
		if cap(r.buf) < want {
			grown := make([]byte, n, want)
			copy(grown, r.buf)
			r.buf = grown
		}
		got, err := io.ReadFull(r.r, r.buf[n:want])
		r.buf = r.buf[:n+got]
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return ErrShort
			}
			return fmt.Errorf("read frame: %w", err)
		}
	}
	return nil
}
