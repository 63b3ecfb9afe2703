package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/app"
)

// The configuration that the README shows is one that the program reads.
func TestReadmeConfiguration(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "## Configuration")
	_, rest, fenced := strings.Cut(rest, "```yaml\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !fenced || !closed {
		t.Fatal("the README shows no configuration")
	}
	path := filepath.Join(t.TempDir(), "outcrop.yaml")
	if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := app.LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Engine.Queue != 64 || len(c.Regions) != 3 || c.Metrics {
		t.Errorf("%+v", c)
	}
}
