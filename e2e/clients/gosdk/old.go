//go:build old

package main

// modern are the cases that this version of the SDK lacks.
var modern []feature

// lacks names what this version of the SDK has no way to ask for, and why.
var lacks = map[string]string{
	"json_schema":  "it came to the API after this version",
	"count_tokens": "it came to the API after this version",
}
