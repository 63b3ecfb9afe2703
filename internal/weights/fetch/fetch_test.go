package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/weights/fetch"
)

const address = "http://127.0.0.1/model?signature=sesame"

// serveRange answers like a well-behaved server of b.
func serveRange(w http.ResponseWriter, r *http.Request, b []byte, etag string) {
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// cut sends the range that was asked for, but breaks the connection after n
// bytes of it.
func cut(w http.ResponseWriter, r *http.Request, b []byte, etag string, n int) {
	from := 0
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(b)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(b[from : from+n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// get runs one Fetch.
func get(t *testing.T, c fetch.Config, p weights.Part, path string) (weights.File, *steps, error) {
	t.Helper()
	s := new(steps)
	f, err := fetch.New(c).Fetch(t.Context(), p, path, s)
	if err == nil {
		if b, rerr := os.ReadFile(path); rerr != nil || sum(b) != f.SHA256 || int64(len(b)) != f.Size {
			t.Errorf("the file does not match the answer: %v", rerr)
		}
		if s.done != f.Size {
			t.Errorf("progress ends at %d of %d bytes", s.done, f.Size)
		}
		for _, left := range []string{".part", ".json"} {
			if _, serr := os.Stat(path + left); serr == nil {
				t.Errorf("%s is left over", left)
			}
		}
	} else if strings.Contains(err.Error(), "sesame") {
		t.Errorf("the error shows the query: %v", err)
	}
	return f, s, err
}

func TestFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(300_000, 0)
		var asked requests
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			asked.add(r)
			if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("X-Test") != "yes" || r.UserAgent() != "outcrop" {
				t.Errorf("headers %v", r.Header)
			}
			serveRange(w, r, b, `"v1"`)
		})
		path := filepath.Join(t.TempDir(), "m")
		p := weights.Part{URL: address, SHA256: strings.ToUpper(sum(b)), Size: 300_000, Header: map[string]string{"X-Test": "yes"}}
		f, s, err := get(t, fetch.Config{Client: n.Client}, p, path)
		if err != nil || f.SHA256 != sum(b) || s.total != 300_000 {
			t.Fatalf("got %+v, total %d, error %v", f, s.total, err)
		}
		// Once more: the file is there and nothing is asked.
		if _, _, err := get(t, fetch.Config{Client: n.Client}, p, path); err != nil || len(asked.all()) != 1 {
			t.Errorf("second time: error %v, requests %v", err, asked.all())
		}
		// A damaged file is fetched anew.
		if err := os.WriteFile(path, b[:1000], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := get(t, fetch.Config{Client: n.Client}, p, path); err != nil || len(asked.all()) != 2 {
			t.Errorf("damaged file: error %v, requests %v", err, asked.all())
		}
	})
}

func TestResumeAfterCuts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(500_000, 0)
		var asked requests
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			if asked.add(r) <= 3 {
				cut(w, r, b, `"v1"`, 100_000)
			}
			serveRange(w, r, b, `"v1"`)
		})
		_, _, err := get(t, fetch.Config{Client: n.Client}, weights.Part{URL: address, SHA256: sum(b)}, filepath.Join(t.TempDir(), "m"))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"|", `bytes=100000-|"v1"`, `bytes=200000-|"v1"`, `bytes=300000-|"v1"`}
		if d := cmp.Diff(want, asked.all()); d != "" {
			t.Errorf("requests (-want +got):\n%s", d)
		}
	})
}

// TestResumeLater gives up, and a later Fetch goes on.
func TestResumeLater(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, digest, etag, laterURL string
		want                         string // last request
	}{
		{"digest and validator", "yes", `"v1"`, address, `bytes=100000-|"v1"`},
		{"digest alone", "yes", "", address, "bytes=100000-|"},
		{"digest, weak validator", "yes", `W/"v1"`, address, "bytes=100000-|"},
		{"digest, other mirror", "yes", `"v1"`, "http://127.0.0.2/mirror", "bytes=100000-|"},
		{"validator alone", "", `"v1"`, address, `bytes=100000-|"v1"`},
		{"validator alone, signed anew", "", `"v1"`, "http://127.0.0.1/model?signature=other", `bytes=100000-|"v1"`},
		{"neither", "", "", address, "|"},
		{"validator of another address", "", `"v1"`, "http://127.0.0.1/other", "|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := content(200_000, 0)
				var asked requests
				n := connect(t, func(w http.ResponseWriter, r *http.Request) {
					if asked.add(r) == 1 {
						cut(w, r, b, tt.etag, 100_000)
					}
					serveRange(w, r, b, tt.etag)
				})
				path := filepath.Join(t.TempDir(), "m")
				p := weights.Part{URL: address}
				if tt.digest != "" {
					p.SHA256 = sum(b)
				}
				_, _, err := get(t, fetch.Config{Client: n.Client, Tries: 1}, p, path)
				if err == nil || !strings.Contains(err.Error(), "kept") {
					t.Fatalf("error %v, want one that says that the beginning is kept", err)
				}
				p.URL = tt.laterURL
				f, _, err := get(t, fetch.Config{Client: n.Client}, p, path)
				if err != nil || f.SHA256 != sum(b) {
					t.Fatalf("got %+v, %v", f, err)
				}
				if got := asked.all()[1]; got != tt.want {
					t.Errorf("asked %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestNoRanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(200_000, 0)
		var asked requests
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			if asked.add(r) == 1 {
				cut(w, r, b, "", 100_000)
			}
			_, _ = w.Write(b) // whatever was asked; without a length
		})
		_, s, err := get(t, fetch.Config{Client: n.Client}, weights.Part{URL: address, SHA256: sum(b)}, filepath.Join(t.TempDir(), "m"))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]int64{0, 0}, s.set); d != "" {
			t.Errorf("progress was not taken back (-want +got):\n%s", d)
		}
	})
}

