package acceptance

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
)

// TestSwap calls two models at random on memory that holds one: no call is broken
// off by the other model's load. bench -swap is its long form, with three models.
func TestSwap(t *testing.T) {
	t.Parallel()
	var log deaths
	p := &product{}
	p.Server = apptest.Start(t, apptest.RealEngine(), apptest.Log(log.logger()), apptest.Config(func(c *app.Config) {
		c.Engine.MaxContext = contextTokens
		c.Engine.MemoryLimit = 400 << 20 // SmolLM2 takes some 350 MiB, MiniLM 140
		c.Engine.QueueDeadline = 10 * time.Minute
	}))
	c := p.account(t)
	var (
		wg    sync.WaitGroup
		calls [2]atomic.Int64
		late  atomic.Int64
	)
	end := time.Now().Add(20 * time.Second)
	for i := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(*seed, uint64(i))) // #nosec G115 -- small
			for n := 0; n < 4 || time.Now().Before(end); n++ {
				which := (n + i + r.IntN(2)) % 2
				var err error
				if which == 0 {
					_, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{
						ModelId:         aws.String(smollm),
						Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Count the ships."}}}},
						InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(4)},
					})
				} else {
					_, err = c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{
						ModelId: aws.String(minilm), ContentType: aws.String("application/json"), Body: []byte(`{"inputText":"` + strings.Repeat("ships ", 20) + `"}`),
					})
				}
				var busy *types.ThrottlingException
				var loading *types.ModelNotReadyException
				switch {
				case err == nil:
					calls[which].Add(1)
				case errors.As(err, &busy), errors.As(err, &loading):
					late.Add(1)
				default:
					t.Errorf("a call failed: %v", err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d and %d calls, %d told to come back later, %d loads", calls[0].Load(), calls[1].Load(), late.Load(), log.loads.Load())
	if calls[0].Load() == 0 || calls[1].Load() == 0 || log.loads.Load() < 2 {
		t.Error("the models did not take turns")
	}
	if n := log.deaths.Load(); n > 0 {
		t.Errorf("%d processes died by themselves", n)
	}
}
