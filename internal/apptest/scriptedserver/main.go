// Command scriptedserver is outcrop serve with a script instead of a model, for
// tests that need an engine to fail on demand. The last user text chooses what
// happens:
//
//	throttle       ThrottlingException before the first event
//	not ready      ModelNotReadyException before the first event
//	model error    ModelErrorException before the first event
//	timeout        ModelTimeoutException before the first event
//	break          three deltas, then ModelStreamErrorException
//	endless        deltas until the caller goes away or the output limit
//	anything else  a fixed sentence
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "scriptedserver:", err)
		os.Exit(1)
	}
}

func run() error {
	data := flag.String("data", "", "data directory; required")
	listen := flag.String("listen", "127.0.0.1:0", "HOST:PORT")
	flag.Parse()
	if *data == "" {
		return errors.New("--data is missing")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := app.Config{DataDir: *data, Listen: *listen}
	s, err := app.New(ctx, cfg, nil, func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) {
		return prompted{scripted.New()}, nil
	})
	if err != nil {
		return err
	}
	k, err := s.Keys().Create(ctx, keys.CreateInput{Account: keys.DefaultAccount})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return s.Run(ctx, func(context.Context) error {
		fmt.Printf("ready %s %s %s\n", s.Endpoint(), k.ID, k.Secret.Reveal())
		return nil
	})
}

// prompted plays the reply that the last user text asks for.
type prompted struct{ *scripted.Engine }

func (p prompted) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	return scripted.New(reply(r)).Generate(ctx, t, r)
}

func reply(r *llm.Request) scripted.Reply {
	switch last := lastUser(r); {
	case strings.Contains(last, "throttle"):
		return scripted.Reply{Err: apierr.Throttling("Too many requests, please wait before trying again.")}
	case strings.Contains(last, "not ready"):
		return scripted.Reply{Err: apierr.ModelNotReady("The model is not ready for inference.")}
	case strings.Contains(last, "model error"):
		return scripted.Reply{Err: apierr.ModelError("The model failed.")}
	case strings.Contains(last, "timeout"):
		return scripted.Reply{Err: apierr.ModelTimeout("The model took too long.")}
	case strings.Contains(last, "break"):
		return scripted.Reply{Text: "one two three four five", Err: apierr.ModelStreamError("The model stopped in mid-reply."), After: 3}
	case strings.Contains(last, "endless"):
		return scripted.Reply{Text: "on and on", Endless: true, Pace: pace}
	default:
		return scripted.Reply{Text: "This reply comes from a script."}
	}
}

// pace makes some hundred deltas a second.
func pace(ctx context.Context, _ int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

func lastUser(r *llm.Request) string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role != llm.User {
			continue
		}
		var b strings.Builder
		for _, c := range r.Messages[i].Content {
			b.WriteString(c.Text)
		}
		return b.String()
	}
	return ""
}
