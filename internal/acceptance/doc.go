// Package acceptance holds the product against a bare engine: whole servers are
// asked by the real AWS SDK, and every number and text that they answer is
// worked out once more by a llama.cpp server that stands alone.
//
// `go test` runs a seeded tenth of each corpus; -full runs all of it, which
// takes about an hour on two cores (add -timeout 3h), and -seed picks another
// tenth. -short runs next to nothing. What is measured is in docs/acceptance.
package acceptance