// TestChanged: the contents change after a cut.
func TestChanged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		etags    [2]string
		digest   bool
		requests int
	}{
		{"validator tells", [2]string{`"v1"`, `"v2"`}, true, 2},
		{"validator tells, no digest", [2]string{`"v1"`, `"v2"`}, false, 2},
		{"only the digest tells", [2]string{"", ""}, true, 3}, // cut, mixture, all anew
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				before, after := content(200_000, 0), content(200_000, 1)
				var asked requests
				n := connect(t, func(w http.ResponseWriter, r *http.Request) {
					if asked.add(r) == 1 {
						cut(w, r, before, tt.etags[0], 100_000)
					}
					serveRange(w, r, after, tt.etags[1])
				})
				p := weights.Part{URL: address}
				if tt.digest {
					p.SHA256 = sum(after)
				}
				f, _, err := get(t, fetch.Config{Client: n.Client}, p, filepath.Join(t.TempDir(), "m"))
				if err != nil || f.SHA256 != sum(after) {
					t.Fatalf("got %+v, %v; want the new contents", f, err)
				}
				if got := asked.all(); len(got) != tt.requests {
					t.Errorf("requests %q, want %d", got, tt.requests)
				}
			})
		})
	}
}

// TestChangedIgnored: a server that answers 206 with other contents although
// If-Range forbids it.
func TestChangedIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, after := content(200_000, 0), content(200_000, 1)
		var asked requests
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			if asked.add(r) == 1 {
				cut(w, r, before, `"v1"`, 100_000)
			}
			r.Header.Del("If-Range")
			serveRange(w, r, after, `"v2"`)
		})
		f, _, err := get(t, fetch.Config{Client: n.Client}, weights.Part{URL: address}, filepath.Join(t.TempDir(), "m"))
		if err != nil || f.SHA256 != sum(after) {
			t.Fatalf("got %+v, %v; want the new contents", f, err)
		}
	})
}

func TestWrongDigest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(200_000, 0)
		var asked requests
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			asked.add(r)
			serveRange(w, r, b, `"v1"`)
		})
		path := filepath.Join(t.TempDir(), "m")
		_, _, err := get(t, fetch.Config{Client: n.Client}, weights.Part{URL: address, SHA256: sum(content(1, 1))}, path)
		if !errors.Is(err, weights.ErrDigest) {
			t.Fatalf("error %v, want ErrDigest", err)
		}
		left, _ := filepath.Glob(path + "*")
		if len(left) > 0 || len(asked.all()) != 1 {
			t.Errorf("left %v after %d requests, want nothing after one", left, len(asked.all()))
		}
	})
}

// TestStall: a server that sends one byte a second is given up.
func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(200_000, 0)
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for i := range b {
				if _, err := w.Write(b[i : i+1]); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		})
		begun := time.Now()
		_, _, err := get(t, fetch.Config{Client: n.Client, Tries: 3}, weights.Part{URL: address, SHA256: sum(b)}, filepath.Join(t.TempDir(), "m"))
		if err == nil || !strings.Contains(err.Error(), "no data arrives") {
			t.Fatalf("error %v, want one about no data", err)
		}
		if d := time.Since(begun); d < 180*time.Second || d > 185*time.Second {
			t.Errorf("given up after %s, want three times 60 s", d)
		}
	})
}

