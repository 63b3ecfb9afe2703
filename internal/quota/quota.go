// Package quota bounds what accounts, principals and inference profiles use of a
// model: requests and tokens in a minute and in a day, requests at one time.
//
// Values are records, answered from memory; what was used is counted by Buckets,
// which processes may share. A call reserves the most that it can cost, is refused
// when a bucket is empty, and is set right when its reply ends.
package quota

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Kind is what a quota bounds. The words are those of the command line.
type Kind string

// The kinds of quota.
const (
	Requests    Kind = "requests-per-minute"
	Tokens      Kind = "tokens-per-minute" // #nosec G101 -- a name; input and burnt-down output together
	TokensDay   Kind = "tokens-per-day"    // #nosec G101 -- a name; the same, in a day of UTC
	RequestsDay Kind = "requests-per-day"
	Concurrent  Kind = "concurrent-requests"
)

// Kinds are all kinds, in the order in which they are listed.
func Kinds() []Kind { return []Kind{Requests, RequestsDay, Tokens, TokensDay, Concurrent} }

const kinds = 5

// index is the place of a kind in Kinds, -1 for none.
func (k Kind) index() int {
	switch k {
	case Requests:
		return 0
	case RequestsDay:
		return 1
	case Tokens:
		return 2
	case TokensDay:
		return 3
	case Concurrent:
		return 4
	}
	return -1
}

// Valid reports whether there is such a kind.
func (k Kind) Valid() bool { return k.index() >= 0 }

// Unlimited is the value of a quota that bounds nothing.
const Unlimited int64 = -1

// MaxValue is the largest value of a quota; it is the largest that the Service
// Quotas API can tell.
const MaxValue int64 = 10_000_000_000

// The values that every account has for every model. They are far over what one
// machine can do, so that only a flood meets them: who comes first on a busy machine
// is the business of the models' queues.
const (
	DefaultRequests   int64 = 1_200_000
	DefaultTokens     int64 = 600_000_000
	DefaultConcurrent int64 = 20_000
)

// minutesOfDay is how many times the quota of a minute that of a day is, unless it is
// set.
// Source: Bedrock user guide, "How tokens are counted in Amazon Bedrock".
const minutesOfDay = 24 * 60

// Shipped is the value of a quota that nobody set.
func Shipped(k Kind) int64 {
	switch k {
	case Requests:
		return DefaultRequests
	case RequestsDay:
		return DefaultRequests * minutesOfDay
	case Tokens:
		return DefaultTokens
	case TokensDay:
		return DefaultTokens * minutesOfDay
	}
	return DefaultConcurrent
}

// Code is the code of a model's quota at Service Quotas: "L-" and eight hexadecimal
// digits. It follows from the kind and the model alone, so that it is the same in
// every account, region and release.
func Code(k Kind, model string) string {
	sum := sha256.Sum256([]byte("bedrock " + string(k) + " " + model))
	return "L-" + strings.ToUpper(hex.EncodeToString(sum[:4]))
}

// Burndown is how many tokens of a quota an output token of a model takes.
// Source: Bedrock user guide, "How tokens are counted in Amazon Bedrock": 5 for
// Claude 3.7 Sonnet, Opus 4, Sonnet 4 and what came after them, 1 for all others.
func Burndown(model string) int64 {
	rest, ok := strings.CutPrefix(model, "anthropic.claude-")
	if !ok {
		return 1
	}
	for _, old := range []string{"v1", "v2", "instant", "3-5-", "3-haiku", "3-opus", "3-sonnet"} {
		if strings.HasPrefix(rest, old) {
			return 1
		}
	}
	return 5
}

// burstOf is how much of a quota of a minute may be used at once, when it was not
// set: a tenth, so that a flood gets no more than a tenth over the quota however
// short a time one looks at.
func burstOf(value, set int64) int64 {
	if set > 0 {
		return set
	}
	return max(1, value/10)
}

// maxRetryAfter bounds what a refused client is told to wait: some SDKs do wait as
// long as they are told.
const maxRetryAfter = 30 * time.Second

// refused is the error of a call that a quota refuses.
// Source: the words are those of the live service.
func refused(k Kind, wait time.Duration) error {
	text := "Too many requests, please wait before trying again."
	switch k {
	case RequestsDay:
		text = "Too many requests per day, please wait before trying again."
	case Tokens:
		text = "Too many tokens, please wait before trying again."
	case TokensDay:
		text = "Too many tokens per day, please wait before trying again."
	}
	e := apierr.Throttling("%s", text)
	e.RetryAfter = min(max(wait, time.Second), maxRetryAfter)
	return e
}
