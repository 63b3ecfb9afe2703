package llamacpp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/llm"
)

// BenchmarkFirstToken compares the time to the first token through the engine
// with that of the bare server (here a fake that answers at once).
func BenchmarkFirstToken(b *testing.B) {
	c := fake{}.config(b)
	dir := b.TempDir()
	c.RunDir = dir
	e := llamacpp.New(c)
	enginetest.Start(b, e)
	if err := e.Load(b.Context(), targetA); err != nil {
		b.Fatal(err)
	}
	req := enginetest.Ask("x", 1)
	b.Run("engine", func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			begin := time.Now()
			for ev, err := range e.Generate(b.Context(), targetA, req) {
				if err != nil {
					b.Fatal(err)
				}
				if ev.Kind == llm.Delta {
					took = append(took, time.Since(begin))
				}
			}
		}
		report(b, took)
	})
	for name, fresh := range map[string]bool{"bare kept connection": false, "bare new connection": true} {
		b.Run(name, func(b *testing.B) {
			tr := &http.Transport{DisableKeepAlives: fresh, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "e1", "s.sock"))
			}}
			defer tr.CloseIdleConnections()
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				resp, err := tr.RoundTrip(must(http.NewRequestWithContext(b.Context(), http.MethodPost, "http://x/v1/chat/completions",
					strings.NewReader(`{"messages":[{"role":"user","content":"x"}],"max_tokens":1,"stream":true}`))))
				if err != nil {
					b.Fatal(err)
				}
				buf := make([]byte, 4096)
				for got := ""; !strings.Contains(got, `" t"`); {
					n, err := resp.Body.Read(buf)
					if got += string(buf[:n]); err != nil && !strings.Contains(got, `" t"`) {
						b.Fatal(err)
					}
				}
				took = append(took, time.Since(begin))
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			report(b, took)
		})
	}
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return r
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
