package policy

import (
	"errors"
	"slices"
	"strings"
)

// Principal is who makes a request, as far as the elements Principal and
// NotPrincipal can tell.
type Principal struct {
	ARN       string // of the user, the role session, the root, ...; "" for services and providers
	Account   string // twelve digits
	RoleARN   string // of the role of a session, "" otherwise
	UserID    string // "AIDA...", "AROA...:session"
	Service   string // "bedrock.amazonaws.com" when a service calls, "" otherwise
	Federated string // ARN or host of the identity provider of a web identity, "" otherwise
	Anonymous bool   // nobody signed the request
}

// What may be wrong about a principal.
var (
	errPrincipalEmpty = errors.New("a principal is empty")
	errPrincipalStar  = errors.New(`a principal may not have wildcards, apart from "*" alone for AWS`)
	errPrincipalForm  = errors.New(`must be "*", an account number, an ARN of an account, user, role or session, or a unique id`)
)

// validPrincipal checks a principal other than of the kind AWS.
func validPrincipal(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errPrincipalEmpty
	case strings.ContainsAny(s, "*?"):
		return errPrincipalStar
	}
	return nil
}

// validAWSPrincipal checks a principal of the kind AWS.
func validAWSPrincipal(s string) error {
	if s == "*" {
		return nil
	}
	if err := validPrincipal(s); err != nil {
		return err
	}
	if isAccount(s) || isUniqueID(s) {
		return nil
	}
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[3] != "" || !isAccount(parts[4]) {
		return errPrincipalForm
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	switch {
	case parts[2] == "iam" && parts[5] == "root":
		return nil
	case name == "" || strings.HasSuffix(name, "/"):
		return errPrincipalForm
	case parts[2] == "iam" && (kind == "user" || kind == "role"):
		return nil
	case parts[2] == "sts" && kind == "assumed-role" && strings.Count(name, "/") == 1:
		return nil
	case parts[2] == "sts" && kind == "federated-user":
		return nil
	}
	return errPrincipalForm
}

// isAccount tells whether s is a number of an account.
func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// isUniqueID tells whether s is a unique id of a user or role. A policy shows
// them in place of the ARN of a principal that was deleted.
func isUniqueID(s string) bool {
	if len(s) < 16 || len(s) > 128 || !strings.HasPrefix(s, "AIDA") && !strings.HasPrefix(s, "AROA") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') })
}

// named says how a list of principals names somebody.
type named uint8

const (
	notNamed  named = iota
	byAccount       // by account or "*", or by a role for its session
	byRole          // by the role of a session
	bySelf          // by the own ARN, the session's if it is one
)

// principalList is a compiled Principals.
type principalList struct {
	all      bool // "*" or AWS "*"
	accounts []string
	arns     []string
	ids      []string
	services []string
	federate []string
}

func compilePrincipals(p *Principals) *principalList {
	if p == nil {
		return nil
	}
	l := &principalList{all: p.Any, services: p.Service, federate: p.Federated}
	for _, s := range p.AWS {
		switch account, isRoot := rootAccount(s); {
		case s == "*":
			l.all = true
		case isAccount(s):
			l.accounts = append(l.accounts, s)
		case isRoot:
			l.accounts = append(l.accounts, account)
		case isUniqueID(s):
			l.ids = append(l.ids, s)
		default:
			l.arns = append(l.arns, s)
		}
	}
	return l
}

// rootAccount returns the account of an ARN of an account's root.
func rootAccount(arn string) (string, bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "iam" || parts[5] != "root" {
		return "", false
	}
	return parts[4], true
}

// find says how the list names p, in the closest way.
func (l *principalList) find(p *Principal) named {
	switch {
	case p.Anonymous:
		if l.all {
			return byAccount
		}
		return notNamed
	case p.ARN != "" && slices.Contains(l.arns, p.ARN):
		return bySelf
	case p.UserID != "" && slices.Contains(l.ids, p.UserID):
		return bySelf
	case p.RoleARN != "" && slices.Contains(l.arns, p.RoleARN):
		return byRole
	}
	if p.UserID != "" && len(l.ids) > 0 {
		// The id of a session is that of its role and its name.
		if role, _, session := strings.Cut(p.UserID, ":"); session && slices.Contains(l.ids, role) {
			return byRole
		}
	}
	switch {
	case p.Service != "" && slices.Contains(l.services, p.Service),
		p.Federated != "" && slices.Contains(l.federate, p.Federated):
		return bySelf
	case l.all, p.Account != "" && p.Service == "" && slices.Contains(l.accounts, p.Account):
		return byAccount
	}
	return notNamed
}

// spares tells whether a list in NotPrincipal leaves p alone. AWS asks to name the
// account of a user or role beside it, and may deny it all the same without that;
// here it does deny. The account alone spares its root user.
func (l *principalList) spares(p *Principal) bool {
	switch l.find(p) {
	case bySelf, byRole:
		return p.Account == "" || p.Service != "" || l.all || slices.Contains(l.accounts, p.Account)
	case byAccount:
		account, isRoot := rootAccount(p.ARN)
		return l.all || isRoot && account == p.Account
	}
	return false
}
