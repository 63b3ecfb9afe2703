// Package arn reads, writes and matches AWS resource names, region names and
// the identifiers that Bedrock accepts as a model.
//
// Nothing here asks whether a named thing exists; only its form is judged.
package arn

import (
	"errors"
	"strings"
)

// ErrInvalid says that a string has not the form of an ARN or of a model
// identifier. It is never shown to a client as it is.
var ErrInvalid = errors.New("invalid identifier")

// maxLength is the longest identifier that any Bedrock operation takes, in bytes.
const maxLength = 2048

// The partitions.
const (
	PartitionAWS   = "aws"
	PartitionGov   = "aws-us-gov"
	PartitionChina = "aws-cn"
)

// ARN is an Amazon resource name:
// arn:Partition:Service:Region:Account:Resource.
type ARN struct {
	Partition string // "aws", "aws-us-gov" or "aws-cn"
	Service   string // e.g. "bedrock"
	Region    string // "" where the service has none
	Account   string // 12 digits; "" where the resource belongs to AWS, "aws" where it is managed by AWS
	Resource  string // everything after the fifth colon, e.g. "foundation-model/amazon.titan-text-lite-v1"
}

// Parse splits an ARN and checks its parts: a known partition, a service of
// lower-case letters, digits and hyphens, an AWS-shaped region that belongs to
// the partition (or none), an account of 12 digits (or none, or "aws"), and a
// resource that is not empty. The error is ErrInvalid.
func Parse(s string) (ARN, error) {
	if len(s) > maxLength {
		return ARN{}, ErrInvalid
	}
	rest, ok := strings.CutPrefix(s, "arn:")
	if !ok {
		return ARN{}, ErrInvalid
	}
	var a ARN
	for _, part := range []*string{&a.Partition, &a.Service, &a.Region, &a.Account} {
		if *part, rest, ok = strings.Cut(rest, ":"); !ok {
			return ARN{}, ErrInvalid
		}
	}
	a.Resource = rest
	switch {
	case a.Partition != PartitionAWS && a.Partition != PartitionGov && a.Partition != PartitionChina,
		!chars(a.Service, 1, 63, isLabel),
		a.Region != "" && (!ValidRegion(a.Region) || Partition(a.Region) != a.Partition),
		a.Account != "" && a.Account != "aws" && !ValidAccount(a.Account),
		a.Resource == "" || !printable(a.Resource):
		return ARN{}, ErrInvalid
	}
	return a, nil
}

// String writes the ARN. Parse of the result gives a back.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// Split cuts the resource at its first slash, e.g. into "inference-profile" and
// "us.amazon.nova-lite-v1:0". name is "" when there is no slash.
func (a ARN) Split() (kind, name string) {
	kind, name, _ = strings.Cut(a.Resource, "/")
	return kind, name
}

// Bedrock builds the ARN of a bedrock resource in the partition of region.
// account is "" for what belongs to AWS.
func Bedrock(region, account, kind, name string) string {
	return "arn:" + Partition(region) + ":bedrock:" + region + ":" + account + ":" + kind + "/" + name
}

// FoundationModel builds arn:...:foundation-model/id, which has no account.
func FoundationModel(region, id string) string {
	return Bedrock(region, "", resFoundationModel, id)
}

// InferenceProfile builds the ARN of a system inference profile, whose id is a
// geography prefix and a model id.
func InferenceProfile(region, account, id string) string {
	return Bedrock(region, account, resInferenceProfile, id)
}

// ApplicationInferenceProfile builds the ARN of a profile that a user made.
func ApplicationInferenceProfile(region, account, id string) string {
	return Bedrock(region, account, resApplicationProfile, id)
}

// ValidAccount reports whether s is an AWS account id: 12 digits.
func ValidAccount(s string) bool { return chars(s, 12, 12, isDigit) }

// Match reports whether s matches pattern as IAM compares resources: '*' stands
// for any run of characters (also '/' and ':'), '?' for one byte, all else for
// itself. It takes at most len(pattern)*len(s) steps and allocates nothing.
func Match(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0 // last '*' and where its run ends for now
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func isDigit(c byte) bool    { return c >= '0' && c <= '9' }
func isLower(c byte) bool    { return c >= 'a' && c <= 'z' }
func isLowerNum(c byte) bool { return isLower(c) || isDigit(c) }
func isLabel(c byte) bool    { return isLowerNum(c) || c == '-' }
func isAlnum(c byte) bool    { return isLowerNum(c) || c >= 'A' && c <= 'Z' }
func isAlnumHyphen(c byte) bool {
	return isAlnum(c) || c == '-'
}

// isProfile is the set [a-zA-Z0-9-:.] of profile and router names.
func isProfile(c byte) bool { return isAlnumHyphen(c) || c == ':' || c == '.' }

// chars reports whether s has min to max bytes, all of the class.
func chars(s string, minimum, maximum int, class func(byte) bool) bool {
	if len(s) < minimum || len(s) > maximum {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !class(s[i]) {
			return false
		}
	}
	return true
}

// printable reports whether s is made of visible ASCII characters.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
