// Package call holds the facts of one request on its way through the server.
package call

import (
	"errors"
	"net/netip"
	"time"

	"github.com/outcrop/outcrop/internal/llm"
)

// PrincipalType says what kind of identity signed a request. The words are those
// of the condition key aws:PrincipalType.
type PrincipalType string

// The kinds of identity.
const (
	Root          PrincipalType = "Account"       // the root of an account
	User          PrincipalType = "User"          // an IAM user
	AssumedRole   PrincipalType = "AssumedRole"   // a session of a role
	FederatedUser PrincipalType = "FederatedUser" // a session of GetFederationToken
	AWSService    PrincipalType = "Service"       // Outcrop itself, for a job with a role
)

// Principal is who signed a request.
type Principal struct {
	Type        PrincipalType
	Account     string // 12 digits
	AccessKeyID string // "AKIA...", "ASIA..." or the id of a bearer key
	ARN         string // e.g. "arn:aws:sts::111122223333:assumed-role/app/session"
	// UserID is aws:userid: the account of a root, "AIDA..." of a user,
	// "AROA...:session" of a role's session.
	UserID string
	Name   string // of a user, aws:username; "" otherwise
	Bearer bool   // authenticated by a bearer key
	// BearerType is bedrock:BearerTokenType, "SHORT_TERM" or "LONG_TERM"; "" without
	// a bearer key.
	BearerType string
	Session    *Session // of temporary credentials; nil for long-term keys
}

// Session is what temporary credentials carry. It is never changed once made.
type Session struct {
	Issued  time.Time
	Expires time.Time
	MFA     time.Time // when a one-time code was proved; zero: never
	// The role of an assumed role; all "" for sessions of users and of roots.
	RoleARN  string // of the role itself, "arn:aws:iam::111122223333:role/path/app"
	RoleID   string // "AROA..."
	RoleName string
	Name     string // RoleSessionName, or the name of a federated user
	// Owner is the id of the user that a federated user acts for, "AIDA..."; "" for
	// one of the account's root, and for every other session.
	Owner string

	// Origin is who began: the UserID of the principal that assumed the first role of
	// a chain or that a federated user acts for, the issuer's host, ":" and the subject
	// of a web identity; "" stands for the UserID of the session itself. Whoever approves
	// a change must be of another origin than whoever asked for it.
	Origin string
	// Elevation is the id of the access request that the session was approved by; ""
	// for every other session. It ends when the request does.
	Elevation string

	Tags           map[string]string // session tags; they win over tags of the role
	TransitiveTags []string          // keys of those that go on through role chaining
	SourceIdentity string            // "" when none was set; it can never change
	Policies       []string          // session policies, IAM JSON; none: the role's own rights
	PolicyARNs     []string          // managed policies that are session policies too
	Chained        bool              // assumed by a role
	Provider       string            // web identity: the issuer's host; "" otherwise
	Subject        string            // web identity: sub
	Audience       string            // web identity: aud
}

// Origin is who stands behind the principal, through all roles.
func (p *Principal) Origin() string {
	if p.Session != nil && p.Session.Origin != "" {
		return p.Session.Origin
	}
	return p.UserID
}

// Source is where a request came from.
type Source struct {
	Listener  string     // name of the listener
	IP        netip.Addr // of the caller, behind trusted proxies; zero: a local socket
	TLS       bool
	VPCE      string // "vpce-..." of a private listener; "" otherwise
	VPC       string // "vpc-..."
	UserAgent string
	Referer   string
	// EndpointPolicy is the IAM JSON that bounds what may be done through the
	// listener; nil: everything.
	EndpointPolicy []byte
}

// Need is a permission that a call asks for.
type Need struct {
	Action    string   // IAM action, e.g. "iam:PassRole"
	Resources []string // ARNs, all of which must be allowed; none is the same as "*"
	// Keys are condition keys of this need alone, on top of those of the call.
	// Names in lower case.
	Keys map[string][]string
}

// Said tells that a caller named a resource in other words than its ARN.
type Said struct{ ARN, As string }

