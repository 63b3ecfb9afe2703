package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Smallest encodings: a pair is a key length, a type and one byte; a tensor
// description is a name length, a dimension count, one dimension, a type and
// an offset.
const (
	minPair       = 8 + 4 + 1
	minTensorInfo = 8 + 4 + 8 + 4 + 8
)

// errShort says that the file ends before something that it declares.
var errShort = errors.New("the file ends too early")

// input reads little-endian values and knows how many bytes are left.
type input struct {
	r    *bufio.Reader
	left int64 // bytes that may still be read
	size int64 // bytes of the file
	buf  [8]byte
}

func newInput(r io.ReaderAt, size int64) *input {
	size = max(size, 0)
	left := min(size, maxMetadata)
	return &input{
		r:    bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 256<<10),
		left: left,
		size: size,
	}
}

// offset is the position of the next byte.
func (in *input) offset() int64 {
	return min(in.size, maxMetadata) - in.left
}

// fail names the place of an error and marks errors of the format.
func (in *input) fail(what string, err error) error {
	if errors.Is(err, errShort) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if in.size > maxMetadata {
			return fmt.Errorf("%w: %s: the header is longer than %d bytes", ErrFormat, what, maxMetadata)
		}
		return fmt.Errorf("%w: %s: %w", ErrFormat, what, errShort)
	}
	if errors.Is(err, ErrFormat) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("read GGUF %s: %w", what, err)
}

func (in *input) take(n int64) error {
	if n < 0 || n > in.left {
		return errShort
	}
	in.left -= n
	return nil
}

// bytes reads n bytes, at most 8, valid until the next call.
func (in *input) bytes(n int) ([]byte, error) {
	if err := in.take(int64(n)); err != nil {
		return nil, err
	}
	b := in.buf[:n]
	_, err := io.ReadFull(in.r, b)
	return b, err
}

func (in *input) u32() (uint32, error) {
	b, err := in.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (in *input) u64() (uint64, error) {
	b, err := in.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// uint reads a little-endian number of 1, 2, 4 or 8 bytes.
func (in *input) uint(width int64) (uint64, error) {
	b, err := in.bytes(int(width))
	if err != nil {
		return 0, err
	}
	var v uint64
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v, nil
}

// skip passes over n bytes.
func (in *input) skip(n int64) error {
	if err := in.take(n); err != nil {
		return err
	}
	for n > 0 {
		step := min(n, 1<<20)
		done, err := in.r.Discard(int(step))
		if err != nil {
			return err
		}
		n -= int64(done)
	}
	return nil
}

// count reads a number of things, each of which takes at least least bytes.
func (in *input) count(what string, limit, least int64) (int, error) {
	n, err := in.u64()
	if err != nil {
		return 0, in.fail(what, err)
	}
	if n > uint64(limit) { // #nosec G115 -- limits are positive constants
		return 0, fmt.Errorf("%w: %s: %d, at most %d are allowed", ErrFormat, what, n, limit)
	}
	if int64(n) > in.left/least { // #nosec G115 -- n is at most limit
		return 0, fmt.Errorf("%w: %s: %d do not fit into the file", ErrFormat, what, n)
	}
	return int(n), nil // #nosec G115 -- n is at most limit
}

// text reads a length and that many bytes, at most limit.
func (in *input) text(limit int64) (string, error) {
	n, err := in.u64()
	if err != nil {
		return "", err
	}
	if n > uint64(limit) { // #nosec G115 -- limits are positive constants
		return "", fmt.Errorf("%w: a text of %d bytes, at most %d are allowed", ErrFormat, n, limit)
	}
	if err := in.take(int64(n)); err != nil { // #nosec G115 -- n is at most limit
		return "", err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in.r, b); err != nil {
		return "", err
	}
	return string(b), nil
}
