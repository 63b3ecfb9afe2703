package main

import "slices"

// A service is one API that Outcrop serves.
type service struct {
	name string // boto3 client name, folder in botocore, file name in api/models
	pkg  string // Go package below internal/wire/awsapi
	own  bool   // Outcrop's own: its facts stand in api/own, written by hand
}

// file is where the facts of the API stand.
func (s service) file() string {
	if s.own {
		return "api/own/" + s.name + ".json"
	}
	return "api/models/" + s.name + ".json"
}

// botocoreServices are the APIs whose facts come from botocore.
func botocoreServices() []service {
	return slices.DeleteFunc(services(), func(s service) bool { return s.own })
}

// services returns the APIs that are generated, in the order of their names.
func services() []service {
	return []service{
		{name: "accessanalyzer", pkg: "accessanalyzer"},
		{name: "bedrock", pkg: "bedrock"},
		{name: "bedrock-agent", pkg: "bedrockagent"},
		{name: "bedrock-agent-runtime", pkg: "bedrockagentruntime"},
		{name: "bedrock-runtime", pkg: "bedrockruntime"},
		{name: "iam", pkg: "iam"},
		{name: "organizations", pkg: "organizations"},
		{name: "outcrop", pkg: "outcrop", own: true},
		{name: "service-quotas", pkg: "servicequotas"},
		{name: "sts", pkg: "sts"},
	}
}
