package catalog_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
)

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := catalog.New(catalog.Options{StandIns: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	c, err := catalog.New(catalog.Options{StandIns: true})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Resolve(b.Context(), "us.anthropic.claude-sonnet-4-20250514-v1:0", "us-east-1", "111122223333"); err != nil {
			b.Fatal(err)
		}
	}
}
