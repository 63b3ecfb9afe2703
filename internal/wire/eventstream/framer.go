package eventstream

import (
	"fmt"
	"math"
	"strings"
)

// The header names and message types of AWS's use of the format.
const (
	HeaderEventType     = ":event-type"
	HeaderExceptionType = ":exception-type"
	HeaderContentType   = ":content-type"
	HeaderMessageType   = ":message-type"
	HeaderErrorCode     = ":error-code"
	HeaderErrorMessage  = ":error-message"

	MessageEvent     = "event"
	MessageException = "exception"
	MessageError     = "error"
)

const contentJSON = "application/json"

// Framer writes frames that differ in their payload only. Its headers are
// encoded once, so a frame costs no allocation besides the growth of dst. A
// Framer is immutable and safe for concurrent use. Make one with NewEventFramer
// or NewExceptionFramer; the zero Framer writes frames without headers.
type Framer struct {
	name    string
	headers []byte
}

// NewEventFramer returns the framer of the JSON event called name, e.g.
// "contentBlockDelta". It fails when name is empty or longer than 65,535 bytes.
func NewEventFramer(name string) (Framer, error) {
	return newFramer(HeaderEventType, name, MessageEvent)
}

// NewExceptionFramer returns the framer of exception frames for the error code,
// e.g. "ThrottlingException". The header carries the code as ExceptionName
// spells it.
func NewExceptionFramer(code string) (Framer, error) {
	return newFramer(HeaderExceptionType, ExceptionName(code), MessageException)
}

func newFramer(key, name, kind string) (Framer, error) {
	if name == "" || len(name) > math.MaxUint16 {
		return Framer{}, fmt.Errorf("%w: %s of %d bytes", ErrMalformed, key, len(name))
	}
	f := Framer{name: name}
	// The order is the one that AWS sends.
	for _, h := range []Header{
		{key, StringValue(name)},
		{HeaderContentType, StringValue(contentJSON)},
		{HeaderMessageType, StringValue(kind)},
	} {
		f.headers = h.append(f.headers)
	}
	return f, nil
}

// Name returns the event or exception name that stands in the headers.
func (f Framer) Name() string { return f.name }

// Append appends one frame with the given JSON payload to dst. A payload over
// MaxPayload gives ErrTooLarge and dst as it was.
func (f Framer) Append(dst, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return dst, ErrTooLarge
	}
	start := len(dst)
	dst = append(f.Begin(dst), payload...)
	return seal(dst, start, len(f.headers)), nil
}

// Begin appends the prelude and headers of a frame; the caller appends the
// payload and then calls End with the length that dst had before Begin. This
// saves copying a payload that is written piece by piece.
func (f Framer) Begin(dst []byte) []byte {
	var zero [preludeSize]byte
	dst = append(dst, zero[:]...)
	return append(dst, f.headers...)
}

// End completes the frame that Begin opened at dst[start:].
func (f Framer) End(dst []byte, start int) ([]byte, error) {
	if len(dst)-start-preludeSize-len(f.headers) > MaxPayload {
		return dst[:start], ErrTooLarge
	}
	return seal(dst, start, len(f.headers)), nil
}

// ExceptionName turns an error code into the name that exception frames carry:
// first letter in lower case, ending in "Exception". SDKs match it exactly; a
// name in upper camel case reaches their users as an empty error.
func ExceptionName(code string) string {
	if code == "" {
		code = "InternalServerException"
	}
	if !strings.HasSuffix(code, "Exception") {
		code += "Exception"
	}
	return strings.ToLower(code[:1]) + code[1:]
}

// AppendException appends an exception frame for the error code, e.g.
// "ModelStreamErrorException", with body as its JSON payload.
func AppendException(dst []byte, code string, body []byte) ([]byte, error) {
	f, err := NewExceptionFramer(code)
	if err != nil {
		return dst, err
	}
	return f.Append(dst, body)
}

// AppendError appends an error frame, the form for errors that the stream does
// not model. It has no payload. A message over 65,535 bytes is cut.
func AppendError(dst []byte, code, message string) ([]byte, error) {
	if len(message) > math.MaxUint16 {
		message = strings.ToValidUTF8(message[:math.MaxUint16], "")
	}
	return AppendFrame(dst, []Header{
		{HeaderErrorCode, StringValue(code)},
		{HeaderErrorMessage, StringValue(message)},
		{HeaderMessageType, StringValue(MessageError)},
	}, nil)
}
