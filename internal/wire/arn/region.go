package arn

import "strings"

// ValidRegion reports whether s has the form of an AWS region: an area of two
// letters (or "us-gov"), a direction, and a number from 1 to 99, e.g.
// "us-east-1", "ap-southeast-7", "us-gov-west-1". Regions that AWS has not opened
// yet pass too; regions of the isolated partitions do not.
func ValidRegion(s string) bool {
	i := strings.LastIndexByte(s, '-')
	if i < 0 || len(s) > 20 {
		return false
	}
	number := s[i+1:]
	if !chars(number, 1, 2, isDigit) || number[0] == '0' {
		return false
	}
	j := strings.LastIndexByte(s[:i], '-')
	if j < 0 {
		return false
	}
	area, direction := s[:j], s[j+1:i]
	switch direction {
	case "central", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest":
	default:
		return false
	}
	return area == "us-gov" || chars(area, 2, 2, isLower)
}

// Partition returns the partition that a region belongs to, judged by its area
// alone: "aws-us-gov" for us-gov, "aws-cn" for cn, else "aws".
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "us-gov-"):
		return PartitionGov
	case strings.HasPrefix(region, "cn-"):
		return PartitionChina
	}
	return PartitionAWS
}
