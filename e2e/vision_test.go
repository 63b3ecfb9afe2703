package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVision installs tiny weights that see images, made by a script of this
// repository, and lets boto3 show them pictures. What they say is nonsense; that
// they say it, and what it costs, is not.
func TestVision(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./internal/engine/enginetest/tinyvision/maketinyvision", dir)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, commandError(err))
	}
	files := strings.Fields(string(out))
	if len(files) != 2 {
		t.Fatalf("made %q", out)
	}
	catalogue := filepath.Join(dir, "catalogue.yaml")
	none := "weights:\n  - {id: smollm2-135m-instruct, default: false}\n  - {id: all-minilm-l6-v2, default: false}\n"
	if err := os.WriteFile(catalogue, []byte(none), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options{models: filepath.Join(dir, "models"), config: "catalog: " + catalogue}
	first := startFor(t, o)
	t.Logf("%s", cliOutput(t, first, "models", "import", files[0], "--id", "tinyvision", "--projector", files[1]))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	o.data = first.data
	srv := startFor(t, o)
	bucket := makeBucket(t, srv, "pictures")
	picture := filepath.Join(dir, "small.png")
	cmd = clientCommand(t, srv, "files.py", "--png", picture)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	cliOutput(t, srv, "objects", "cp", picture, "s3://"+bucket+"/small.png")
	runCases(t, srv, "runtime_vision.py", "E2E_BUCKET="+bucket, "E2E_MODEL=local.tinyvision")
}
