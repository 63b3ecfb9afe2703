package pypi

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// localSetting are settings that may name folders of this machine.
var localSetting = regexp.MustCompile(`(?m)^[^=\n]*\.find-links=(.*)$`)

// offline are the arguments with which pip looks nowhere but into folders of this
// machine. Its settings are read for the folders, and are then left out: they may
// name servers too.
func (s *Source) offline(ctx context.Context) ([]string, error) {
	stdout, stderr, err := s.python(ctx, "-m", "pip", "--disable-pip-version-check", "config", "list")
	if err != nil {
		return nil, explain(stdout, stderr, err)
	}
	args := []string{"--isolated", "--no-index"}
	for _, f := range folders(string(stdout)) {
		args = append(args, "--find-links", f)
	}
	if len(args) == 2 {
		return nil, errors.New("pip may not use the network (egress.models in the configuration), and its settings name no folder of this machine (find-links)")
	}
	return args, nil
}

// folders reads the folders out of pip's settings, as `pip config list` writes
// them: Python's text of the value, words apart by spaces or line ends.
func folders(config string) []string {
	var all []string
	for _, m := range localSetting.FindAllStringSubmatch(config, -1) {
		value := strings.ReplaceAll(strings.Trim(strings.TrimSpace(m[1]), `'"`), `\n`, "\n")
		for word := range strings.FieldsSeq(value) {
			path, isURL := strings.CutPrefix(word, "file://")
			if (isURL || filepath.IsAbs(word)) && filepath.IsAbs(path) && !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
	}
	return all
}
