package archtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	unnamed = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks follows every relative link of the documents: the file must be
// there, and the heading that a link names in it.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	documents, links := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n == "node_modules" || n == "testdata" || n == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		documents++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllSubmatch(code.ReplaceAll(fence.ReplaceAll(text, nil), nil), -1) {
			links++
			if problem := follow(path, string(m[1])); problem != nil {
				t.Errorf("%s: %s: %v", strings.TrimPrefix(path, root+string(filepath.Separator)), m[1], problem)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents < 5 || links < 10 {
		t.Errorf("found %d documents with %d links", documents, links)
	}
}

// follow tells what is wrong with a link of a document.
func follow(document, to string) error {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
		return nil
	}
	name, anchor, _ := strings.Cut(to, "#")
	if filepath.IsAbs(name) {
		return errors.New("is absolute")
	}
	path := document
	if name != "" {
		path = filepath.Join(filepath.Dir(document), filepath.FromSlash(name))
	}
	if anchor == "" {
		_, err := os.Stat(path)
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, m := range heading.FindAllSubmatch(fence.ReplaceAll(text, nil), -1) {
		if strings.ReplaceAll(unnamed.ReplaceAllString(strings.ToLower(string(m[1])), ""), " ", "-") == anchor {
			return nil
		}
	}
	return errors.New("there is no such heading")
}

func TestFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	document := filepath.Join(dir, "a.md")
	text := "# What it *is*, and `why`\n```\n# not-a-heading\n```\n"
	if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for to, fine := range map[string]bool{
		"https://example.com/none": true, "a.md": true, "./a.md": true, ".": true, "#what-it-is-and-why": true, "a.md#what-it-is-and-why": true,
		"b.md": false, "#why": false, "a.md#not-a-heading": false, "b.md#x": false, document: false,
	} {
		if err := follow(document, to); (err == nil) != fine {
			t.Errorf("%s: %v", to, err)
		}
	}
}

var proof = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz|Benchmark)\\w+)(?:/[^`]+)?`")

// TestProofs looks up every test that the acceptance documents name.
func TestProofs(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	documents, err := filepath.Glob(filepath.Join(root, "docs", "acceptance", "*.md"))
	if err != nil || len(documents) == 0 {
		t.Fatalf("documents %v, %v", documents, err)
	}
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range proof.FindAllStringSubmatch(string(text), -1) {
			found++
			if !declares(t, filepath.Join(root, m[1]), m[2]) && !declares(t, filepath.Join(root, "internal", m[1]), m[2]) {
				t.Errorf("%s names %s of %s, which is not there", filepath.Base(document), m[2], m[1])
			}
		}
		if found < 20 {
			t.Errorf("%s names %d tests", filepath.Base(document), found)
		}
	}
}

// declares tells whether a test file of a folder has the test.
func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
