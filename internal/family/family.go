// Package family turns the native bodies of model providers into llm and back.
//
// Each provider is one folder below this one; familytest is the conformance
// suite that all of them run. InvokeModel, its stream and (later) batch use the
// same codec, because all of them speak llm.
package family

import (
	"errors"
	"iter"

	"github.com/outcrop/outcrop/internal/llm"
)

// Model is what a codec may know of the model it speaks for.
type Model struct {
	ID           string // e.g. "anthropic.claude-v2", without geography prefix
	MaxOutput    int    // largest output limit the body may ask for; 0 means the family's own
	StrictParity bool   // answer AWS's 400 where Outcrop is lenient by default
	Dimensions   int    // length of the vectors, for ids whose family has none of its own for them; 0 for text
	// Prompt is the form of prompt that the weights themselves read, e.g.
	// "llama3"; "" when they are reached through their chat template only. A
	// family whose bodies hold such a prompt passes it on raw.
	Prompt string
	// Direct says that the body came through the provider's own API, which names
	// the model and the form of the reply in the body and knows no metrics of
	// Bedrock in its streams.
	Direct bool
}

// Family parses the bodies of one provider. It is safe for concurrent use.
type Family interface {
	// Name is the folder and the catalogue's word for the family.
	Name() string
	// Parse reads an InvokeModel body. Errors are ValidationException and name
	// the offending key as Bedrock does.
	Parse(m Model, body []byte) (Task, error)
}

// Task is one parsed body: a Text, an Embedding, a Ranking or a Picture.
type Task any

// Text is one parsed request for text and the way back.
type Text interface {
	Request() *llm.Request
	// Response is the native body of a whole reply.
	Response(r *llm.Response) ([]byte, error)
	// Stream starts the native chunks of a streamed reply. It fails with
	// ValidationException when the family cannot stream.
	Stream() (Stream, error)
}

// Stream turns events into native chunks. It is used by one goroutine.
type Stream interface {
	// Chunks calls emit once for each native chunk (one JSON object) that ev
	// makes, in order. The chunk is only valid during the call. The chunk of the
	// Done event carries "amazon-bedrock-invocationMetrics".
	Chunks(ev llm.Event, emit func(chunk []byte) error) error
}

// errStopped ends a stream whose reader went away; nobody is told it.
var errStopped = errors.New("the stream was stopped by its reader")

// Chunked turns the events of a reply into native chunks as they come. A chunk is
// valid until the next one is asked for; an error ends the range.
func Chunked(events llm.Events, s Stream) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		stopped := false
		emit := func(chunk []byte) error {
			if !yield(chunk, nil) {
				stopped = true
				return errStopped
			}
			return nil
		}
		for ev, err := range events {
			if err == nil {
				err = s.Chunks(ev, emit)
			}
			if stopped {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Embedding is one parsed request for vectors and the way back.
type Embedding interface {
	Request() *llm.EmbedRequest
	// Dimensions is the length of the vectors that the caller wants; the
	// pipeline fits the weights' own vectors to it before Response.
	Dimensions() int
	Response(r *llm.EmbedResponse) ([]byte, error)
}

// Several is a Text that may ask for more than one reply.
type Several interface {
	Text
	// Replies is how many, at least 1. They are made one after the other, each
	// with a seed of its own.
	Replies() int
	// Responses is the native body of all of them.
	Responses(rs []*llm.Response) ([]byte, error)
}

// Ranking is one parsed request to rank documents and the way back.
type Ranking interface {
	Request() *llm.RankRequest
	Response(r *llm.RankResponse) ([]byte, error)
}

// Picture is one parsed request for pictures and the way back.
type Picture interface {
	Request() *llm.PictureRequest
	Response(r *llm.PictureResponse) ([]byte, error)
}

// Dialog is a conversation in events, both ways. It is used by one goroutine.
type Dialog interface {
	// Push takes one event of the caller. A request is returned when it is the
	// model's turn; its events go to Chunks before the next Push. done means that
	// the caller ended the session. Errors are ValidationException.
	Push(event []byte) (turn *llm.Request, done bool, err error)
	// Chunks is Stream.Chunks for the turn that Push returned last.
	Chunks(ev llm.Event, emit func(chunk []byte) error) error
}

// Registry finds a family by name.
type Registry map[string]Family

// NewRegistry registers the given families by their names.
func NewRegistry(families ...Family) Registry {
	r := make(Registry, len(families))
	for _, f := range families {
		r[f.Name()] = f
	}
	return r
}
