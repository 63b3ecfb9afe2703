// Command apigen turns AWS API models into the packages below
// internal/wire/awsapi.
//
// It has two stages, so that a build needs neither a network nor Python:
//
//	apigen fetch   download the pinned botocore release, keep the facts of the
//	               APIs that Outcrop serves and write them to api/models
//	apigen         read api/models and api/overlay and write the Go packages
//
// Both stages find the module root by walking up from the working directory
// and write nothing when an input is refused. Output depends on the input
// files alone, so running twice gives the same bytes. api/README.md says how
// to move to a newer botocore.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "apigen:", err)
		os.Exit(1)
	}
}

// run executes one stage for the given command line arguments.
func run(ctx context.Context, args []string) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := moduleRoot(wd)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0:
		files, err := generate(root)
		if err != nil {
			return err
		}
		return writeFiles(root, files)
	case len(args) == 1 && args[0] == "fetch":
		files, err := fetch(ctx)
		if err != nil {
			return err
		}
		return writeFiles(root, files)
	}
	return errors.New("usage: apigen [fetch]")
}

// moduleRoot returns the nearest folder at or above dir that holds go.mod.
func moduleRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod at or above %s", dir)
		}
	}
}

// writeFiles writes files, keyed by slash path below root.
func writeFiles(root string, files map[string][]byte) error {
	for name, data := range files {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil { //nolint:gosec // source tree, readable by all
			return err
		}
		if err := os.WriteFile(p, data, 0o644); err != nil { //nolint:gosec // source tree, readable by all
			return err
		}
	}
	return nil
}
