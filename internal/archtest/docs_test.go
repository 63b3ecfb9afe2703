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
