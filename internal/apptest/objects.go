package apptest

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/object/fs"
)

// objects opens the server's object store beside the server.
func (s *Server) objects(t testing.TB) *fs.Store {
	t.Helper()
	st, err := fs.Open(filepath.Join(s.Data, "objects"))
	if err != nil {
		t.Fatalf("open the server's objects: %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// CreateBucket makes a bucket of the server's account.
func (s *Server) CreateBucket(t testing.TB, bucket string) {
	t.Helper()
	if err := s.objects(t).CreateBucket(t.Context(), s.Account, bucket); err != nil {
		t.Fatal(err)
	}
}

// Object reads an object of the server's account.
func (s *Server) Object(t testing.TB, ref object.Ref) []byte {
	t.Helper()
	r, _, err := s.objects(t).Get(t.Context(), s.Account, ref)
	if err != nil {
		t.Fatalf("%s: %v", ref, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
