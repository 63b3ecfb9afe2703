package policy

import "unicode/utf8"

// The longest policies, in characters as [Size] counts them.
// Source: "IAM and AWS STS quotas", "Quotas for AWS Organizations", PutResourcePolicy.
const (
	MaxManaged        = 6144  // a version of a managed policy, also as a boundary
	MaxUserInline     = 2048  // all inline policies of a user together
	MaxGroupInline    = 5120  // all inline policies of a group together
	MaxRoleInline     = 10240 // all inline policies of a role together
	MaxTrust          = 2048  // the trust policy of a role
	MaxTrustRaised    = 4096  // to which AWS raises MaxTrust on request
	MaxServiceControl = 5120  // a service control policy
	MaxSession        = 2048  // the inline session policy and the ARNs of the managed ones
	MaxResource       = 20480 // a resource-based policy
	MaxEndpoint       = 20480 // the policy of a VPC endpoint
)

// MaxSize returns how long a policy of the kind may be, in characters as [Size]
// counts them. For Identity it is the size of a managed policy; the limits of
// inline policies hold for all of an identity together and are the constants
// MaxUserInline, MaxGroupInline and MaxRoleInline. The caller checks it: [Parse]
// itself takes any text up to 128 KiB.
func MaxSize(kind Kind) int {
	switch kind {
	case Resource:
		return MaxResource
	case Trust:
		return MaxTrust
	case ServiceControl:
		return MaxServiceControl
	case Session:
		return MaxSession
	case Endpoint:
		return MaxEndpoint
	default:
		return MaxManaged
	}
}

// Size counts the characters of a policy as AWS does for its limits: in identity,
// boundary and trust policies white space outside of strings is left out, in all
// others it counts.
func Size(text []byte, kind Kind) int {
	if kind != Identity && kind != Boundary && kind != Trust {
		return utf8.RuneCount(text)
	}
	n, inString := 0, false
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRune(text[i:])
		switch c := text[i]; {
		case inString && c == '\\' && i+1 < len(text):
			n++ // the escaped character follows
			i++
			_, size = utf8.DecodeRune(text[i:])
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			n--
		}
		n++
		i += size
	}
	return n
}
