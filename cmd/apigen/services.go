package main

// A service is one API that Outcrop serves.
type service struct {
	name string // boto3 client name, folder in botocore, file name in api/models
	pkg  string // Go package below internal/wire/awsapi
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
		{name: "sts", pkg: "sts"},
	}
}
