package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tables serialises the tests that rewrite docs/clients.md.
var tables sync.Mutex

// patchLevel is the last number of a version with three.
var patchLevel = regexp.MustCompile(`\b(\d+\.\d+)\.\d+\b`)

// checkTable compares lines with those that docs/clients.md has between the
// markers of this name. With -update-clients it writes them there instead. Lines
// of clients that this run left out are not missed, and patch levels of versions
// may differ.
func checkTable(t *testing.T, name string, lines []string) {
	t.Helper()
	tables.Lock()
	defer tables.Unlock()
	path := filepath.Join("..", "docs", "clients.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/clients.md has no lines %q and %q", begin, end)
	}
	if *update {
		page := before + begin + strings.Join(lines, "\n") + "\n" + end + after
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	rough := func(line string) string { return patchLevel.ReplaceAllString(line, "$1") }
	var known []string
	for line := range strings.Lines(table) {
		known = append(known, rough(strings.TrimSuffix(line, "\n")))
	}
	for _, line := range lines {
		if !slices.Contains(known, rough(line)) {
			t.Errorf("docs/clients.md does not say what this run showed; go test . -run 'Matrix$|^TestLangChainStandard$' -update-clients rewrites it:\n%s", line)
		}
	}
	whole := len(lines) >= len(known) // all clients ran
	for _, line := range known {
		if whole && !slices.ContainsFunc(lines, func(l string) bool { return rough(l) == line }) {
			t.Errorf("docs/clients.md says what this run did not show:\n%s", line)
		}
	}
}
