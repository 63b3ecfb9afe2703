package acceptance

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/valkeytest"
)

// The quota under test, in tokens a minute, and how many times as much is asked for.
const (
	tokensPerMinute = 12_000
	demand          = 10
)

// TestTokenQuota asks for ten times what a quota of tokens admits: over one server
// that counts for itself, and over two that count in one Valkey server. With -full it
// does so for three minutes, and what is admitted is within 5 % of the quota; else
// for a few seconds, and what is admitted is no more than the quota and its burst.
func TestTokenQuota(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		servers int
	}{{"one server", 1}, {"two servers, one Valkey", 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var shared string
			if c.servers > 1 {
				shared = valkeytest.Start(t, "").Address
			}
			clients := make([]*bedrockruntime.Client, c.servers)
			for i := range clients {
				clients[i] = limitedServer(t, shared)
			}
			testTokenQuota(t, clients)
		})
	}
}

// limitedServer starts a server whose account has the quota.
func limitedServer(t *testing.T, valkey string) *bedrockruntime.Client {
	t.Helper()
	data := t.TempDir()
	start := func() *apptest.Server {
		return apptest.Start(t, apptest.Data(data), apptest.Engine(scripted.New(scripted.Reply{Deltas: scripted.Split("the keeper lights the lamp"), Endless: true})),
			apptest.Config(func(c *app.Config) {
				if valkey != "" {
					c.Valkey.Addresses, c.Valkey.Timeout = []string{valkey}, 10*time.Second
				}
			}))
	}
	s := start()
	s.Stop(t)
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(data, "outcrop.db")})
	if err != nil {
		t.Fatal(err)
	}
	q, err := quota.Open(t.Context(), quota.Config{Records: db})
	if err == nil {
		err = q.Set(t.Context(), quota.Setting{Account: s.Account, Kind: quota.Tokens, Value: tokensPerMinute})
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return start().Runtime()
}

func testTokenQuota(t *testing.T, clients []*bedrockruntime.Client) {
	const callers, output = 16, 40
	length := 6 * time.Second
	if *full {
		length = 3 * time.Minute
	}
	var admitted, calls, throttled atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			// A call takes some 50 tokens.
			tick := time.NewTicker(time.Minute * callers * 50 / (tokensPerMinute * demand))
			defer tick.Stop()
			for ctx.Err() == nil {
				out, err := clients[i%len(clients)].Converse(t.Context(), &bedrockruntime.ConverseInput{
					ModelId:         aws.String("amazon.titan-text-lite-v1"),
					Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Tell me of the keeper."}}}},
					InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(output)},
				}, func(o *bedrockruntime.Options) { o.Retryer = aws.NopRetryer{} })
				calls.Add(1)
				switch {
				case err == nil:
					admitted.Add(int64(aws.ToInt32(out.Usage.TotalTokens)))
				case errors.As(err, new(*types.ThrottlingException)):
					throttled.Add(1)
				default:
					t.Errorf("%v", err)
					return
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	quota := tokensPerMinute * took.Minutes()
	share := float64(admitted.Load()) / quota
	t.Logf("%s: %d calls, %d throttled; %d tokens admitted, %.3f of the quota", took.Round(time.Second), calls.Load(), throttled.Load(), admitted.Load(), share)
	if throttled.Load() == 0 {
		t.Error("nothing was throttled: the check could not fail")
	}
	// What may be used at once, and what the calls in flight may have gone into debt.
	const burst, debt = tokensPerMinute / 10, callers * 400
	if float64(admitted.Load()) > quota+burst+debt {
		t.Errorf("%d tokens were admitted, the quota and its burst are %.0f", admitted.Load(), quota+burst)
	}
	if *full && (share < 0.95 || share > 1.05) {
		t.Errorf("%.3f of the quota was admitted, want 0.95 to 1.05", share)
	}
}
