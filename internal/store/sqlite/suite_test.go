package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/store/storetest"
)

func suite() storetest.Suite {
	return storetest.Suite{
		Open: func(ctx context.Context, place string) (store.Store, error) {
			return sqlite.Open(ctx, sqlite.Config{Path: place})
		},
		Place: func(t testing.TB) string { return filepath.Join(t.TempDir(), "outcrop.db") },
	}
}

func TestMain(m *testing.M) { storetest.Main(m, suite()) }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, suite())
}
