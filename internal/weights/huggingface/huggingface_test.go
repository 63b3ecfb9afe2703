package huggingface_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/huggingface"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// hub imitates the hub: files under /resolve/, a storage on another host, a
// renamed repository, gated and private ones.
func hub(t *testing.T, file []byte) *httptest.Server {
	t.Helper()
	sum := sha256.Sum256(file)
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to the storage")
		}
		if r.URL.Query().Get("Signature") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("ETag", `"storage"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	}))
	t.Cleanup(storage.Close)
	elsewhere := strings.Replace(storage.URL, "127.0.0.1", "localhost", 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, code string) {
			w.Header().Set("X-Error-Code", code)
			w.WriteHeader(status)
		}
		token := r.Header.Get("Authorization")
		path := r.URL.EscapedPath()
		switch {
		case strings.HasPrefix(path, "/old/name/resolve/"):
			w.Header().Set("Location", strings.Replace(path, "/old/name/", "/owner/repo/", 1))
			w.WriteHeader(http.StatusTemporaryRedirect)
		case strings.HasPrefix(path, "/owner/gated/") && token == "":
			refuse(http.StatusUnauthorized, "GatedRepo")
		case strings.HasPrefix(path, "/owner/gated/") && token != "Bearer sesame":
			refuse(http.StatusForbidden, "GatedRepo")
		case strings.HasPrefix(path, "/owner/private/") && token != "Bearer sesame":
			refuse(http.StatusUnauthorized, "RepoNotFound")
		case strings.HasPrefix(path, "/loop/loop/"):
			w.Header().Set("Location", path)
			w.WriteHeader(http.StatusFound)
		case strings.HasSuffix(path, "/resolve/gone/m.gguf"):
			refuse(http.StatusNotFound, "RevisionNotFound")
		case strings.HasSuffix(path, "/busy.gguf"):
			w.WriteHeader(http.StatusBadGateway)
		case strings.HasSuffix(path, "/small.json"):
			w.Header().Set("ETag", `"`+strings.Repeat("a", 40)+`"`)
			_, _ = w.Write([]byte("{}"))
		case strings.HasSuffix(path, "/resolve/main/sub%20dir/m%231.gguf"),
			strings.HasSuffix(path, "/resolve/refs%2Fpr%2F1/sub%20dir/m%231.gguf"),
			strings.HasSuffix(path, "/resolve/"+commit+"/sub%20dir/m%231.gguf"):
			w.Header().Set("X-Repo-Commit", commit)
			w.Header().Set("X-Linked-Etag", `"`+hex.EncodeToString(sum[:])+`"`)
			w.Header().Set("X-Linked-Size", fmt.Sprint(len(file)))
			w.Header().Set("ETag", `"`+strings.Repeat("b", 64)+`"`) // of the pointer, not of the file
			w.Header().Set("Location", elsewhere+"/blob?Signature=signed")
			w.WriteHeader(http.StatusFound)
		default:
			refuse(http.StatusNotFound, "EntryNotFound")
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestResolve(t *testing.T) {
	t.Parallel()
	file := bytes.Repeat([]byte("GGUF and more"), 10_000)
	raw := sha256.Sum256(file)
	sum := hex.EncodeToString(raw[:])
	srv := hub(t, file)
	for _, tt := range []struct {
		name, repo, file, revision, token, digest string
		want                                      string // of the error; "" for success
	}{
		{name: "plain", repo: "owner/repo", file: "sub dir/m#1.gguf"},
		{name: "renamed", repo: "old/name", file: "sub dir/m#1.gguf"},
		{name: "revision with slashes", repo: "owner/repo", file: "sub dir/m#1.gguf", revision: "refs/pr/1"},
		{name: "gated", repo: "owner/gated", file: "sub dir/m#1.gguf", token: "sesame"},
		{name: "private", repo: "owner/private", file: "sub dir/m#1.gguf", token: "sesame"},
		{name: "no token", repo: "owner/gated", file: "sub dir/m#1.gguf", want: "set HF_TOKEN"},
		{name: "wrong token", repo: "owner/gated", file: "sub dir/m#1.gguf", token: "wrong-secret", want: "account of HF_TOKEN"},
		{name: "private without token", repo: "owner/private", file: "m.gguf", want: "needs HF_TOKEN"},
		{name: "no such file", repo: "owner/repo", file: "other.gguf", want: "no such file"},
		{name: "no such revision", repo: "owner/repo", file: "m.gguf", revision: "gone", want: "no such revision"},
		{name: "busy", repo: "owner/repo", file: "busy.gguf", want: "502"},
		{name: "circles", repo: "loop/loop", file: "m.gguf", want: "circles"},
		{name: "no digest", repo: "owner/repo", file: "small.json", want: "set sha256"},
		{name: "repository with a path", repo: "a/b/c", file: "m.gguf", want: "owner/name"},
		{name: "repository with dots", repo: "../etc", file: "m.gguf", want: "owner/name"},
		{name: "file outside", repo: "owner/repo", file: "../m.gguf", want: "not the path"},
		{name: "file unclean", repo: "owner/repo", file: "a/../m.gguf", want: "not the path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &huggingface.Source{Endpoint: srv.URL + "/", Token: func() string { return tt.token }}
			src := catalog.Source{HuggingFace: &catalog.HuggingFace{Repo: tt.repo, File: tt.file, Revision: tt.revision}, SHA256: tt.digest}
			art, err := s.Resolve(t.Context(), src)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want one with %q", err, tt.want)
				}
				if tt.token != "" && strings.Contains(err.Error(), tt.token) {
					t.Errorf("the error shows the token: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(fmt.Sprint(art.Origin, art.Parts[0].URL), "sesame") {
				t.Errorf("the artifact shows the token: %+v", art)
			}
			if art.SHA256 != sum || art.Parts[0].Size != int64(len(file)) || !strings.HasSuffix(art.Origin, "@"+commit) {
				t.Errorf("artifact %+v, want the digest, size and commit that the hub tells", art)
			}
			// The whole way, as the store goes it.
			got, err := fetch.New(fetch.Config{}).Fetch(t.Context(), art.Parts[0], filepath.Join(t.TempDir(), "m"), weights.Silent.Start("", 0))
			if err != nil || got.SHA256 != sum {
				t.Errorf("download %+v, %v", got, err)
			}
		})
	}
}

func TestCatalogDigestWins(t *testing.T) {
	t.Parallel()
	srv := hub(t, []byte("x"))
	want := strings.Repeat("cd", 32)
	s := &huggingface.Source{Endpoint: srv.URL, Token: func() string { return "" }}
	art, err := s.Resolve(t.Context(), catalog.Source{
		HuggingFace: &catalog.HuggingFace{Repo: "owner/repo", File: "sub dir/m#1.gguf"}, SHA256: strings.ToUpper(want),
	})
	if err != nil || art.SHA256 != want || art.Parts[0].SHA256 != want {
		t.Errorf("artifact %+v, %v", art, err)
	}
}

func TestEnvironment(t *testing.T) {
	srv := hub(t, []byte("x"))
	t.Setenv("HF_ENDPOINT", srv.URL)
	t.Setenv("HF_TOKEN", " sesame\n")
	src := catalog.Source{HuggingFace: &catalog.HuggingFace{Repo: "owner/gated", File: "sub dir/m#1.gguf"}}
	s := new(huggingface.Source)
	if !s.Accepts(src) || s.Accepts(catalog.Source{File: "x"}) {
		t.Error("Accepts answers wrongly")
	}
	if _, err := s.Resolve(t.Context(), src); err != nil {
		t.Errorf("the environment is not honoured: %v", err)
	}
	for _, bad := range []string{"http://hub.example.com", "hub.example.com", "https://me:sesame@hub.example.com", "ftp://hub.example.com"} {
		t.Setenv("HF_ENDPOINT", bad)
		if _, err := s.Resolve(t.Context(), src); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: error %v, want one without secrets", bad, err)
		}
	}
}