// TestSlow: a slow but steady server is not given up.
func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(100_000, 0)
		n := connect(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			for i := 0; i < len(b); i += 1000 {
				_, _ = w.Write(b[i : i+1000])
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Second) // synctest's clock
			}
		})
		_, _, err := get(t, fetch.Config{Client: n.Client, Tries: 1}, weights.Part{URL: address, SHA256: sum(b)}, filepath.Join(t.TempDir(), "m"))
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(1000, 0)
		var asked requests
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			switch asked.add(r) {
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				w.Header().Set("Retry-After", "20")
				w.WriteHeader(http.StatusTooManyRequests)
			default:
				serveRange(w, r, b, "")
			}
		})
		begun := time.Now()
		_, _, err := get(t, fetch.Config{Client: n.Client}, weights.Part{URL: address, SHA256: sum(b)}, filepath.Join(t.TempDir(), "m"))
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d < 20*time.Second || d > 22*time.Second {
			t.Errorf("waited %s, want the server's 20 s and a little", d)
		}
	})
}

// TestRefused holds answers that end a download.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := content(1000, 0)
	tests := []struct {
		name     string
		part     weights.Part
		config   fetch.Config
		answer   http.HandlerFunc
		want     string
		requests int
	}{
		{"missing", weights.Part{}, fetch.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "no such file", 1},
		{"forbidden", weights.Part{}, fetch.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "permission", 1},
		{"always busy", weights.Part{}, fetch.Config{Tries: 4}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "after 4 tries", 4},
		{"declared too large", weights.Part{}, fetch.Config{MaxBytes: 999}, func(w http.ResponseWriter, r *http.Request) { serveRange(w, r, b, "") }, "larger than 999 B", 1},
		{"turns out too large", weights.Part{}, fetch.Config{MaxBytes: 999}, func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush() // no length
			_, _ = w.Write(b)
		}, "larger than 999 B", 1},
		{"other size", weights.Part{Size: 1001}, fetch.Config{}, func(w http.ResponseWriter, r *http.Request) { serveRange(w, r, b, "") }, "expected are 1001", 1},
		{"packed", weights.Part{}, fetch.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(b)
		}, "encoding", 1},
		{"no room", weights.Part{}, fetch.Config{MaxBytes: 1 << 62}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<60))
		}, "not enough disk space", 1},
		{"to plain http", weights.Part{}, fetch.Config{}, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://example.com/model", http.StatusFound)
		}, "not encrypted", 1},
		{"to a file", weights.Part{}, fetch.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, "redirect", 1},
		{"in circles", weights.Part{}, fetch.Config{}, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again?signature=sesame", http.StatusFound)
		}, "10 redirects", 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked requests
				n := connect(t, func(w http.ResponseWriter, r *http.Request) {
					asked.add(r)
					tt.answer(w, r)
				})
				tt.part.URL, tt.config.Client = address, n.Client
				_, _, err := get(t, tt.config, tt.part, filepath.Join(t.TempDir(), "m"))
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				if got := len(asked.all()); got != tt.requests {
					t.Errorf("%d requests, want %d", got, tt.requests)
				}
			})
		})
	}
}

// TestRedirectSecrets: credentials stay with the host they are for.
func TestRedirectSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(1000, 0)
		seen := make(map[string]string)
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			seen[r.Host+r.URL.Path] = r.Header.Get("Authorization")
			switch r.Host + r.URL.Path {
			case "127.0.0.1/model":
				http.Redirect(w, r, "/same", http.StatusFound)
			case "127.0.0.1/same":
				http.Redirect(w, r, "http://127.0.0.2/other", http.StatusFound)
			default:
				serveRange(w, r, b, "")
			}
		})
		p := weights.Part{URL: address, SHA256: sum(b), Header: map[string]string{"Authorization": "Bearer sesame"}}
		if _, _, err := get(t, fetch.Config{Client: n.Client}, p, filepath.Join(t.TempDir(), "m")); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"127.0.0.1/model": "Bearer sesame", "127.0.0.1/same": "Bearer sesame", "127.0.0.2/other": ""}
		if d := cmp.Diff(want, seen); d != "" {
			t.Errorf("credentials (-want +got):\n%s", d)
		}
	})
}