// Decision is what authorisation said about a call.
type Decision struct {
	Made    bool // false: nobody decided, so nothing may be answered
	Allowed bool
	Open    bool   // an operation that needs no permission
	By      string // kind of policy that decided, e.g. "identity-based policy"; "" for a root or an open operation
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
	// MFA is when a one-time code was proved that came with this very call; zero:
	// none did. Its handler's Resources function sets it.
	MFA    time.Time
	Source Source
	// Keys are condition keys that the input of the call has, names in lower case,
	// e.g. "aws:requesttag/team". A handler's Resources function fills them.
	Keys map[string][]string
	// Needs are further permissions that the call must have, e.g. iam:PassRole. A
	// handler's Resources function adds them.
	Needs []Need
	// Said are resources of the decision that the caller named otherwise: a refusal
	// repeats the caller's words, for the ARN would tell that there is such a thing.
	Said     []Said
	Decision Decision
	// ApprovedBy is the access request that let this call through, when it was held
	// back before; "" otherwise.
	ApprovedBy string
	// TokenID is the id for the resource that this call makes: the same on every
	// repeat of its client token, so that a repeat after a crash finds what the
	// first try made. "" when the caller sent no token.
	TokenID string

	// What an inference adds.
	ModelID    string // as the caller wrote it; of a prompt router, what the router calls the model
	Tier       string // service tier that the caller asked for; "" for none
	ModelARN   string
	RouterARN  string // prompt router that chose the model; "" without
	Legacy     bool   // the model will reach the end of its life
	Whole      bool   // the caller gets the reply when it is complete
	ServedBy   string // weights id, when a model answered
	StandIn    bool   // ServedBy are not the weights that the id names
	Usage      llm.Usage
	Latency    time.Duration // inference, queueing excluded
	FirstToken time.Duration
	Inferred   bool // an engine was asked; Usage and Latency hold
	// Metadata is what the caller said of the call with requestMetadata; nil: nothing.
	Metadata map[string]string
	// Fault names the fault rules that were made to go wrong with this call; "" for
	// none. Answers tell it in the header x-outcrop-fault.
	Fault string
	// Server is the server of a pool that answered, and InferenceRegion its region,
	// where that is not Region; "" without.
	Server          string
	InferenceRegion string
	Queued          time.Duration // wait for a turn at the engine
	// Cache tells what spared the engine the work: "hit" or "semantic-hit" of the
	// response cache, "coalesced" with a call in flight, "miss" when a cache was asked
	// in vain; "" without a cache. Answers tell it in the header x-outcrop-cache. Of a
	// call with several replies it is about the last one.
	Cache string
	// CacheAsk is what the caller asked of caches with the header x-outcrop-cache:
	// "on", "off" or "refresh"; "" for nothing. requestMetadata may say it too.
	CacheAsk string
	// Similarity is how close the question of a "semantic-hit" is to the one that was
	// answered before, up to 1; 0 otherwise.
	Similarity float64
	// Replies counts the replies that were asked for on behalf of the call, so that no
	// two of them have to be the same.
	Replies int

	// What gateway.finish adds.
	Status    int
	ErrorCode string
}

// ErrHangUp ends a call by closing its connection, without an answer or with what
// went out of it so far.
var ErrHangUp = errors.New("call: hang up")

// SetKey gives a condition key of the call its values. name is in lower case.
func (c *Call) SetKey(name string, values ...string) {
	if c.Keys == nil {
		c.Keys = make(map[string][]string)
	}
	c.Keys[name] = values
}

// Need asks for one more permission.
func (c *Call) Need(action string, resources ...string) {
	c.Needs = append(c.Needs, Need{Action: action, Resources: resources})
}

// Says notes how the caller named a resource that the call is decided over; see
// Call.Said.
func (c *Call) Says(arn, as string) {
	if arn != as {
		c.Said = append(c.Said, Said{ARN: arn, As: as})
	}
}

// Spared reports whether a cache or another call spared the engine the last reply.
func (c *Call) Spared() bool { return c.Cache != "" && c.Cache != CacheMiss }

// What Call.Cache may say.
const (
	CacheHit         = "hit"
	CacheSemanticHit = "semantic-hit"
	CacheCoalesced   = "coalesced"
	CacheMiss        = "miss"
)
