package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"runtime/debug"
	"testing"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/datadir"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/weights"
)

// The first start makes a key and tells it; later ones do not.
func TestServe(t *testing.T) {
	t.Parallel()
	o := cli.Options{Data: t.TempDir(), Listen: "127.0.0.1:0"}
	p := Program{Engine: func(Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return scripted.New(), nil }}
	var first *cli.Credentials
	for i := range 2 {
		ctx, stop := context.WithCancel(t.Context())
		var r cli.Ready
		err := p.Serve(ctx, o, weights.Silent, func(ready cli.Ready) {
			r = ready
			resp, err := http.Get(r.Endpoint + "/healthz")
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", resp, err)
			} else {
				_ = resp.Body.Close()
			}
			var used *datadir.InUseError
			if limit := debug.SetMemoryLimit(-1); os.Getenv("GOMEMLIMIT") == "" && limit != 512<<20+heapRoom {
				t.Errorf("the heap may grow to %d bytes", limit)
			}
			if err := p.Serve(ctx, o, weights.Silent, nil); !errors.As(err, &used) {
				t.Errorf("a second server: %v", err)
			}
			stop()
		})
		if err != nil {
			t.Fatal(err)
		}
		if (i == 0) != (r.FirstKey != nil) || len(r.StandIns) == 0 || r.Data != o.Data || r.CAFile != "" || r.Took <= 0 {
			t.Errorf("start %d: %+v", i, r)
		}
		if i == 0 {
			first = r.FirstKey
		}
		l, err := p.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if l.Endpoint != r.Endpoint {
			t.Errorf("env tells %s, the server listened on %s", l.Endpoint, r.Endpoint)
		}
		sec, err := l.Keys.Reveal(t.Context(), first.AccessKeyID)
		if err != nil || string(sec.Reveal()) != first.Secret {
			t.Errorf("the first key: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
