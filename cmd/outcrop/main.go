// Command outcrop serves the Amazon Bedrock API from this machine.
package main

import (
	"os"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/document"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
)

func main() {
	if document.InChild() {
		os.Exit(document.Child(os.Stdin, os.Stdout))
	}
	if sandbox.InChild() {
		os.Exit(sandbox.Child())
	}
	os.Exit(cli.Main(os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, app.Program{}))
}
