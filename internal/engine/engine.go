// Package engine is the parent of the model servers that Outcrop drives.
//
// Each engine is one folder below this one; enginetest is the conformance suite
// that all of them run.
package engine

import (
	"context"

	"github.com/outcrop/outcrop/internal/llm"
)

// Mode says what a process of an engine is loaded for.
type Mode string

// The modes.
const (
	Chat       Mode = "chat"       // weights with a chat template
	Completion Mode = "completion" // base weights: the prompt is the conversation's text
	Embed      Mode = "embed"
	Rank       Mode = "rank"  // a reranker
	Image      Mode = "image" // makes pictures
)

// Target is the weights to run a request on.
type Target struct {
	Weights string // id of the weights in the catalogue
	Mode    Mode
	// Scope owns reusable prompt state. State made under one scope is never
	// used for another: the account id. Scopes share an engine equally.
	Scope string
	// Tier is the service tier of the call, "reserved", "priority", "default" or
	// "flex"; "" is the default one. It decides who waits when an engine is busy.
	Tier string
	// Regions are where the request may be answered: the region it came in at, and,
	// when it came through a cross-region inference profile, the others of the
	// profile. nil means anywhere. An engine whose servers have regions picks one
	// among them, in this order.
	Regions []string
	// Reserved is the ARN of the provisioned throughput that the request came
	// through: it uses the slots set aside for it. "" means that it came through
	// none, and such slots are closed to it.
	Reserved string
	// Whole says that the caller waits for the whole reply: an engine with several
	// servers may begin it again on another one until it is complete.
	Whole bool
}

// Info is what an engine knows of loaded weights.
type Info struct {
	ContextTokens int // tokens one request may use, input and output together
	Dimensions    int // length of an embedding; 0 for text weights
	// TokenBytes is how many bytes of text one token stands for at most, and
	// TokenInk the same with white space (space, tab, line ends) left out of the
	// count. They tell a text that cannot fit without counting it. 0 means
	// unknown.
	TokenBytes, TokenInk int
	// Tools says that the weights' chat template knows tools: the engine then
	// takes Request.Tools, tool calls and tool results, and finds the calls of a
	// reply. Without it the pipeline writes and reads them as text.
	Tools bool
	// Forces says that the engine itself makes a reply follow Request.Choice and
	// Request.Format: it takes them as they are, and tools with them.
	Forces bool
	// Images says that the weights see images.
	Images bool
}

// Engine runs requests against one kind of model server. It is safe for
// concurrent use.
//
// Errors are *apierr.Error: ThrottlingException when the queue deadline passes,
// ModelNotReadyException when the weights are missing or cannot load now,
// ModelErrorException when the server fails before the first token,
// ModelStreamErrorException when it fails after it, ModelTimeoutException when
// it stalls. A context error is returned as it is.
type Engine interface {
	// Generate yields the events of one reply in order (llm.Start ... llm.Done)
	// and stops after the first error. Ending the range or ctx frees the
	// server's slot before Generate returns. Params.MaxTokens must be set.
	Generate(ctx context.Context, t Target, r *llm.Request) llm.Events
	// Count returns the input tokens that Generate would report for r.
	Count(ctx context.Context, t Target, r *llm.Request) (int, error)
	// Embed returns one vector of length 1 per text. Texts over the weights'
	// input limit are read in windows whose vectors are averaged by weight.
	Embed(ctx context.Context, t Target, r *llm.EmbedRequest) (*llm.EmbedResponse, error)
	// Info loads the weights when needed and tells their limits.
	Info(ctx context.Context, t Target) (Info, error)
	// Run supervises what the engine owns until ctx ends. When Run returns,
	// every process that the engine started is gone.
	Run(ctx context.Context) error
}
