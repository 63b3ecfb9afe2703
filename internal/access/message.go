package access

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// refusal is the error for a verdict that denies.
// Source: IAM user guide, "Troubleshoot access denied error messages".
func (e *engine) refusal(q *query, v *verdict) error {
	if q.who == web {
		// Nothing is said to somebody whom no account knows.
		return apierr.AccessDenied("Not authorized to perform %s", q.request.Action)
	}
	var b strings.Builder
	b.WriteString("User: ")
	if q.who == service {
		b.WriteString(q.principal.Name)
	} else {
		b.WriteString(q.principal.ARN)
	}
	b.WriteString(" is not authorized to perform: " + q.request.Action)
	if q.request.Resource != everything || !hasPrefix(q.request.Action, "bedrock:") {
		b.WriteString(" on resource: " + q.named()) // Bedrock alone leaves "*" out
	}
	if v.outcome == ExplicitDeny {
		b.WriteString(" with an explicit deny in " + article(v.by) + " " + v.by.String())
	} else {
		b.WriteString(" because no " + v.by.String() + " allows the " + q.request.Action + " action")
	}
	if e.cfg.Seal != nil && q.principal.Account != "" {
		b.WriteString(". Encoded authorization failure message: " + e.cfg.Seal(q.reason(v)))
	}
	return apierr.AccessDenied("%s", b.String())
}

// named is the resource in the words of the caller.
func (q *query) named() string {
	for i := range q.said {
		if q.said[i].ARN == q.request.Resource {
			return q.said[i].As
		}
	}
	return q.request.Resource
}

// article returns the word that stands before the name of a kind.
func article(k policy.Kind) string {
	switch k {
	case policy.Identity:
		return "an"
	case policy.Trust:
		return "the"
	default:
		return "a"
	}
}

// ErrReason says that a text is not the reason of a refusal, or not one of the
// account that asks.
var ErrReason = errors.New("access: no reason of a refusal of this account")

// DecodeReason returns the reason of a refusal as DecodeAuthorizationMessage tells
// it, from what Config.Seal was given. account is that of the caller: a reason
// opens only to the account whose principal was refused.
//
// Errors: ErrReason.
func DecodeReason(plain []byte, account string) (string, error) {
	owner, text, ok := strings.Cut(string(plain), "\n")
	if !ok || owner == "" || owner != account {
		return "", ErrReason
	}
	return text, nil
}

// The limits of a reason. The encoded message that STS takes has at most 10,240
// characters.
const (
	maxReason      = 6000 // bytes, of the whole
	maxReasonValue = 256  // bytes, of one value of a condition key
)

// The form of AWS's decoded message.
type (
	reason struct {
		Allowed           bool                  `json:"allowed"`
		ExplicitDeny      bool                  `json:"explicitDeny"`
		MatchedStatements list[reasonStatement] `json:"matchedStatements"`
		Failures          list[reasonValue]     `json:"failures"`
		Context           reasonContext         `json:"context"`
	}
	list[T any] struct {
		Items []T `json:"items"`
	}
	reasonValue struct {
		Value string `json:"value"`
	}
	reasonStatement struct {
		StatementID string                `json:"statementId"`
		Effect      string                `json:"effect"`
		Principals  list[reasonValue]     `json:"principals"`
		Groups      list[reasonValue]     `json:"principalGroups"`
		Actions     list[reasonValue]     `json:"actions"`
		Resources   list[reasonValue]     `json:"resources"`
		Conditions  list[reasonCondition] `json:"conditions"`
	}
	reasonCondition struct {
		Key    string            `json:"key"`
		Values list[reasonValue] `json:"values"`
	}
	reasonContext struct {
		Principal struct {
			ID   string `json:"id"`
			Name string `json:"name,omitempty"`
			ARN  string `json:"arn"`
		} `json:"principal"`
		Action     string                `json:"action"`
		Resource   string                `json:"resource"`
		Conditions list[reasonCondition] `json:"conditions"`
	}
)

