package main

// botocoreVersion and botocoreSHA256 pin the release that the facts are read
// from: the version and the digest of its wheel.
const (
	botocoreVersion = "1.44.5"
	botocoreSHA256  = "8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921"
)

// A service is one API that Outcrop serves.
type service struct {
	name string // boto3 client name, folder in botocore, file name in api/models
	pkg  string // Go package below internal/wire/awsapi
}

// services returns the APIs that are generated, in the order of their names.
func services() []service {
	return []service{
		{name: "bedrock", pkg: "bedrock"},
		{name: "bedrock-agent", pkg: "bedrockagent"},
		{name: "bedrock-agent-runtime", pkg: "bedrockagentruntime"},
		{name: "bedrock-runtime", pkg: "bedrockruntime"},
		{name: "sts", pkg: "sts"},
	}
}
