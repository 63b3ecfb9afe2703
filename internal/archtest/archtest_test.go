package archtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// listed is what "go list -json" tells of a package.
type listed struct {
	ImportPath     string
	Name           string
	Dir            string
	GoFiles        []string
	IgnoredGoFiles []string // of other systems and build tags
	TestGoFiles    []string
	XTestGoFiles   []string
	Imports        []string
	Module         *struct{ Path, Dir string }
}

// goList runs "go list" in the root of the module. Packages that do not compile
// are listed too: what is wrong with them is for other tests to say.
func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Name,Dir,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Imports,Module"}, args...)...) // #nosec G204 -- fixed words
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatalf("go list found no packages\n%s", stderr.String())
	}
	return all
}

// watch opens the folders of the module and its go.mod. "go test" repeats a
// result while everything that the test itself opened is unchanged, and it does
// not see what go list opens.
func watch(t *testing.T) {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.ReadFile(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func readRules(t *testing.T) *Rules {
	t.Helper()
	f, err := os.Open("layers.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rules, err := Parse(f)
	if err != nil {
		t.Fatalf("layers.txt: %v", err)
	}
	return rules
}

func TestLayers(t *testing.T) {
	t.Parallel()
	rules := readRules(t)
	for _, p := range goList(t, "./...") {
		for _, broken := range rules.Check(p.Module.Path, Package{Path: p.ImportPath, Imports: p.Imports}) {
			t.Error(broken)
		}
	}
	for _, edge := range rules.Unused() {
		t.Errorf("layers.txt: nothing needs the edge %s any more: remove it", edge)
	}
}

// TestProgram looks at everything that the server's program links, also through
// other modules.
func TestProgram(t *testing.T) {
	t.Parallel()
	rules := readRules(t)
	ours := goList(t, "./internal/archtest")[0].Module.Path
	for _, p := range goList(t, "-deps", "./cmd/outcrop") {
		if why := rules.Forbidden(ours, p.ImportPath); why != "" {
			t.Errorf("cmd/outcrop links %s: %s", p.ImportPath, why)
		}
	}
}

// TestSources holds every source file against the rules of sourceProblems, and
// every package against "exactly one package comment".
func TestSources(t *testing.T) {
	t.Parallel()
	watch(t)
	rules := readRules(t)
	for _, p := range goList(t, "./...") {
		name := roomName(p.Module.Path, p.ImportPath)
		where, _ := rules.find(name)
		files := map[string]bool{} // name: is a test
		for _, f := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			files[f] = strings.HasSuffix(f, "_test.go")
		}
		for _, f := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			files[f] = true
		}
		pkg := sources{Room: name, TestSupport: where.test}
		for _, f := range slices.Sorted(maps.Keys(files)) {
			text, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			pkg.Files = append(pkg.Files, source{Name: f, Test: files[f], Text: text})
		}
		problems, err := pkg.problems()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

// TestDependencies compares the first column of the table in DEPENDENCIES.md
// with the direct requirements of go.mod.
func TestDependencies(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(root, "DEPENDENCIES.md"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	named := map[string]bool{}
	row := regexp.MustCompile("^\\| `([^`]+)` \\|(.*)\\|(.*)\\|(.*)\\|$")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m := row.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		named[m[1]] = true
		for i, column := range []string{"why", "licence", "weighed"} {
			if strings.TrimSpace(m[2+i]) == "" {
				t.Errorf("DEPENDENCIES.md: %s has nothing under %q", m[1], column)
			}
		}
	}
	for _, r := range mod.Require {
		if !r.Indirect && !named[r.Path] {
			t.Errorf("go.mod requires %s and DEPENDENCIES.md gives no reason: add a row", r.Path)
		}
		if !r.Indirect {
			delete(named, r.Path)
		}
	}
	for path := range named {
		t.Errorf("DEPENDENCIES.md has a row for %s, which go.mod does not require directly: remove it", path)
	}
}
