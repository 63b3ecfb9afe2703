//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench/gateway: needs Linux: processor time and memory of the gateways are read from /proc")
	os.Exit(1)
}
