// Command scriptedserver is the command outcrop with a scripted engine in place
// of llama.cpp, for end-to-end tests of what a healthy engine never does. The
// last words of the conversation choose what happens; see scripts.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/document"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func main() {
	if document.InChild() {
		os.Exit(document.Child(os.Stdin, os.Stdout))
	}
	program := app.Program{Engine: func(cfg app.Config, _ *catalog.Catalog, _ *weights.Store) (engine.Engine, error) {
		e := scripted.New()
		e.Limit = &limit.SlotsConfig{N: cfg.Engine.Slots, Wait: cfg.Engine.QueueDeadline, MaxQueue: cfg.Engine.Queue}
		e.Script = work
		return &byText{Engine: e, scripts: scripts()}, nil
	}}
	os.Exit(cli.Main(os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, program))
}

// firstToken is the time that even the fastest engine takes. The Go SDK closes a
// request's body as soon as the reply's header is there, which ends the
// connection when its transport is still looking for the end of that body.
const firstToken = 10 * time.Millisecond

const text = "one two three four five six"

// scripts are the replies by the words that ask for them. "late" ones fail
// after three words, the others before the first.
func scripts() map[string]scripted.Reply {
	failures := map[string]error{
		"throttle":    apierr.Throttling("Too many requests, please wait before trying again."),
		"not ready":   apierr.ModelNotReady("The model is loading."),
		"timeout":     apierr.ModelTimeout("The model made no token in time."),
		"unavailable": apierr.Unavailable("The service is not available now."),
		"error":       apierr.ModelError("The model server failed."),
		"break":       apierr.ModelStreamError("The model server ended in the middle of the reply."),
		"internal":    errors.New("a secret of the inside"),
	}
	all := map[string]scripted.Reply{"block": {Text: text, Block: true}}
	for name, err := range failures {
		all[name] = scripted.Reply{Text: text, Err: err}
		all["late "+name] = scripted.Reply{Text: text, Err: err, After: 3}
	}
	return all
}

// work is the reply to "work": it takes the time of a real one, and a slot. Each
// token has its time after the first, so that late timers do not add up.
func work(_ engine.Target, r *llm.Request) *scripted.Reply {
	content := r.Messages[len(r.Messages)-1].Content
	if content[len(content)-1].Text != "work" {
		return nil
	}
	var begin time.Time
	return &scripted.Reply{Text: text, Pace: func(ctx context.Context, i int) error {
		if i == 0 {
			begin = time.Now()
		}
		t := time.NewTimer(time.Until(begin.Add(time.Duration(i+1) * 30 * time.Millisecond)))
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// byText is a scripted engine that picks the reply by the request.
type byText struct {
	*scripted.Engine // for every request without a script, and all but Generate
	scripts          map[string]scripted.Reply
	counted          atomic.Int64
}

// Generate plays the reply that the last text block names. To what begins with
// "count" it says how many such replies it has made; "count slowly" takes a second.
func (e *byText) Generate(ctx context.Context, t engine.Target, r *llm.Request) llm.Events {
	time.Sleep(firstToken)
	content := r.Messages[len(r.Messages)-1].Content
	asked := content[len(content)-1].Text
	if asked == "panic" {
		panic("a secret of the inside")
	}
	if strings.HasPrefix(asked, "count") {
		reply := scripted.Reply{Text: fmt.Sprintf("reply number %d", e.counted.Add(1))}
		if strings.HasPrefix(asked, "count slowly") {
			reply.Pace = func(ctx context.Context, _ int) error {
				select {
				case <-time.After(time.Second / 3):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return scripted.New(reply).Generate(ctx, t, r)
	}
	if reply, ok := e.scripts[asked]; ok {
		return scripted.New(reply).Generate(ctx, t, r)
	}
	return e.Engine.Generate(ctx, t, r)
}
