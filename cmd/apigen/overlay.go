package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/goccy/go-yaml"
)

// overlay is one file of api/overlay: what the model of a service lacks.
// Every key must be of use; a stale one makes the generator fail.
type overlay struct {
	// MaxBody is the largest request body in bytes; 0 leaves the gateway's default.
	MaxBody int64 `yaml:"maxBody"`
	// Rename gives Go type names to shapes whose own name is taken.
	Rename map[string]string `yaml:"rename"`
	// URLEncoded are string shapes whose texts responses carry percent-encoded.
	URLEncoded []string `yaml:"urlEncoded"`
	// Operations holds what differs from the defaults, by operation name.
	Operations map[string]opOverlay `yaml:"operations"`
}

// opOverlay is what an overlay says about one operation.
type opOverlay struct {
	// Action is the IAM action without its prefix; "" means the operation's name.
	Action string `yaml:"action"`
	// Resources are the IAM resource types that the action is checked on.
	Resources []string `yaml:"resources"`
	// NoBearer takes bearer keys away from an operation of a service that has them.
	NoBearer bool `yaml:"noBearer"`
}

// patternOverlay gives the Go form of one pattern that Go cannot compile, or
// that does not say what its authors meant.
type patternOverlay struct {
	Pattern string `yaml:"pattern"` // as modelled
	Go      string `yaml:"go"`      // RE2 syntax, matches the same texts, or those that were meant
	Why     string `yaml:"why"`     // what Go refuses and why the two are equal
	Mistake string `yaml:"mistake"` // instead of Why: what the model has wrong, and how that is known
}

// readOverlay reads api/overlay/<service>.yaml. A missing file is empty.
func readOverlay(root fs.FS, service string) (*overlay, error) {
	o := new(overlay)
	return o, readYAML(root, "api/overlay/"+service+".yaml", o)
}

// readPatterns reads api/overlay/patterns.yaml into a map from the modelled
// pattern to its Go form.
func readPatterns(root fs.FS) (map[string]string, error) {
	var list []patternOverlay
	const name = "api/overlay/patterns.yaml"
	if err := readYAML(root, name, &list); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, p := range list {
		if _, err := regexp.Compile(goEscapes(p.Pattern)); err == nil && p.Mistake == "" {
			return nil, fmt.Errorf("%s: %q compiles as it is", name, p.Pattern)
		}
		if _, err := regexp.Compile(p.Go); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", name, p.Go, err)
		}
		if (p.Why == "") == (p.Mistake == "") {
			return nil, fmt.Errorf("%s: %q has no reason, or two", name, p.Pattern)
		}
		out[p.Pattern] = p.Go
	}
	return out, nil
}

func readYAML(root fs.FS, name string, v any) error {
	data, err := fs.ReadFile(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(data), yaml.DisallowUnknownField())
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
