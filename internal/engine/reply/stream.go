package reply

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds one line of a server's stream, and maxSkipped what may stand
// between two events.
const (
	maxLine    = 1 << 20
	maxSkipped = 1 << 20
	// lineRoom holds nearly every line; a buffer of it is held for as long as a
	// stream is open.
	lineRoom = 1 << 10
)

// ErrStream: what the server sends is no stream of events.
var ErrStream = errors.New("not a stream of events")

var (
	errLongLine = errors.Join(ErrStream, errors.New("a line is too long"))
	errNoEvents = errors.Join(ErrStream, errors.New("nothing but lines that are no events"))
)

// Stream reads server-sent events, the data of one line each.
type Stream struct {
	r    *bufio.Reader
	line []byte // holds lines that are longer than r's buffer
}

// NewStream returns a Stream.
func NewStream(r io.Reader) *Stream { return &Stream{r: bufio.NewReaderSize(r, lineRoom)} }

// Reset begins another stream in the room of this one, whose data are gone then.
func (s *Stream) Reset(r io.Reader) {
	s.r.Reset(r)
	s.line = nil
}

// Next returns the data of the next event, valid until the next call. io.EOF
// means that the stream ended, io.ErrUnexpectedEOF that it ended within a line.
// Errors for what is no stream wrap ErrStream.
func (s *Stream) Next() ([]byte, error) {
	for skipped := 0; ; {
		line, err := s.readLine()
		if err != nil {
			return nil, err
		}
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok { // empty lines, comments ":", "error:" of old builds of llama.cpp
			if data, ok = bytes.CutPrefix(line, []byte("error:")); !ok {
				if skipped += len(line) + 1; skipped > maxSkipped {
					return nil, errNoEvents
				}
				continue
			}
		}
		return bytes.TrimPrefix(data, []byte(" ")), nil
	}
}

// Rest reads what follows the last event: the end of the body, at once. Then the
// connection can be used again.
func (s *Stream) Rest() { _, _ = io.CopyN(io.Discard, s.r, 4<<10) }

// readLine returns one line without its end, valid until the next call.
func (s *Stream) readLine() ([]byte, error) {
	s.line = s.line[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		if err == nil && len(s.line) == 0 {
			return ended(part), nil
		}
		s.line = append(s.line, part...)
		switch {
		case err == nil:
			return ended(s.line), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if errors.Is(err, io.EOF) && len(s.line) > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		case len(s.line) > maxLine:
			return nil, errLongLine
		}
	}
}

// ended is a line without its end.
func ended(line []byte) []byte {
	n := len(line)
	for n > 0 && (line[n-1] == '\n' || line[n-1] == '\r') {
		n--
	}
	return line[:n]
}
