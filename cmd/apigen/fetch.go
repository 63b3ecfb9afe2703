package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os/exec"
	"path"
	"strings"
)

// maxFile bounds the wheel and each unpacked file, in bytes.
const maxFile = 64 << 20

// pin names the botocore release that the facts come from.
type pin struct {
	version string
	sha256  string // of the wheel, hex; "" takes the one that the index reports
}

const pinFile = "api/models/VERSION"

// readPin reads the pin below root.
func readPin(root fs.FS) (pin, error) {
	data, err := fs.ReadFile(root, pinFile)
	if err != nil {
		return pin{}, err
	}
	w := strings.Fields(string(data))
	if len(w) == 3 && w[0] == "botocore" {
		if sum, ok := strings.CutPrefix(w[2], "sha256:"); ok {
			return pin{w[1], sum}, nil
		}
	}
	return pin{}, fmt.Errorf("%s: want `botocore VERSION sha256:DIGEST`, got %q", pinFile, data)
}

// fetch downloads a release and returns the files of api/models.
//
// pip tells where the wheel is, so its configured index or mirror applies. The
// pinned digest decides whether the wheel is the right one.
func fetch(ctx context.Context, want pin) (map[string][]byte, error) {
	url, sum, err := locateWheel(ctx, want.version)
	if err != nil {
		return nil, err
	}
	if want.sha256 == "" {
		want.sha256 = sum
	}
	wheel, err := get(ctx, url)
	if err != nil {
		return nil, err
	}
	return modelFiles(want, wheel)
}

// modelFiles checks a wheel against its pin and reads the models out of it.
func modelFiles(want pin, wheel []byte) (map[string][]byte, error) {
	sum := sha256.Sum256(wheel)
	if got := hex.EncodeToString(sum[:]); got != want.sha256 {
		return nil, fmt.Errorf("botocore %s: sha256 is %s, want %s", want.version, got, want.sha256)
	}
	zr, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return nil, fmt.Errorf("botocore %s: %w", want.version, err)
	}
	files := map[string][]byte{
		pinFile:             fmt.Appendf(nil, "botocore %s sha256:%s\n", want.version, want.sha256),
		"api/models/NOTICE": []byte(notice),
	}
	for _, svc := range botocoreServices() {
		model, err := readNewest(zr, svc.name, "service-2.json")
		if err != nil {
			return nil, err
		}
		pages, err := readNewest(zr, svc.name, "paginators-1.json")
		if err != nil {
			return nil, err
		}
		f, err := strip(svc.name, model, pages)
		if err != nil {
			return nil, err
		}
		data, err := f.encode()
		if err != nil {
			return nil, err
		}
		files["api/models/"+svc.name+".json"] = data
	}
	return files, nil
}

const notice = `The facts in this folder (names, types, constraints, routes) were read from the
API models of botocore, and stripped of all descriptions.

Botocore
Copyright 2012-2022 Amazon.com, Inc. or its affiliates. All Rights Reserved.
Licensed under the Apache License, Version 2.0.

VERSION names the release and the digest of its wheel.
`

// locateWheel asks pip where the wheel of a release is and what its sha256 is.
// It installs nothing.
func locateWheel(ctx context.Context, version string) (url, sum string, err error) {
	// #nosec G204 -- a developer's tool; the version is one argument, no shell
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--dry-run", "--no-deps",
		"--ignore-installed", "--quiet", "--report", "-", "botocore=="+version)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("ask pip for botocore %s: %w: %s", version, err, strings.TrimSpace(stderr.String()))
	}
	return readReport(out)
}

// readReport reads the one download out of pip's installation report.
func readReport(report []byte) (url, sum string, err error) {
	var r struct {
		Install []struct {
			DownloadInfo struct {
				URL         string `json:"url"`
				ArchiveInfo struct {
					Hashes map[string]string `json:"hashes"`
				} `json:"archive_info"`
			} `json:"download_info"`
		} `json:"install"`
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return "", "", fmt.Errorf("read pip's report: %w", err)
	}
	if len(r.Install) == 1 {
		d := r.Install[0].DownloadInfo
		if s := d.ArchiveInfo.Hashes["sha256"]; s != "" && d.URL != "" {
			return d.URL, s, nil
		}
	}
	return "", "", errors.New("pip's report names no download with a sha256")
}

// get reads one URL whole.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("download botocore: %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxFile))
}

// readNewest reads botocore/data/<service>/<date>/<name>, plain or gzipped, of
// the newest date.
func readNewest(wheel fs.FS, service, name string) ([]byte, error) {
	dirs, err := fs.ReadDir(wheel, "botocore/data/"+service) // sorted
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("%s: no API version", service)
	}
	p := path.Join("botocore/data", service, dirs[len(dirs)-1].Name(), name)
	data, err := fs.ReadFile(wheel, p)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	data, err = fs.ReadFile(wheel, p+".gz")
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return io.ReadAll(io.LimitReader(zr, maxFile))
}
