package app

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/awsapi/coverage"
)

var update = flag.Bool("update", false, "rewrite docs/coverage.md")

// The list of what is served must be that of the server itself.
func TestCoverage(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s, err := New(ctx, Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}, nil, func(Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) {
		return scripted.New(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // it never ran
	bound := map[[2]string]bool{}
	for _, r := range s.routes(agreement.Gate{}) {
		bound[[2]string{r.Service.Name, r.Operation.Name}] = true
	}
	got := coverage.Render(Services(), func(service, operation string) bool { return bound[[2]string{service, operation}] })
	path := filepath.Join("..", "..", "docs", "coverage.md")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/coverage.md is stale: go test ./internal/app -run Coverage -update")
	}
}
