package access

import (
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
)

// The places where a query keeps the values of condition keys that have one.
const (
	slotPrincipalARN = iota
	slotPrincipalAccount
	slotPrincipalType
	slotPrincipalOrgID
	slotPrincipalOrgPaths
	slotPrincipalIsService
	slotPrincipalService
	slotUserID
	slotUserName
	slotSourceIP
	slotVPCSourceIP
	slotSourceVPC
	slotSourceVPCE
	slotSecureTransport
	slotRegion
	slotMFA
	slotMFAAge
	slotIssued
	slotCurrentTime
	slotEpochTime
	slotUserAgent
	slotReferer
	slotSourceIdentity
	slotFederatedProvider
	slotViaService
	slotResourceAccount
	slotResourceOrgID
	slotBearerType
	slotSubject
	slotAudience
	slotCount
)

// factKeys are the names of the condition keys that come from the facts of a call,
// tags left out, sorted. Values knows the same names.
func factKeys() []string {
	return []string{
		"aws:CurrentTime", "aws:EpochTime", "aws:FederatedProvider", "aws:MultiFactorAuthAge", "aws:MultiFactorAuthPresent",
		"aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalIsAWSService", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths",
		"aws:PrincipalServiceName", "aws:PrincipalType", "aws:Referer", "aws:RequestedRegion", "aws:ResourceAccount",
		"aws:ResourceOrgID", "aws:SecureTransport", "aws:SourceIdentity", "aws:SourceIp", "aws:SourceVpc", "aws:SourceVpce",
		"aws:TokenIssueTime", "aws:UserAgent", "aws:ViaAWSService", "aws:VpcSourceIp", "aws:userid", "aws:username",
		"bedrock:BearerTokenType",
	}
}

// Values implements policy.Keys. name is in lower case.
//
// A key that comes from the facts of the call cannot be replaced by one that a
// handler set, only by an injected one.
func (q *query) Values(name string) ([]string, bool) {
	if q.injected != nil {
		if v, ok := q.injected[name]; ok {
			return v, len(v) > 0
		}
	}
	if v, known := q.fact(name); known {
		return v, v != nil
	}
	if v, known := q.tag(name); known {
		return v, true
	}
	for _, keys := range [...]map[string][]string{q.needKeys, q.callKeys} {
		if v, ok := keys[name]; ok {
			return v, len(v) > 0
		}
	}
	return nil, false
}

// fact returns the value of a key of factKeys. known is false for other names; nil
// says that the request does not have the key.
func (q *query) fact(name string) (values []string, known bool) {
	p, s := q.principal, q.principal.Session
	switch name {
	case "aws:principalarn":
		return q.keep(slotPrincipalARN, q.principalARN()), true
	case "aws:principalaccount":
		return q.keep(slotPrincipalAccount, p.Account), true
	case "aws:principaltype":
		return q.keep(slotPrincipalType, q.principalType()), true
	case "aws:principalorgid":
		return q.keep(slotPrincipalOrgID, q.policies.OrgID), true
	case "aws:principalorgpaths":
		return q.keep(slotPrincipalOrgPaths, q.policies.OrgPath), true
	case "aws:principalisawsservice":
		return q.truth(slotPrincipalIsService, q.who == service), true
	case "aws:principalservicename":
		if q.who != service {
			return nil, true
		}
		return q.keep(slotPrincipalService, p.Name), true
	case "aws:userid":
		return q.keep(slotUserID, p.UserID), true
	case "aws:username":
		if q.who == service {
			return nil, true
		}
		return q.keep(slotUserName, p.Name), true
	case "aws:requestedregion":
		return q.keep(slotRegion, q.region), true
	case "aws:currenttime":
		return q.written(slotCurrentTime), true
	case "aws:epochtime":
		return q.written(slotEpochTime), true
	case "aws:viaawsservice":
		return q.truth(slotViaService, false), true
	case "aws:resourceaccount":
		return q.keep(slotResourceAccount, q.owner), true
	case "aws:resourceorgid":
		return q.keep(slotResourceOrgID, q.resourceOrgID()), true
	case "bedrock:bearertokentype":
		return q.keep(slotBearerType, p.BearerType), true
	}
	if v, known := q.sourceFact(name); known {
		return v, true
	}
	return q.sessionFact(name, s)
}

// sourceFact returns the value of a key that says where the request came from.
func (q *query) sourceFact(name string) (values []string, known bool) {
	switch s := q.source; name {
	case "aws:sourceip":
		if s.VPCE != "" {
			return nil, true // such a request has aws:VpcSourceIp instead
		}
		return q.written(slotSourceIP), true
	case "aws:vpcsourceip":
		if s.VPCE == "" {
			return nil, true
		}
		return q.written(slotVPCSourceIP), true
	case "aws:sourcevpc":
		return q.keep(slotSourceVPC, s.VPC), true
	case "aws:sourcevpce":
		return q.keep(slotSourceVPCE, s.VPCE), true
	case "aws:securetransport":
		return q.truth(slotSecureTransport, s.TLS), true
	case "aws:useragent":
		return q.keep(slotUserAgent, s.UserAgent), true
	case "aws:referer":
		return q.keep(slotReferer, s.Referer), true
	}
	return nil, false
}

