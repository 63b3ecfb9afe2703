package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// generate reads api/models, api/own and api/overlay below root and returns the
// generated Go files by their path.
func generate(root fs.FS) (map[string][]byte, error) {
	release, err := readPin(root)
	if err != nil {
		return nil, err
	}
	authRelease, err := readAuthPin(root)
	if err != nil {
		return nil, err
	}
	auths := map[string]*authFacts{}
	byPrefix := func(prefix string) (*authFacts, error) {
		if auths[prefix] == nil {
			f, err := readAuthorization(root, prefix)
			if err != nil {
				return nil, err
			}
			auths[prefix] = f
		}
		return auths[prefix], nil
	}
	regexps, err := readPatterns(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	var apis []*api
	unused := maps.Clone(regexps)
	for _, svc := range services() {
		f, err := readFacts(root, svc)
		if err != nil {
			return nil, err
		}
		if svc.own { // written by hand, so bring it into form
			f.sort()
			if files[svc.file()], err = f.encode(); err != nil {
				return nil, err
			}
		}
		o, err := readOverlay(root, svc.name)
		if err != nil {
			return nil, err
		}
		version := release.version
		if svc.own {
			version = ""
		}
		auth, err := byPrefix(f.SigningName)
		if svc.own && errors.Is(err, fs.ErrNotExist) {
			auth, err = &authFacts{Prefix: f.SigningName}, nil
		}
		if err != nil {
			return nil, err
		}
		a, err := build(svc, f, o, auth, version, regexps)
		if err != nil {
			return nil, err
		}
		for p := range a.usedRE {
			delete(unused, p)
		}
		apis = append(apis, a)
		if err := a.emit(files); err != nil {
			return nil, fmt.Errorf("%s: %w", svc.name, err)
		}
	}
	if len(unused) > 0 {
		return nil, fmt.Errorf("api/overlay/patterns.yaml: of no use: %q", slices.Sorted(maps.Keys(unused)))
	}
	if _, err := byPrefix(globalPrefix); err != nil {
		return nil, err
	}
	var all []*authFacts
	for _, prefix := range slices.Sorted(maps.Keys(auths)) {
		all = append(all, auths[prefix])
	}
	if files[actionsDir+"actions_gen.go"], err = emitActions(all, authRelease.version); err != nil {
		return nil, err
	}
	files[awsapiDir+"tables_gen_test.go"], err = emitTestRows(apis)
	return files, err
}

// readFacts reads the facts of an API below root.
func readFacts(root fs.FS, svc service) (*facts, error) {
	data, err := fs.ReadFile(root, svc.file())
	if err != nil {
		return nil, err
	}
	f, err := decodeFacts(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", svc.file(), err)
	}
	return f, nil
}
