package awsapi

//go:generate go run ../../../cmd/apigen
