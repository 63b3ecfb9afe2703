// Package e2e drives the built outcrop binary as its users do: with unchanged
// AWS clients, with the samples that people copy, with the command line, and
// with kill -9. It imports nothing of Outcrop. See README.md.
package e2e
