package progress_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/progress"
)

// clock is moved by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestLines(t *testing.T) {
	t.Parallel()
	c := &clock{t: time.Unix(1000, 0)}
	var out bytes.Buffer
	p := progress.Lines(&out, c.now)
	s := p.Start("model", 0)
	s.Total(100e6)
	s.Set(40e6) // resumed
	for range 30 {
		c.t = c.t.Add(500 * time.Millisecond)
		s.Add(2e6)
	}
	s.Done(nil)
	p.Start("convert", 0).Done(nil)
	s = p.Start("broken", 5e9)
	s.Done(errors.New("secret details"))
	want := `model
model: 50.0 MB of 100.0 MB (4.0 MB/s, 13 s left)
model: 60.0 MB of 100.0 MB (4.0 MB/s, 10 s left)
model: 70.0 MB of 100.0 MB (4.0 MB/s, 8 s left)
model: 80.0 MB of 100.0 MB (4.0 MB/s, 5 s left)
model: 90.0 MB of 100.0 MB (4.0 MB/s, 3 s left)
model: 100.0 MB of 100.0 MB (4.0 MB/s)
model: done, 100.0 MB in 15 s
convert
convert: done
broken: 5.0 GB
broken: failed
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
}

// TestLinesSlow: a step that hardly moves says so every ten seconds.
func TestLinesSlow(t *testing.T) {
	t.Parallel()
	c := &clock{t: time.Unix(1000, 0)}
	var out bytes.Buffer
	s := progress.Lines(&out, c.now).Start("slow", 1e9)
	for range 60 {
		c.t = c.t.Add(time.Second)
		s.Add(1000)
	}
	if n := strings.Count(out.String(), "\n"); n != 1+6 {
		t.Errorf("%d lines in a minute, want 7:\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), "1.0 kB/s, 278 h left") {
		t.Errorf("no rate or time left:\n%s", out.String())
	}
}

func TestForFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	progress.For(f).Start("step", 0).Done(nil)
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != "step\nstep: done\n" {
		t.Errorf("a file got %q, want plain lines", b)
	}
}

// TestBars: several steps at once, twice, and nothing is left running.
func TestBars(t *testing.T) {
	t.Parallel()
	out := new(syncBuffer)
	p := progress.Bars(out)
	for _, round := range []string{"first", "second"} {
		var wg sync.WaitGroup
		for _, name := range []string{"alpha", "beta"} {
			wg.Go(func() {
				s := p.Start(round+" "+name, 0)
				s.Total(1000)
				s.Set(500)
				s.Add(500)
				if name == "beta" {
					s.Done(errors.New("boom"))
					return
				}
				s.Done(nil)
			})
		}
		wg.Wait()
		s := out.String()
		if i := strings.LastIndex(s, round+" beta"); !strings.Contains(s[max(i, 0):], "failed") {
			t.Errorf("%s round: the last look at a failed step does not say so:\n%s", round, s)
		}
		for _, want := range []string{round + " alpha", "1.0 kB, done", round + " beta", "failed"} {
			if !strings.Contains(s, want) {
				t.Errorf("%s round: %q is missing in\n%s", round, want, s)
			}
		}
	}
	p.Start("wait", 0).Done(nil)
	if s := out.String(); !strings.Contains(s, "wait") || !strings.HasSuffix(strings.TrimSpace(s), "done") {
		t.Errorf("a step without bytes does not end in done:\n%s", s)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
