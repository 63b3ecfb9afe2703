package identity

import (
	"crypto/rand"
	"encoding/base32"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

// The prefixes of unique ids.
const (
	userPrefix    = "AIDA"
	groupPrefix   = "AGPA"
	rolePrefix    = "AROA"
	policyPrefix  = "ANPA"
	profilePrefix = "AIPA"
)

// newID makes a unique id: the prefix and 17 of A-Z2-7, 85 random bits.
func newID(prefix string) string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base32.StdEncoding.EncodeToString(b[:])[:17]
}

// arnOf builds the ARN of an IAM entity, e.g. of kind "user". path begins and ends
// with a slash.
func arnOf(acct, kind, path, name string) string {
	return "arn:aws:iam::" + acct + ":" + kind + path + name
}

// splitARN takes an IAM ARN apart: "arn:aws:iam::111122223333:role/app/x" is
// "111122223333", "role", "/app/", "x". Put together by arnOf, the parts are s
// again: no entity has two ARNs.
func splitARN(s string) (acct, kind, path, name string, ok bool) {
	a, err := arn.Parse(s)
	if err != nil || a.Partition != arn.PartitionAWS || a.Service != "iam" || a.Region != "" || a.Account == "" {
		return "", "", "", "", false
	}
	kind, rest, ok := strings.Cut(a.Resource, "/")
	if !ok {
		return "", "", "", "", false
	}
	cut := strings.LastIndexByte(rest, '/') + 1
	return a.Account, kind, "/" + rest[:cut], rest[cut:], true
}

// checkName checks the name of an entity: 1 to most of letters, digits and +=,.@_-.
func checkName(field, name string, most int) error {
	ok := name != "" && len(name) <= most
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+=,.@_-", c) >= 0
	}
	if !ok {
		return apiError(codeValidation, "%s: must have 1 to %d letters, digits and characters of +=,.@_-", field, most)
	}
	return nil
}

// checkPath returns the path of an entity; "" is "/".
func checkPath(field, path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	ok := len(path) <= 512 && path[0] == '/' && path[len(path)-1] == '/'
	for i := 0; ok && i < len(path); i++ {
		ok = path[i] > ' ' && path[i] < 0x7f
	}
	if !ok {
		return "", apiError(codeValidation, "%s: must begin and end with a slash and have at most 512 printable ASCII characters", field)
	}
	return path, nil
}
