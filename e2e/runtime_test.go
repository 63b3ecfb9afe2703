package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFamilies runs clients/runtime_families.py: every native body, whole and in
// a stream.
func TestFamilies(t *testing.T) {
	t.Parallel()
	runCases(t, s.server, "runtime_families.py")
}

// TestConverseWhole runs clients/runtime_converse.py: tools, schemas, documents,
// cache points, counting, resuming.
func TestConverseWhole(t *testing.T) {
	t.Parallel()
	bucket := makeBucket(t, s.server, "e2e-documents")
	dir := t.TempDir()
	cmd := clientCommand(t, s.server, "files.py", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		cliOutput(t, s.server, "objects", "cp", filepath.Join(dir, n.Name()), "s3://"+bucket+"/docs/")
	}
	if len(names) != 7 {
		t.Errorf("%d files, want one of each of 7 formats", len(names))
	}
	runCases(t, s.server, "runtime_converse.py", "E2E_BUCKET="+bucket)
}

// makeBucket makes a bucket on a server and returns its name.
func makeBucket(t *testing.T, srv *server, name string) string {
	t.Helper()
	cliOutput(t, srv, "objects", "mb", "s3://"+name)
	return name
}
