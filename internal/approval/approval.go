// Package approval keeps what one principal asks for and another one has to agree
// to: a role for a few hours (just-in-time elevation), and changes that an account
// lets nobody make alone, such as putting a model into production.
//
// Whoever agrees must be of another origin than whoever asked, through however
// many roles either came, and must have proved a one-time code a short while ago.
package approval

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/call"
)

// Kind says what is asked for.
type Kind string

// The kinds of requests.
const (
	Elevation Kind = "ELEVATION" // a session of a role, for a while
	Change    Kind = "CHANGE"    // a call that is held back until it is approved
)

// State is how far a request has come.
type State string

// The states of a request. Pending, Approved and Active ones go on; all others
// are final.
const (
	Pending  State = "PENDING"
	Approved State = "APPROVED" // an elevation that may be started
	Active   State = "ACTIVE"   // an elevation whose sessions are good
	Applied  State = "APPLIED"  // a change that was made
	Failed   State = "FAILED"   // a change that was approved and could not be made
	Rejected State = "REJECTED"
	Ended    State = "ENDED"   // taken back, or an elevation that is over
	Expired  State = "EXPIRED" // nobody decided, or nobody started it, in time
)

const (
	// MaxPending is how long a request waits for its approval, and an approved
	// elevation for its start.
	MaxPending = 7 * 24 * time.Hour
	// MaxDuration is the longest elevation.
	MaxDuration = 8 * time.Hour
	// MaxMFAAge is how long ago an approver may have proved a one-time code.
	MaxMFAAge = time.Hour
	// MaxOpen is how many requests of one account may wait at a time.
	MaxOpen = 1000
	// MaxOwn is how many of them may be of one person: nobody alone keeps all others
	// from asking.
	MaxOwn = 100
)

// Request is what somebody asked for. It is never changed; a step makes a new one.
type Request struct {
	ID      string    `json:"id"` // "req-" and 20 of a-z2-7
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Kind    Kind      `json:"kind"`
	State   State     `json:"state"`
	Reason  string    `json:"reason"`
	Ticket  string    `json:"ticket,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"` // of Pending and Approved

	Requester Person `json:"requester"`

	// Of an elevation.
	RoleARN  string        `json:"role_arn,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
	Policy   string        `json:"policy,omitempty"` // session policy, IAM JSON; "" for all that the role may do

	// Of a change: the call that was held back.
	Service   string          `json:"service,omitempty"`
	Operation string          `json:"operation,omitempty"`
	Action    string          `json:"action,omitempty"`
	Resources []string        `json:"resources,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	// TokenID stands for the client token of the call and all else that it asked for:
	// a repeat of the call has the same one. "" of a call without a token.
	TokenID string `json:"token_id,omitempty"`
	// Caller is who made the call, as it was: the change is decided again as its call
	// when it is made.
	Caller *call.Principal `json:"caller,omitempty"`
	Source *call.Source    `json:"source,omitempty"`

	Approver *Person   `json:"approver,omitempty"` // who approved or rejected
	Comment  string    `json:"comment,omitempty"`
	Decided  time.Time `json:"decided,omitzero"`
	Started  time.Time `json:"started,omitzero"` // of an elevation: its first session
	Ends     time.Time `json:"ends,omitzero"`    // of an elevation: when it is over
	End      time.Time `json:"end,omitzero"`     // when it came to a final state
	Failure  string    `json:"failure,omitempty"`
}

// Person is who did something.
type Person struct {
	ARN    string `json:"arn"`
	Origin string `json:"origin"` // see call.Principal.Origin
}

// At is the request as it stands at a moment: time ends what nobody did.
func (r *Request) At(now time.Time) *Request {
	switch {
	case (r.State == Pending || r.State == Approved) && now.After(r.Expires):
		c := *r
		c.State, c.End = Expired, r.Expires
		return &c
	case r.State == Active && now.After(r.Ends):
		c := *r
		c.State, c.End = Ended, r.Ends
		return &c
	}
	return r
}

// Final reports whether nothing can happen to the request any more.
func (r *Request) Final() bool { return r.State != Pending && r.State != Approved && r.State != Active }

// Rule says which actions of an account need an approval.
type Rule struct {
	Actions []string `json:"actions"` // IAM actions, sorted; a "*" at the end stands for the rest of a name
}

// Holds reports whether the rule names an action.
func (r Rule) Holds(action string) bool {
	return slices.ContainsFunc(r.Actions, func(a string) bool { return matches(a, action) })
}

// Covers reports whether the rule names all that another one names.
func (r Rule) Covers(other Rule) bool {
	return !slices.ContainsFunc(other.Actions, func(a string) bool { return !r.Holds(a) })
}

// Secret reports whether the calls of an action carry what only their caller may see:
// answers with a secret that is shown once, or one-time codes that are worth nothing
// later. Such a call cannot wait: nobody would ever see its answer.
func Secret(action string) bool {
	switch action {
	case "iam:CreateAccessKey", "iam:CreateServiceSpecificCredential", "iam:ResetServiceSpecificCredential",
		"iam:CreateVirtualMFADevice", "iam:EnableMFADevice", "iam:ResyncMFADevice":
		return true
	}
	return false
}

func matches(pattern, action string) bool {
	if n := len(pattern) - 1; n >= 0 && pattern[n] == '*' {
		return len(action) >= n && action[:n] == pattern[:n]
	}
	return pattern == action
}

// Production are the actions that bring a model, or something that calls one, into
// production: the rule for accounts whose models others rely on.
func Production() []string {
	return []string{
		"bedrock:CreateAgentAlias", "bedrock:CreateCustomModelDeployment", "bedrock:CreateFlowAlias", "bedrock:CreateGuardrailVersion",
		"bedrock:CreateModelImportJob", "bedrock:CreatePromptVersion", "bedrock:CreateProvisionedModelThroughput",
		"bedrock:UpdateAgentAlias", "bedrock:UpdateCustomModelDeployment", "bedrock:UpdateFlowAlias", "bedrock:UpdateProvisionedModelThroughput",
	}
}
