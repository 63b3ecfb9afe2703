package weights_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
	"github.com/outcrop/outcrop/internal/weights/web"
)

// TestMain lets the test binary also be the process that pulls and is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("OUTCROP_TEST_PULL_DIR"); dir != "" {
		if err := pullAt(dir, os.Getenv("OUTCROP_TEST_PULL_URL"), os.Getenv("OUTCROP_TEST_PULL_SHA256")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func pullAt(dir, url, sha string) error {
	s, err := weights.New(weights.Config{Dir: dir, Sources: []weights.Source{web.Source{}}, Fetch: fetch.New(fetch.Config{})})
	if err != nil {
		return err
	}
	return s.Pull(context.Background(), catalog.Weights{ID: "m", Source: catalog.Source{URL: url, SHA256: sha}}, nil)
}

func pullProcess(t *testing.T, dir, url, sha string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "OUTCROP_TEST_PULL_DIR="+dir, "OUTCROP_TEST_PULL_URL="+url, "OUTCROP_TEST_PULL_SHA256="+sha)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// holding is a server that keeps back the end of a file until it may send it.
type holding struct {
	b  []byte
	mu sync.Mutex
	// upTo is how much of the file a request may get; held tells that a
	// request has got so much and waits.
	upTo   int
	held   chan struct{}
	ranges []string
}

func (h *holding) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	upTo := h.upTo
	h.ranges = append(h.ranges, r.Header.Get("Range"))
	h.mu.Unlock()
	w.Header().Set("ETag", `"v1"`)
	if upTo >= len(h.b) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.b))
		return
	}
	from := 0
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	w.Header().Set("Content-Length", fmt.Sprint(len(h.b)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(h.b)-1, len(h.b)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(h.b[from:max(from, upTo)])
	_ = http.NewResponseController(w).Flush()
	h.held <- struct{}{}
	<-r.Context().Done()
}

func (h *holding) allow(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.upTo = n
}

// TestKill kills a pull in the middle of its download, several times. No
// partial file ever counts, and the last pull asks only for what is missing.
func TestKill(t *testing.T) {
	t.Parallel()
	h := &holding{b: model(t, "x", 1<<20), held: make(chan struct{})}
	srv := httptest.NewServer(h)
	defer srv.Close()
	dir := t.TempDir()
	s := store(t, dir, one(nil))
	var last int64
	for i := range 3 {
		h.allow((i + 1) * 1_000_000)
		cmd, out := pullProcess(t, dir, srv.URL+"/m", sum(h.b))
		<-h.held
		size := grown(t, dir, last)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if out.Len() > 0 {
			t.Errorf("the process wrote %s", out)
		}
		if path, ok := s.Path("m"); ok {
			t.Fatalf("%s counts as a model after a kill", path)
		}
		last = size
	}
	h.allow(len(h.b))
	cmd, out := pullProcess(t, dir, srv.URL+"/m", sum(h.b))
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the last pull: %v: %s", err, out)
	}
	if err := s.Verify(t.Context(), "m", nil); err != nil {
		t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var from int64
	if _, err := fmt.Sscanf(h.ranges[3], "bytes=%d-", &from); err != nil || from < last {
		t.Errorf("the last pull asked for %q, want what follows byte %d", h.ranges[3], last)
	}
}

// grown waits until the partial file is larger than it was, and returns how
// large.
func grown(t *testing.T, dir string, was int64) int64 {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		found, _ := filepath.Glob(filepath.Join(dir, ".partial", "m", "*.part"))
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.Size() > was {
				return info.Size()
			}
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the download does not grow")
		}
	}
}

// TestTwoProcesses: two processes and this one pull the same id at once; the
// file is downloaded once.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	h := &holding{b: model(t, "x", 1<<18)}
	h.allow(len(h.b))
	srv := httptest.NewServer(h)
	defer srv.Close()
	dir := t.TempDir()
	a, aout := pullProcess(t, dir, srv.URL+"/m", sum(h.b))
	b, bout := pullProcess(t, dir, srv.URL+"/m", sum(h.b))
	if err := pullAt(dir, srv.URL+"/m", sum(h.b)); err != nil {
		t.Error(err)
	}
	if err := a.Wait(); err != nil {
		t.Errorf("%v: %s", err, aout)
	}
	if err := b.Wait(); err != nil {
		t.Errorf("%v: %s", err, bout)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ranges) != 1 {
		t.Errorf("%d downloads, want 1", len(h.ranges))
	}
	if got := strings.Join(tree(t, dir), " "); got != "m/"+sum(h.b)+".gguf m/manifest.json" {
		t.Errorf("files %s", got)
	}
}