// sessionFact returns the value of a key that temporary credentials have. Those of
// a user without them have none of these.
func (q *query) sessionFact(name string, s *call.Session) (values []string, known bool) {
	if !q.mfa.IsZero() { // the call itself has proved a one-time code
		switch name {
		case "aws:multifactorauthpresent":
			return q.truth(slotMFA, true), true
		case "aws:multifactorauthage":
			return q.keep(slotMFAAge, strconv.FormatInt(int64(q.clock().Sub(q.mfa)/time.Second), 10)), true
		}
	}
	switch name {
	case "aws:multifactorauthpresent", "aws:multifactorauthage", "aws:tokenissuetime", "aws:sourceidentity", "aws:federatedprovider":
		if s == nil || q.who == web {
			return nil, true // who has no session yet has no keys of one
		}
	}
	switch name {
	case "aws:multifactorauthpresent":
		return q.truth(slotMFA, !s.MFA.IsZero()), true
	case "aws:multifactorauthage":
		if s.MFA.IsZero() {
			return nil, true
		}
		return q.written(slotMFAAge), true
	case "aws:tokenissuetime":
		return q.written(slotIssued), true
	case "aws:sourceidentity":
		return q.keep(slotSourceIdentity, s.SourceIdentity), true
	case "aws:federatedprovider":
		if s.Provider == "" {
			return nil, true
		}
		return q.keep(slotFederatedProvider, provider(s.Provider, q.partition(), q.principal.Account)), true
	}
	if s == nil || s.Provider == "" {
		return nil, false
	}
	// The claims of a web identity: accounts.google.com:sub.
	if n := len(s.Provider); len(name) > n && name[n] == ':' && strings.EqualFold(name[:n], s.Provider) {
		switch name[n+1:] {
		case "sub":
			return q.keep(slotSubject, s.Subject), true
		case "aud":
			return q.keep(slotAudience, s.Audience), true
		}
	}
	return nil, false
}

// tag returns the value of a tag of the principal or of the resource. known is
// false when the name is not of one that is there.
func (q *query) tag(name string) (values []string, known bool) {
	switch {
	case strings.HasPrefix(name, "aws:principaltag/"):
		key := name[len("aws:principaltag/"):]
		if q.principal.Session != nil {
			if v, ok := fold(q.principal.Session.Tags, key); ok {
				return q.fresh(v), true
			}
		}
		if v, ok := fold(q.policies.Tags, key); ok {
			return q.fresh(v), true
		}
	case strings.HasPrefix(name, "aws:resourcetag/"), strings.HasPrefix(name, "iam:resourcetag/"):
		if v, ok := fold(q.target.Tags, name[len("aws:resourcetag/"):]); ok {
			return q.fresh(v), true
		}
	}
	return nil, false
}

// fold looks a tag up without regard to case, as names of condition keys have
// none. Of several that differ in nothing else, the first in byte order counts.
func fold(tags map[string]string, low string) (string, bool) {
	best, value, ok := "", "", false
	for k, v := range tags {
		if strings.EqualFold(k, low) && (!ok || k < best) {
			best, value, ok = k, v, true
		}
	}
	return value, ok
}

// keep puts the value of a key into its place; "" says that there is none.
func (q *query) keep(slot int, value string) []string {
	if value == "" {
		return nil
	}
	q.slots[slot][0] = value
	return q.slots[slot][:]
}

// truth is keep for "true" and "false".
func (q *query) truth(slot int, is bool) []string {
	if is {
		return q.keep(slot, "true")
	}
	return q.keep(slot, "false")
}

// fresh puts a value where no other will be while the query lasts.
func (q *query) fresh(value string) []string {
	n := len(q.made)
	q.made = append(q.made, value)
	return q.made[n : n+1 : n+1]
}

// written is keep for values that have to be written out first, which is done
// once for all that a call asks for.
func (q *query) written(slot int) []string {
	if v := q.slots[slot][0]; v != "" {
		return q.slots[slot][:]
	}
	switch slot {
	case slotCurrentTime:
		return q.keep(slot, instant(q.clock()))
	case slotEpochTime:
		return q.keep(slot, strconv.FormatInt(q.clock().Unix(), 10))
	case slotMFAAge:
		return q.keep(slot, strconv.FormatInt(int64(q.clock().Sub(q.principal.Session.MFA)/time.Second), 10))
	case slotIssued:
		return q.keep(slot, instant(q.principal.Session.Issued))
	case slotSourceIP, slotVPCSourceIP:
		if ip := q.source.IP; ip.IsValid() {
			return q.keep(slot, ip.Unmap().WithZone("").String())
		}
	}
	return nil
}

// principalARN returns aws:PrincipalArn: of a role's session that of the role.
func (q *query) principalARN() string {
	switch {
	case q.who == service || q.who == web:
		return ""
	case q.principal.Session != nil && q.principal.Session.RoleARN != "":
		return q.principal.Session.RoleARN
	}
	return q.principal.ARN
}

// principalType returns aws:PrincipalType.
func (q *query) principalType() string {
	switch q.who {
	case service:
		return string(call.AWSService)
	case web, nobody:
		return "Anonymous"
	case root:
		return string(call.Root)
	}
	return string(q.principal.Type)
}

// resourceOrgID returns aws:ResourceOrgID.
func (q *query) resourceOrgID() string {
	if q.target.OrgID == "" && q.owner == q.principal.Account {
		return q.policies.OrgID
	}
	return q.target.OrgID
}

// instant writes a time as policies compare it.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
