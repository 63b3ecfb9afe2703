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

// maxModelFile bounds one unpacked file of the release, in bytes.
const maxModelFile = 64 << 20

// fetch downloads the pinned release and returns the files of api/models.
//
// pip tells where the wheel is, so its configured index, mirror or cache of
// files applies. The digest that is compiled in decides, not the index.
func fetch(ctx context.Context) (map[string][]byte, error) {
	url, err := wheelURL(ctx)
	if err != nil {
		return nil, err
	}
	wheel, err := download(ctx, url)
	if err != nil {
		return nil, err
	}
	if got := hexSHA256(wheel); got != botocoreSHA256 {
		return nil, fmt.Errorf("botocore %s: sha256 is %s, pinned is %s", botocoreVersion, got, botocoreSHA256)
	}
	zr, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return nil, fmt.Errorf("botocore %s: %w", botocoreVersion, err)
	}
	return modelFiles(zr)
}

// modelFiles reads the models out of an unpacked wheel.
func modelFiles(wheel fs.FS) (map[string][]byte, error) {
	files := map[string][]byte{
		"api/models/VERSION": fmt.Appendf(nil, "botocore %s sha256:%s\n", botocoreVersion, botocoreSHA256),
		"api/models/NOTICE":  []byte(notice),
	}
	for _, svc := range services() {
		model, err := readNewest(wheel, svc.name, "service-2.json")
		if err != nil {
			return nil, err
		}
		pages, err := readNewest(wheel, svc.name, "paginators-1.json")
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

botocore
Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.
Licensed under the Apache License, Version 2.0.

VERSION names the release and the digest of its wheel.
`

// wheelURL asks pip where the pinned wheel is. It installs nothing.
func wheelURL(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--dry-run", "--no-deps",
		"--ignore-installed", "--quiet", "--report", "-", "botocore=="+botocoreVersion)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask pip for botocore %s: %w: %s", botocoreVersion, err, strings.TrimSpace(stderr.String()))
	}
	var report struct {
		Install []struct {
			DownloadInfo struct {
				URL string `json:"url"`
			} `json:"download_info"`
		} `json:"install"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return "", fmt.Errorf("read pip's report: %w", err)
	}
	if len(report.Install) != 1 || report.Install[0].DownloadInfo.URL == "" {
		return "", errors.New("pip's report names no download")
	}
	return report.Install[0].DownloadInfo.URL, nil
}

// download reads one URL whole.
func download(ctx context.Context, url string) ([]byte, error) {
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
	return io.ReadAll(io.LimitReader(resp.Body, maxModelFile))
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
	return io.ReadAll(io.LimitReader(zr, maxModelFile))
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