// reason writes why the query was refused, under the account of the principal. It
// tells of other accounts' policies and tags, and of those of the organisation,
// no more than the sentence does.
func (q *query) reason(v *verdict) []byte {
	r := reason{ExplicitDeny: v.outcome == ExplicitDeny}
	r.MatchedStatements.Items = []reasonStatement{}
	r.Failures.Items = []reasonValue{}
	c := &r.Context
	c.Principal.ID, c.Principal.Name, c.Principal.ARN = q.principal.UserID, q.principal.Name, q.principal.ARN
	c.Action, c.Resource = q.request.Action, q.request.Resource
	c.Conditions.Items = q.conditions()
	if f := &q.found[v.by]; r.ExplicitDeny && f.doc != nil {
		s := reasonStatement{Effect: "DENY"}
		foreign := v.by == policy.ServiceControl || v.by == policy.Endpoint || q.owner != q.principal.Account &&
			(v.by == policy.Resource || v.by == policy.Trust)
		if !foreign {
			s.fill(&f.doc.Statements()[f.match.Statement], q.principal.UserID)
		}
		s.complete()
		r.MatchedStatements.Items = append(r.MatchedStatements.Items, s)
	}
	text := r.json()
	if len(text) > maxReason {
		c.Conditions.Items = []reasonCondition{}
		for i := range r.MatchedStatements.Items {
			s := reasonStatement{StatementID: r.MatchedStatements.Items[i].StatementID, Effect: "DENY"}
			s.complete()
			r.MatchedStatements.Items[i] = s
		}
		text = r.json()
	}
	return append([]byte(q.principal.Account+"\n"), text...)
}

// json writes the reason.
func (r *reason) json() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("access: " + err.Error()) // texts and truth values always can be written
	}
	return text
}

// fill copies a statement as it was written.
func (s *reasonStatement) fill(from *policy.Statement, principal string) {
	s.StatementID = from.Sid
	s.Principals.Items = values(principal)
	s.Actions.Items = values(append(slices.Clone(from.Actions), from.NotActions...)...)
	s.Resources.Items = values(append(slices.Clone(from.Resources), from.NotResources...)...)
	for _, c := range from.Conditions {
		s.Conditions.Items = append(s.Conditions.Items, reasonCondition{Key: c.Key, Values: list[reasonValue]{values(c.Values...)}})
	}
}

// complete makes empty lists of missing ones.
func (s *reasonStatement) complete() {
	for _, l := range []*list[reasonValue]{&s.Principals, &s.Groups, &s.Actions, &s.Resources} {
		if l.Items == nil {
			l.Items = []reasonValue{}
		}
	}
	if s.Conditions.Items == nil {
		s.Conditions.Items = []reasonCondition{}
	}
}

// values makes a list of values, long ones cut.
func values(texts ...string) []reasonValue {
	out := make([]reasonValue, 0, len(texts))
	for _, t := range texts {
		if len(t) > maxReasonValue {
			t = strings.ToValidUTF8(t[:maxReasonValue], "") + "..."
		}
		out = append(out, reasonValue{t})
	}
	return out
}

// conditions lists the condition keys of the request, as far as the caller's
// account may know them.
func (q *query) conditions() []reasonCondition {
	names := factKeys()
	add := func(prefix string, tags map[string]string) {
		for k := range tags {
			names = append(names, prefix+k)
		}
	}
	add("aws:PrincipalTag/", q.policies.Tags)
	if s := q.principal.Session; s != nil {
		add("aws:PrincipalTag/", s.Tags)
	}
	if q.owner == q.principal.Account {
		add("aws:ResourceTag/", q.target.Tags)
	}
	names = slices.AppendSeq(names, maps.Keys(q.needKeys))
	names = slices.AppendSeq(names, maps.Keys(q.callKeys))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
	})
	out := []reasonCondition{}
	last := ""
	for _, name := range names {
		low := strings.ToLower(name)
		if v, ok := q.Values(low); ok && low != last {
			out = append(out, reasonCondition{Key: name, Values: list[reasonValue]{values(v...)}})
			last = low
		}
	}
	return out
}
