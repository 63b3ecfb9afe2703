// Command maketinyvision writes the tiny weights that see images, and their
// projector, into a folder, for tests of the whole program:
//
//	go run ./internal/engine/enginetest/tinyvision/maketinyvision FOLDER
package main

import (
	"fmt"
	"os"

	"github.com/outcrop/outcrop/internal/engine/enginetest/tinyvision"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: maketinyvision FOLDER")
		os.Exit(2)
	}
	model, projector, err := tinyvision.Write(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s\n%s\n", model, projector)
}
