package gateway_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/service"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// A dialog may be silent for longer than a client may take to read, before its
// first event as well.
func TestDuplexSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *gateway.Config) {
			c.WriteTimeout = time.Second
			c.Routes = append(c.Routes, service.Bind(rt.OpInvokeModelWithBidirectionalStream, hesitant))
		})
		p, stop := f.overPipes(t)
		client := p.client(2)
		body, events := io.Pipe() // nobody sends any
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/model/m/invoke-with-bidirectional-stream", body)
		if err != nil {
			t.Fatal(err)
		}
		const payload = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
		r.Header.Set("X-Amz-Content-Sha256", payload)
		cred := aws.Credentials{AccessKeyID: f.key.ID, SecretAccessKey: string(f.key.Secret.Reveal())}
		if err := v4.NewSigner().SignHTTP(t.Context(), cred, r, payload, "bedrock", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		frames := eventstream.NewReader(resp.Body)
		for i := range 3 {
			if _, err := frames.Next(); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
		}
		_ = events.Close()
		_ = resp.Body.Close()
		client.CloseIdleConnections()
		stop()
	})
}

// hesitant thinks for a minute before each of its events.
func hesitant(ctx context.Context, _ *call.Call, _ *rt.InvokeModelWithBidirectionalStreamInput) (*rt.InvokeModelWithBidirectionalStreamOutput, error) {
	return &rt.InvokeModelWithBidirectionalStreamOutput{Body: func(yield func(any, error) bool) {
		for range 3 {
			select {
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			case <-time.After(time.Minute):
			}
			part := &rt.BidirectionalOutputPayloadPart{Bytes: []byte("hm")}
			if !yield(&rt.InvokeModelWithBidirectionalStreamOutputEvent{Chunk: part}, nil) {
				return
			}
		}
	}}, nil
}
