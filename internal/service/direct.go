package service

import (
	"context"
	"iter"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Direct is an operation of an API that is not AWS's, at a fixed path of the
// same port: OpenAI's and Anthropic's own. It goes the same way as every other
// call: bearer key, limits, access, metering.
type Direct struct {
	Method    string
	Path      string // exact, e.g. "/openai/v1/models"
	Operation string // name in records, e.g. "ChatCompletions"
	KeyHeader string // a header that may carry the key instead of Authorization; "" if none
	// Open reads a request: which resources the caller must be allowed to use, and
	// how to go on when they are.
	Open func(ctx context.Context, c *call.Call, body []byte) (DirectCall, error)
	// Error is the body of an error in this API's form.
	Error func(e *apierr.Error) []byte
	// ErrorEvent is the event that ends a stream with e, ready for the wire.
	ErrorEvent func(e *apierr.Error) []byte
}

// DirectCall is a request that was read.
type DirectCall struct {
	Action    string // IAM action
	Resources []string
	Serve     func(ctx context.Context) (DirectReply, error)
}

// DirectReply is one of a JSON body and a stream of server-sent events. The
// bytes of an event are valid until the next one is asked for.
type DirectReply struct {
	Body   []byte
	Events iter.Seq2[[]byte, error]
}
