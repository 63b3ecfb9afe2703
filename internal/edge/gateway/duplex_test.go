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
	"github.com/outcrop/outcrop/internal/wire/apierr"
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
		resp, err := client.Do(f.duplex(t, body))
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

// duplex is a signed request whose events come from body.
func (f *fixture) duplex(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
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
	return r
}

// TestDuplexStop: a dialog in which nobody speaks is told that the server stops,
// and does not keep it.
func TestDuplexStop(t *testing.T) {
	t.Parallel()
	for _, major := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			f := start(t, func(c *gateway.Config) {
				c.Routes = append(c.Routes, service.Bind(rt.OpInvokeModelWithBidirectionalStream, listen))
			})
			stopping, end := context.WithCancelCause(t.Context())
			inner := f.handler
			f.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancelCause(r.Context())
				defer cancel(nil)
				defer context.AfterFunc(stopping, func() { cancel(context.Cause(stopping)) })()
				inner.ServeHTTP(w, r.WithContext(ctx))
			})
			p, stop := f.overPipes(t)
			client := p.client(major)
			body, events := io.Pipe()
			resp, err := client.Do(f.duplex(t, body))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			begin := time.Now()
			end(apierr.Unavailable("The server is stopping."))
			frame, err := eventstream.NewReader(resp.Body).Next()
			if err != nil || frame.Text(":exception-type") != "serviceUnavailableException" || time.Since(begin) > time.Second {
				t.Errorf("HTTP/%d: %q after %v, %v", major, frame.Text(":exception-type"), time.Since(begin), err)
			}
			_ = events.Close()
			_ = resp.Body.Close()
			client.CloseIdleConnections()
			stop()
		})
	}
}

// listen takes events until there are no more.
func listen(_ context.Context, _ *call.Call, in *rt.InvokeModelWithBidirectionalStreamInput) (*rt.InvokeModelWithBidirectionalStreamOutput, error) {
	return &rt.InvokeModelWithBidirectionalStreamOutput{Body: func(yield func(any, error) bool) {
		for _, err := range in.Body {
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}}, nil
}
