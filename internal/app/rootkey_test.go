package app_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/cli"
)

// TestProtectTheRootKey protects the key of an installation from the command line,
// with a passphrase; its keys stay the same.
func TestProtectTheRootKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, phrase, config := filepath.Join(dir, "data"), filepath.Join(dir, "phrase"), filepath.Join(dir, "outcrop.yaml")
	for file, text := range map[string]string{phrase: "correct horse battery staple\n", config: "root_key: {passphrase_file: " + phrase + "}\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outcrop := func(args ...string) (string, int) {
		var out bytes.Buffer
		status := cli.Main(append(args, "--data", data), cli.IO{In: strings.NewReader(""), Out: &out, Err: &out}, app.Program{})
		return out.String(), status
	}
	made, status := outcrop("keys", "create")
	if status != 0 {
		t.Fatal(made)
	}
	if out, status := outcrop("keys", "list", "--config", config); status == 0 || !strings.Contains(out, "outcrop keys protect") {
		t.Errorf("status %d: %s", status, out)
	}
	if out, status := outcrop("keys", "protect"); status == 0 || !strings.Contains(out, "root_key") {
		t.Errorf("without a configuration: status %d: %s", status, out)
	}
	if out, status := outcrop("keys", "protect", "--config", config); status != 0 {
		t.Fatal(out)
	}
	if out, status := outcrop("env", "--config", config); status != 0 || !strings.Contains(out, "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("status %d: %s", status, out)
	}
	if out, status := outcrop("keys", "list"); status == 0 || !strings.Contains(out, "protected") {
		t.Errorf("without the passphrase: status %d: %s", status, out)
	}
}
