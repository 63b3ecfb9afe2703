//go:build !linux

// Command gateway compares gateways; it reads Linux's /proc.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench/gateway: needs Linux: processor time and memory of the gateways are read from /proc")
	os.Exit(1)
}