// TestStrangeRanges: answers to a resumed request that do not fit.
func TestStrangeRanges(t *testing.T) {
	t.Parallel()
	b := content(200_000, 0)
	for _, tt := range []struct {
		name   string
		second http.HandlerFunc
	}{
		{"other range", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 5-199999/200000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[5:])
		}},
		{"no range", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[100_000:])
		}},
		{"not satisfiable", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes */50")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}},
		{"ends early", func(w http.ResponseWriter, r *http.Request) { cut(w, r, b, "", 10) }},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 100000-149999/150000")
			w.WriteHeader(http.StatusPartialContent)
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(b[100_000:])
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked requests
				n := connect(t, func(w http.ResponseWriter, r *http.Request) {
					switch asked.add(r) {
					case 1:
						cut(w, r, b, "", 100_000)
					case 2:
						tt.second(w, r)
					default:
						serveRange(w, r, b, "")
					}
				})
				_, _, err := get(t, fetch.Config{Client: n.Client}, weights.Part{URL: address, SHA256: sum(b)}, filepath.Join(t.TempDir(), "m"))
				if err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestWholeAlready: a kill between the last byte and the final name.
func TestWholeAlready(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := content(200_000, 0)
		n := connect(t, func(w http.ResponseWriter, r *http.Request) { serveRange(w, r, b, "") })
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path+".part", b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, s, err := get(t, fetch.Config{Client: n.Client, Tries: 1}, weights.Part{URL: address, SHA256: sum(b)}, path)
		if err != nil || s.set[0] != 200_000 {
			t.Fatalf("error %v, progress %v", err, s.set)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := content(200_000, 0)
		n := connect(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b[:100_000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		go func() {
			synctest.Wait()
			cancel()
		}()
		path := filepath.Join(t.TempDir(), "m")
		_, err := fetch.New(fetch.Config{Client: n.Client}).Fetch(ctx, weights.Part{URL: address, SHA256: sum(b)}, path, new(steps))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
		if info, err := os.Stat(path + ".part"); err != nil || info.Size() != 100_000 {
			t.Errorf("the beginning is not kept: %v", err)
		}
	})
}

func TestLocalFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := content(200_000, 0)
	from := filepath.Join(dir, "a file with % and spaces")
	if err := os.WriteFile(from, b, 0o600); err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(from)}
	if _, _, err := get(t, fetch.Config{}, weights.Part{URL: u.String(), SHA256: sum(b)}, filepath.Join(dir, "m")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, fetch.Config{}, weights.Part{URL: u.String(), SHA256: sum(b[1:])}, filepath.Join(dir, "n")); !errors.Is(err, weights.ErrDigest) {
		t.Errorf("error %v, want ErrDigest", err)
	}
	u.Path = filepath.ToSlash(dir)
	if _, _, err := get(t, fetch.Config{}, weights.Part{URL: u.String()}, filepath.Join(dir, "o")); err == nil || !strings.Contains(err.Error(), "plain file") {
		t.Errorf("a folder: error %v", err)
	}
}

// TestLinkInTheWay: a link where the partial file belongs is not followed.
func TestLinkInTheWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	from := filepath.Join(dir, "from")
	for _, f := range []string{victim, from} {
		if err := os.WriteFile(f, []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(victim, filepath.Join(dir, "m.part")); err != nil {
		t.Fatal(err)
	}
	_, _, err := get(t, fetch.Config{}, weights.Part{URL: "file://" + filepath.ToSlash(from)}, filepath.Join(dir, "m"))
	if err == nil || !strings.Contains(err.Error(), "plain file") {
		t.Errorf("error %v, want a refusal", err)
	}
	if b, _ := os.ReadFile(victim); string(b) != victim {
		t.Error("the file behind the link was changed")
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://example.com/x":            true,
		"http://127.0.0.1:8080/x":          true,
		"http://[::1]/x":                   true,
		"http://localhost/x":               true,
		"http://127.8.9.1/x":               true,
		"http://example.com/x":             false,
		"http://localhost.example.com/x":   false,
		"http://127.0.0.1.example.com/x":   false,
		"http://10.0.0.1/x":                false,
		"ftp://example.com/x":              false,
		"file:///tmp/x":                    true,
		"file://elsewhere/x":               false,
		"https:///x":                       false,
		"//example.com/x":                  false,
		"http://example.com@127.0.0.1/x":   true,
		"http://127.0.0.1@example.com/x":   false,
		"javascript:alert(1)":              false,
		"https:example.com":                false,
		"http://0x7f.1/x":                  false,
		"http://[::ffff:127.0.0.1]:8080/x": true,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := fetch.Allowed(u); (err == nil) != want {
			t.Errorf("%s: error %v, allowed should be %v", address, err, want)
		}
	}
	_, _, err := get(t, fetch.Config{}, weights.Part{URL: "http://user:sesame@example.com/x?sesame#sesame"}, filepath.Join(t.TempDir(), "m"))
	if !errors.Is(err, weights.ErrRefused) {
		t.Errorf("error %v, want ErrRefused", err)
	}
	if _, _, err := get(t, fetch.Config{}, weights.Part{URL: "http://sesame:%zz/"}, filepath.Join(t.TempDir(), "m")); err == nil {
		t.Error("a malformed address is accepted")
	}
}
