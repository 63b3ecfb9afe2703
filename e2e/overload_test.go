package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
)

// tally is what an account got.
type tally struct {
	mu      sync.Mutex
	tokens  int
	replies int
	refused int
	wrong   []error
}

// work sends calls that take a slot for 0.2 s, without retries, until ctx ends: the
// next when the last is answered, but not within every of it.
func (y *tally) work(ctx context.Context, rt *bedrockruntime.Client, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		out, err := rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String("amazon.nova-lite-v1:0"), Messages: say("work")},
			func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 })
		if ctx.Err() != nil {
			return
		}
		y.note(out, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (y *tally) note(out *bedrockruntime.ConverseOutput, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if err == nil {
		y.replies++
		y.tokens += int(*out.Usage.TotalTokens)
		return
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "ThrottlingException", "ModelNotReadyException", "ServiceUnavailableException":
			y.refused++
			return
		}
	}
	y.wrong = append(y.wrong, err)
}

// TestOverload has a hundred clients of two accounts, four to one, send several times
// what four slots can do. Goodput stays where it was, every answer is a reply or an
// error to try again, both accounts get the same, and boto3's default retries bring
// calls home that begin right before the end of it. The long form is bench -overload.
func TestOverload(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	var made struct {
		AccessKeyID string `json:"access_key_id"`
		Secret      string `json:"secret"`
	}
	if err := json.Unmarshal(cliOutput(t, srv, "accounts", "create", "small", "--json"), &made); err != nil {
		t.Fatal(err)
	}
	second := func(c *aws.Config) {
		c.Credentials = credentials.NewStaticCredentialsProvider(made.AccessKeyID, made.Secret, "")
	}
	// run lets clients work for a while; one in five belongs to the second account.
	run := func(clients int, last, every time.Duration) (large, small *tally) {
		large, small = &tally{}, &tally{}
		ctx, cancel := context.WithTimeout(t.Context(), last)
		defer cancel()
		var wg sync.WaitGroup
		for i := range clients {
			rt, to := newGoClients(srv).rt, large
			if i%5 == 4 {
				rt, to = newGoClients(srv, second).rt, small
			}
			wg.Go(func() { to.work(ctx, rt, every) })
		}
		wg.Wait()
		return large, small
	}
	const calm, flood = 3 * time.Second, 10 * time.Second
	a, b := run(8, calm, time.Microsecond)
	peak := float64(a.replies+b.replies) / calm.Seconds()
	if a.refused+b.refused+len(a.wrong)+len(b.wrong) > 0 {
		t.Fatalf("before the flood: %d refusals, %v", a.refused+b.refused, append(a.wrong, b.wrong...))
	}
	end := time.Now().Add(flood)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a, b = run(100, flood, 400*time.Millisecond)
	}()
	runCases(t, srv, "retry_cases.py", fmt.Sprintf("AT=%d", end.Add(-time.Second).Unix()))
	<-done
	goodput := float64(a.replies+b.replies) / flood.Seconds()
	calls := a.replies + b.replies + a.refused + b.refused
	t.Logf("%.1f replies/s before, %.1f under %d calls in %s; %d and %d tokens", peak, goodput, calls, flood, a.tokens, b.tokens)
	for _, err := range append(a.wrong, b.wrong...) {
		t.Error(err)
	}
	if goodput < 0.9*peak || calls < 3*(a.replies+b.replies) {
		t.Errorf("%.1f of %.1f replies/s, %d of %d calls", goodput, peak, a.replies+b.replies, calls)
	}
	if even := float64(a.tokens+b.tokens) / 2; float64(min(a.tokens, b.tokens)) < 0.9*even {
		t.Errorf("%d tokens to one account, %d to the other", a.tokens, b.tokens)
	}
}
