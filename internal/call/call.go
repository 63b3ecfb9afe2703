// Package call holds the facts of one request on its way through the server.
package call

import (
	"time"

	"github.com/outcrop/outcrop/internal/llm"
)

// Principal is who signed a request.
type Principal struct {
	Account     string // 12 digits
	AccessKeyID string // "AKIA..." or the id of a bearer key
	ARN         string // e.g. "arn:aws:iam::000000000000:root"
	UserID      string
	Bearer      bool // authenticated by a bearer key
}

// Call is one request. The gateway makes it and passes it down; each room fills
// in what it learns; gateway.finish reads it once. It is used by one goroutine
// at a time and holds no prompt or completion text.
type Call struct {
	ID        string // request id, a UUID
	Start     time.Time
	Service   string // AWS client name, e.g. "bedrock-runtime"; "" before routing
	Operation string // e.g. "Converse"; "" before routing
	Action    string // IAM action
	Region    string
	Partition string // "aws", "aws-us-gov", "aws-cn"
	Principal Principal
	// TokenID is the id for the resource that this call makes: the same on every
	// repeat of its client token, so that a repeat after a crash finds what the
	// first try made. "" when the caller sent no token.
	TokenID string

	// What an inference adds.
	ModelID    string // as the caller wrote it
	ModelARN   string
	ServedBy   string // weights id, when a model answered
	StandIn    bool   // ServedBy are not the weights that the id names
	Usage      llm.Usage
	Latency    time.Duration // inference, queueing excluded
	FirstToken time.Duration
	Inferred   bool // an engine was asked; Usage and Latency hold

	// What gateway.finish adds.
	Status    int
	ErrorCode string
}
