// Package meter keeps one usage record per call: who, what, how many tokens,
// how long, with what outcome. It never sees content.
package meter

import (
	"context"
	"time"
)

// Record is one finished call.
type Record struct {
	RequestID    string
	Time         time.Time // start of the call
	Account      string    // "" when the call was not authenticated
	Region       string
	Principal    string // ARN
	AccessKeyID  string
	Service      string // e.g. "bedrock-runtime"
	Operation    string // e.g. "Converse"
	ModelID      string // as the caller wrote it
	ServedBy     string // weights id
	StandIn      bool
	InputTokens  int
	OutputTokens int
	ReusedTokens int // part of the input taken from the engine's cache
	Status       int // HTTP status
	ErrorCode    string
	LatencyMS    int64 // inference only
	FirstTokenMS int64
	DurationMS   int64 // whole call
}

// Store keeps records.
type Store interface {
	// PutUsage stores a batch in one transaction and is durable when it returns.
	// A record whose RequestID and Time are stored already is left as it is, so a batch of
	// unknown outcome may be put again.
	PutUsage(ctx context.Context, records []Record) error
	// ListUsage returns the newest records of an account, newest first. "" means
	// every account. limit is at least 1.
	ListUsage(ctx context.Context, account string, limit int) ([]Record, error)
}
