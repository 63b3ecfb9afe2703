package accesstest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/access/policy/policytest"
	"github.com/outcrop/outcrop/internal/call"
)

// Naive says "allowed", "explicitDeny" or "implicitDeny" of a world.
func Naive(w *World) string {
	answer := decide(w)
	if answer == "implicitDeny" && w.Resource == "*" && w.Action == "bedrock:ListFoundationModels" {
		// Decision D2: a statement about foundation models of the region grants it too.
		for _, name := range []string{"*", "anthropic.", "anthropic.claude-v2", "amazon.nova-lite-v1:0"} {
			one := *w
			one.Resource, one.ResourcePolicy = "arn:aws:bedrock:"+w.Region+"::foundation-model/"+name, ""
			if decide(&one) == "allowed" {
				return "allowed"
			}
		}
	}
	return answer
}

// Closed tells that an API does not take the kind of credentials at all, before
// any policy is asked: GetCallerIdentity and the like are not among the actions of
// random worlds.
func Closed(w *World) bool {
	p := &w.Principal
	iam, sts := strings.HasPrefix(w.Action, "iam:"), strings.HasPrefix(w.Action, "sts:")
	federated := p.Account != "" && p.Type == call.FederatedUser
	unproved := (p.Type == call.User || p.Type == call.Root) && p.Session != nil && p.Session.MFA.IsZero()
	return federated && (iam || sts) || unproved && iam
}

// decide is the whole of "Policy evaluation logic", as a formula.
func decide(w *World) string {
	n := &naive{w: w, keys: contextOf(w)}
	p := &w.Principal
	owner := ownerOf(w)
	assuming := strings.HasPrefix(w.Action, "sts:AssumeRole") || w.Trust && strings.HasPrefix(w.Action, "sts:")
	target := w.ResourcePolicy
	if w.Trust && !assuming {
		target = "" // the trust policy says nothing about managing the role
	}
	kind := policy.Resource
	if w.Trust {
		kind = policy.Trust
	}

	// An explicit deny anywhere ends it.
	denied := n.any(policy.Deny, policy.Identity, w.Identity) || n.any(policy.Deny, policy.Session, w.Session) ||
		n.says(policy.Deny, policy.Boundary, w.Boundary) || n.says(policy.Deny, kind, target) ||
		n.says(policy.Deny, policy.Endpoint, string(w.Source.EndpointPolicy))
	for _, level := range w.Control {
		denied = denied || n.any(policy.Deny, policy.ServiceControl, level)
	}
	if denied {
		return "explicitDeny"
	}

	organisation := true
	for _, level := range w.Control {
		organisation = organisation && n.any(policy.Allow, policy.ServiceControl, level)
	}
	way := len(w.Source.EndpointPolicy) == 0 || n.says(policy.Allow, policy.Endpoint, string(w.Source.EndpointPolicy))
	boundary := w.Boundary == "" || n.says(policy.Allow, policy.Boundary, w.Boundary)
	session := len(w.Session) == 0 && p.Type != call.FederatedUser || n.any(policy.Allow, policy.Session, w.Session)
	granted := n.says(policy.Allow, kind, target)
	if p.Account == "" && p.Type != call.AWSService {
		granted = n.names(kind, target) // a web identity has to be named
	}
	isRoot := p.Type == call.Root
	self := isRoot || n.any(policy.Allow, policy.Identity, w.Identity)

	var allowed bool
	switch {
	case p.Type == call.AWSService, p.Account == "": // a service, or a web identity
		allowed = granted
	case owner != p.Account:
		allowed = granted && self && boundary && session
	default:
		direct := n.says(policy.Allow, kind, only(target, func(name string) bool {
			return name == p.ARN || name == p.UserID || name == "*"
		}))
		role := n.says(policy.Allow, kind, only(target, func(name string) bool {
			id, _, found := strings.Cut(p.UserID, ":")
			return p.Session != nil && name == p.Session.RoleARN || found && strings.HasPrefix(id, "AROA") && name == id
		}))
		allowed = direct || (self || role) && boundary && session && (granted || !assuming)
	}
	if allowed && organisation && way {
		return "allowed"
	}
	return "implicitDeny"
}

// ownerOf returns the account that a resource belongs to.
func ownerOf(w *World) string {
	owner := w.Owner
	if owner == "" && w.Resource != "*" {
		owner = strings.Split(w.Resource, ":")[4]
	}
	if owner == "" {
		owner = w.Principal.Account
	}
	return owner
}

// only cuts a policy down to the AWS principals that keep takes. Statements that
// name none of them go.
func only(text string, keep func(name string) bool) string {
	if text == "" {
		return ""
	}
	var doc struct {
		Version   string
		Statement []map[string]any
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return ""
	}
	var left []map[string]any
	for _, s := range doc.Statement {
		var names []string
		if s["Principal"] == "*" {
			names = []string{"*"}
		} else if kinds, ok := s["Principal"].(map[string]any); ok {
			switch v := kinds["AWS"].(type) {
			case string:
				names = []string{v}
			case []any:
				for _, one := range v {
					names = append(names, one.(string))
				}
			}
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !keep(name) })
		if s["NotPrincipal"] != nil && keep("*") || len(names) > 0 {
			if len(names) > 0 {
				s["Principal"] = map[string]any{"AWS": names}
			}
			left = append(left, s)
		}
	}
	if left == nil {
		return ""
	}
	doc.Statement = left
	out, err := json.Marshal(map[string]any{"Version": doc.Version, "Statement": left})
	if err != nil {
		return ""
	}
	return string(out)
}

