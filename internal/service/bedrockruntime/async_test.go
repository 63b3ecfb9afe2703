package bedrockruntime

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/object"
)

// keeper keeps the keys that were put, and refuses to put the one named bad.
type keeper struct {
	object.Store
	put []string
	bad string
}

var errFull = errors.New("disk full")

func (k *keeper) Put(_ context.Context, _ string, ref object.Ref, _ io.Reader, _ object.Options) error {
	if ref.Key == k.bad {
		return errFull
	}
	k.put = append(k.put, ref.Key)
	return nil
}

func (*keeper) Add(meter.Record) error { return nil }

// TestManifestComesLast: nobody finds a manifest without its result.
func TestManifestComesLast(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string][]string{
		"":                             {"a/aaaaaaaaaaaa/output.json", "a/aaaaaaaaaaaa/manifest.json"},
		"a/aaaaaaaaaaaa/output.json":   nil,
		"a/aaaaaaaaaaaa/manifest.json": {"a/aaaaaaaaaaaa/output.json"},
	} {
		s, _, _ := newService(chat())
		k := &keeper{bad: bad}
		s.cfg.Async.Objects, s.cfg.Async.Meter = k, k
		err := s.RunAsync(t.Context(), jobs.Job{Account: "000000000000", ID: "aaaaaaaaaaaa", Spec: []byte(`{"model_id":"a.b","uri":"s3://bucket/a"}`), Input: []byte("text")})
		if (bad == "") != (err == nil) || err != nil && !errors.Is(err, errFull) {
			t.Errorf("%q: %v", bad, err)
		}
		if d := cmp.Diff(want, k.put); d != "" {
			t.Errorf("%q: -want +got:\n%s", bad, d)
		}
	}
}
