package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestRouting runs clients/boto3_routing.py: prompt routers, an alias, and a server of
// three regions.
func TestRouting(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	text := "aliases:\n  - {id: my-chat, model: anthropic.claude-3-haiku-20240307-v1:0}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := startFor(t, options{program: s.scripted, config: fmt.Sprintf("regions: [us-east-1, us-west-2, eu-central-1]\ncatalog: %q\n", file)})
	runCases(t, srv, "boto3_routing.py")
}
