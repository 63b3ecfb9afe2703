package valkey_test

import (
	"testing"
	"time"

	client "github.com/valkey-io/valkey-go"

	"github.com/outcrop/outcrop/internal/cache/cachetest"
	"github.com/outcrop/outcrop/internal/cache/valkey"
	"github.com/outcrop/outcrop/internal/valkeytest"
)

func dial(t *testing.T, s *valkeytest.Server) client.Client {
	t.Helper()
	c, err := client.NewClient(client.ClientOption{InitAddress: []string{s.Address}, DisableCache: true, ForceSingleClient: true, PipelineMultiplex: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestStore(t *testing.T) {
	t.Parallel()
	c := dial(t, valkeytest.Start(t, ""))
	cachetest.Run(t, func(t *testing.T) cachetest.Store {
		return cachetest.Store{Store: valkey.New(valkey.Config{Client: c, Prefix: t.Name(), Timeout: time.Minute})}
	})
}

// What is put comes to an end on the server, and two processes share it.
func TestShared(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, "")
	c := dial(t, server)
	one, two := valkey.New(valkey.Config{Client: c}), valkey.New(valkey.Config{Client: dial(t, server)})
	k := cachetest.KeyOf(cachetest.Account, 1)
	if err := one.Put(t.Context(), k, []byte("a reply"), time.Hour); err != nil {
		t.Fatal(err)
	}
	v, ok, err := two.Get(t.Context(), k)
	if err != nil || !ok || string(v) != "a reply" {
		t.Errorf("%q, %t, %v", v, ok, err)
	}
	left, err := c.Do(t.Context(), c.B().Pttl().Key("outcrop:cache:"+k.String()).Build()).AsInt64()
	if err != nil || left <= 0 || left > time.Hour.Milliseconds() {
		t.Errorf("it is kept for %d ms, %v", left, err)
	}
}

// A server that is gone is an error, and is not asked again for a while; a value
// that is too large is none.
func TestAway(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, "")
	s := valkey.New(valkey.Config{Client: dial(t, server)})
	k := cachetest.KeyOf(cachetest.Account, 1)
	if err := s.Put(t.Context(), k, make([]byte, 5<<20), time.Hour); err != nil {
		t.Error(err)
	}
	if _, ok, err := s.Get(t.Context(), k); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	server.Stop(t)
	for range 3 {
		if _, ok, err := s.Get(t.Context(), k); ok || err == nil {
			t.Errorf("%t, %v", ok, err)
		}
	}
}
