package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind says where a policy stands. It decides which elements the policy may and
// must have.
type Kind uint8

// The kinds of policies.
const (
	Identity       Kind = iota // inline or managed policy of a user, group or role
	Resource                   // policy of a resource other than a role
	Trust                      // who may assume a role
	ServiceControl             // service control policy of an organisation
	Boundary                   // permissions boundary of a user or role
	Session                    // policy that comes with AssumeRole
	Endpoint                   // policy of a VPC endpoint, here of a listener
)

var kindNames = [...]string{
	"identity-based policy", "resource-based policy", "role trust policy", "service control policy",
	"permissions boundary", "session policy", "VPC endpoint policy",
}

// String returns the kind as AWS's messages call it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "policy kind " + strconv.Itoa(int(k))
}

// withArticle returns the kind behind "a" or "an".
func (k Kind) withArticle() string {
	if k == Identity {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// hasPrincipal tells whether statements of the kind name principals.
func (k Kind) hasPrincipal() bool { return k == Resource || k == Trust || k == Endpoint }

// Effect is what a statement, or a document, says about a request.
type Effect uint8

// The effects. The zero value is silence, which denies in the end.
const (
	None Effect = iota
	Allow
	Deny
)

// String returns "Allow", "Deny" or "None".
func (e Effect) String() string {
	switch e {
	case Allow:
		return "Allow"
	case Deny:
		return "Deny"
	default:
		return "None"
	}
}

// Document is a parsed policy. It never changes; it is safe for concurrent use.
type Document struct {
	kind       Kind
	text       []byte
	version    string
	id         string
	statements []Statement
	compiled   []statement
}

// Kind returns the kind that the document was parsed as.
func (d *Document) Kind() Kind { return d.kind }

// Text returns the text that the document was parsed from, byte for byte. The
// caller must not change it.
func (d *Document) Text() []byte { return d.text }

// Version returns the version of the language as the text names it, "" if it
// names none, which means 2008-10-17.
func (d *Document) Version() string { return d.version }

// ID returns the element Id, "" if there is none.
func (d *Document) ID() string { return d.id }

// Statements returns the statements in the order of the text. They are a view:
// the caller must not change what they point to.
func (d *Document) Statements() []Statement { return d.statements }

// Statement is one statement as it was written. Of each pair of an element and
// its Not-form at most one is not nil.
type Statement struct {
	Sid           string
	Effect        Effect
	Actions       []string
	NotActions    []string
	Resources     []string // nil in trust policies
	NotResources  []string
	Principals    *Principals // nil but in resource-based, trust and endpoint policies
	NotPrincipals *Principals
	Conditions    []Condition // sorted by operator, then key; all must hold
}

// Principals is the element Principal or NotPrincipal.
type Principals struct {
	Any           bool     // "*" instead of an object
	AWS           []string // accounts, ARNs, unique ids, "*"
	Service       []string // "bedrock.amazonaws.com"
	Federated     []string // hosts or ARNs of identity providers
	CanonicalUser []string
}

// Condition is one key of one operator of the element Condition.
type Condition struct {
	Operator string // as written: "ForAnyValue:StringLikeIfExists"
	Key      string // as written: "aws:PrincipalTag/Team"
	Values   []string
}

// ContextKeys returns the names of the condition keys that the document reads, in
// conditions and in policy variables, as they are written where they stand first,
// sorted without regard to case.
func (d *Document) ContextKeys() []string {
	seen := map[string]string{}
	add := func(name string) {
		if low := strings.ToLower(name); seen[low] == "" {
			seen[low] = name
		}
	}
	addVariables := func(values []string) {
		for _, v := range values {
			for _, name := range variableNames(v, d.version) {
				add(name)
			}
		}
	}
	for _, s := range d.statements {
		addVariables(s.Resources)
		addVariables(s.NotResources)
		for _, c := range s.Conditions {
			add(c.Key)
			if op, _ := parseOperator(c.Operator); op.variables() {
				addVariables(c.Values)
			}
		}
	}
	names := make([]string, 0, len(seen))
	for _, name := range seen {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return names
}

// Error says why a text is no policy. It holds words of the policy's language and
// the name of the offending element, and values of the policy itself, but nothing
// else, so it may be shown to whoever sent the text.
type Error struct {
	Statement int    // index of the statement, from 0; -1 when it is about the document
	Sid       string // of that statement, "" if it has none
	Element   string // "Action", "Condition.StringLike.aws:username"; "" for the whole
	Reason    string
}

// Error returns for example
//
//	Statement 2 (Sid "x"), Condition.StringLke: unknown operator
//
// Statements are counted from 1 here.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Statement >= 0 {
		fmt.Fprintf(&b, "Statement %d", e.Statement+1)
		if e.Sid != "" {
			fmt.Fprintf(&b, " (Sid %q)", e.Sid)
		}
	}
	if e.Element != "" {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(e.Element)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}
