package main

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// generate reads api/models and api/overlay below root and returns the
// generated Go files by their path.
func generate(root fs.FS) (map[string][]byte, error) {
	release, err := readPin(root)
	if err != nil {
		return nil, err
	}
	regexps, err := readPatterns(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	var apis []*api
	unused := maps.Clone(regexps)
	for _, svc := range services() {
		data, err := fs.ReadFile(root, "api/models/"+svc.name+".json")
		if err != nil {
			return nil, err
		}
		f, err := decodeFacts(data)
		if err != nil {
			return nil, fmt.Errorf("api/models/%s.json: %w", svc.name, err)
		}
		o, err := readOverlay(root, svc.name)
		if err != nil {
			return nil, err
		}
		a, err := build(svc, f, o, release.version, regexps)
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
	files[awsapiDir+"tables_gen_test.go"], err = emitTestRows(apis)
	return files, err
}
