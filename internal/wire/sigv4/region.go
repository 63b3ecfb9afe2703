package sigv4

import "strings"

// Partition returns the partition that a region belongs to ("aws", "aws-cn",
// "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"),
// and false when the text is not the name of a region. It goes by the names'
// form (area, one or more words, a number below 100), so a region that AWS opens
// tomorrow counts too.
//
// Source: the region patterns of botocore's partitions.json.
func Partition(region string) (string, bool) {
	area, rest, ok := strings.Cut(region, "-")
	if !ok || len(region) > 32 {
		return "", false
	}
	number := strings.LastIndexByte(rest, '-')
	if number < 0 {
		return "", false
	}
	words, digits := rest[:number], rest[number+1:]
	if len(digits) < 1 || len(digits) > 2 || !all(digits, '0', '9') {
		return "", false
	}
	for word := range strings.SplitSeq(words, "-") {
		if word == "" || !all(word, 'a', 'z') {
			return "", false
		}
	}
	first, second, two := strings.Cut(words, "-")
	if strings.Contains(second, "-") {
		return "", false
	}
	if two {
		switch area + "-" + first {
		case "us-gov":
			return "aws-us-gov", true
		case "us-iso":
			return "aws-iso", true
		case "us-isob":
			return "aws-iso-b", true
		case "eu-isoe":
			return "aws-iso-e", true
		case "us-isof", "eu-isof":
			return "aws-iso-f", true
		case "eusc-de":
			return "aws-eusc", true
		}
		return "", false
	}
	switch area {
	case "us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx":
		return "aws", true
	case "cn":
		return "aws-cn", true
	}
	return "", false
}

func all(s string, from, to byte) bool {
	for i := range len(s) {
		if s[i] < from || s[i] > to {
			return false
		}
	}
	return true
}