// naive asks one document at a time.
type naive struct {
	w    *World
	keys keys
}

// keys are all condition keys of a request, written out.
type keys map[string][]string

// Values implements policy.Keys.
func (k keys) Values(name string) ([]string, bool) {
	v, ok := k[name]
	return v, ok
}

// says tells whether a policy's answer is the effect.
func (n *naive) says(e policy.Effect, kind policy.Kind, text string) bool {
	return text != "" && n.answer(kind, text).Effect == e
}

// names tells whether a policy allows and names the principal itself.
func (n *naive) names(kind policy.Kind, text string) bool {
	if text == "" {
		return false
	}
	a := n.answer(kind, text)
	return a.Effect == policy.Allow && a.Exact
}

// answer asks one policy.
func (n *naive) answer(kind policy.Kind, text string) policytest.Answer {
	p := &n.w.Principal
	who := policy.Principal{ARN: p.ARN, Account: p.Account, UserID: p.UserID}
	switch {
	case p.Type == call.AWSService:
		who = policy.Principal{Service: p.Name}
	case p.Account == "":
		who = policy.Principal{Federated: "arn:aws:iam::" + ownerOf(n.w) + ":oidc-provider/" + p.Session.Provider}
	case p.Session != nil:
		who.RoleARN = p.Session.RoleARN
	}
	r := policy.Request{Principal: who, Action: n.w.Action, Resource: n.w.Resource, Keys: n.keys}
	return policytest.Naive([]byte(text), kind, &r)
}

// any tells whether the answer of one of several policies is the effect.
func (n *naive) any(e policy.Effect, kind policy.Kind, texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return n.says(e, kind, text) })
}

// contextOf writes all condition keys of a world out.
func contextOf(w *World) keys {
	k := keys{}
	p, s := &w.Principal, w.Principal.Session
	set := func(name, value string) {
		if value != "" {
			k[name] = []string{value}
		}
	}
	for name, v := range w.Keys {
		k[name] = v
	}
	for tag, v := range w.ResourceTags {
		k["aws:resourcetag/"+strings.ToLower(tag)] = []string{v}
		k["iam:resourcetag/"+strings.ToLower(tag)] = []string{v}
	}
	for tag, v := range w.PrincipalTags {
		k["aws:principaltag/"+strings.ToLower(tag)] = []string{v}
	}
	set("aws:principaltype", string(p.Type))
	set("aws:userid", p.UserID)
	set("aws:principalaccount", p.Account)
	set("aws:principalorgid", w.OrgID)
	set("aws:principalorgpaths", w.OrgPath)
	set("aws:principalisawsservice", strconv.FormatBool(p.Type == call.AWSService))
	set("aws:viaawsservice", "false")
	set("aws:requestedregion", w.Region)
	set("aws:resourceaccount", ownerOf(w))
	if ownerOf(w) == p.Account {
		set("aws:resourceorgid", w.OrgID)
	}
	set("aws:currenttime", w.Now.UTC().Format(time.RFC3339))
	set("aws:epochtime", strconv.FormatInt(w.Now.Unix(), 10))
	set("aws:securetransport", strconv.FormatBool(w.Source.TLS))
	set("aws:useragent", w.Source.UserAgent)
	set("aws:referer", w.Source.Referer)
	set("aws:sourcevpc", w.Source.VPC)
	set("aws:sourcevpce", w.Source.VPCE)
	if w.Source.IP.IsValid() {
		name := "aws:sourceip"
		if w.Source.VPCE != "" {
			name = "aws:vpcsourceip"
		}
		set(name, w.Source.IP.String())
	}
	set("bedrock:bearertokentype", p.BearerType)
	switch {
	case p.Type == call.AWSService:
		set("aws:principalservicename", p.Name)
		return k
	case p.Account == "":
		set("aws:principaltype", "Anonymous")
		set(strings.ToLower(s.Provider)+":sub", s.Subject)
		set(strings.ToLower(s.Provider)+":aud", s.Audience)
		return k
	}
	set("aws:username", p.Name)
	set("aws:principalarn", p.ARN)
	if s == nil {
		return k
	}
	if s.RoleARN != "" {
		set("aws:principalarn", s.RoleARN)
	}
	for tag, v := range s.Tags {
		k["aws:principaltag/"+strings.ToLower(tag)] = []string{v}
	}
	set("aws:multifactorauthpresent", strconv.FormatBool(!s.MFA.IsZero()))
	if !s.MFA.IsZero() {
		set("aws:multifactorauthage", strconv.Itoa(int(w.Now.Sub(s.MFA).Seconds())))
	}
	set("aws:tokenissuetime", s.Issued.UTC().Format(time.RFC3339))
	set("aws:sourceidentity", s.SourceIdentity)
	if s.Provider != "" {
		set("aws:federatedprovider", "arn:aws:iam::"+p.Account+":oidc-provider/"+s.Provider)
		set(strings.ToLower(s.Provider)+":sub", s.Subject)
		set(strings.ToLower(s.Provider)+":aud", s.Audience)
	}
	return k
}
