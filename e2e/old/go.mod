// The AWS SDK for Go of November 2024, for the row of two years ago:
// go build -modfile old/go.mod -tags old ./clients/gosdk
module github.com/outcrop/outcrop/e2e

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2 v1.32.5
	github.com/aws/aws-sdk-go-v2/credentials v1.17.46
	github.com/aws/aws-sdk-go-v2/service/bedrock v1.22.0
	github.com/aws/aws-sdk-go-v2/service/bedrockruntime v1.20.1
	github.com/aws/smithy-go v1.22.1
)

require (
	github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream v1.6.7 // indirect
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.3.24 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.6.24 // indirect
)
