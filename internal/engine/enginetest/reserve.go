package enginetest

import (
	"context"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// reserves sets a slot aside, fills all others, and asks for the one. Engines that
// set nothing aside, or not of these weights, must say so.
func (s *suite) reserves(t *testing.T) {
	const holder = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abcdefghij12"
	mine := s.fresh()
	mine.Reserved = holder
	r, ok := s.Engine.(engine.Reserver)
	if !ok {
		return
	}
	WantCode(t, r.Reserve(t.Context(), s.Chat, holder, 1_000_000), apierr.CodeServiceQuotaExceeded)
	if err := r.Reserve(t.Context(), s.Chat, holder, 1); err != nil {
		WantCode(t, err, apierr.CodeServiceQuotaExceeded)
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started, ended := make(chan struct{}, s.Slots), make(chan struct{}, s.Slots)
	for range s.Slots {
		go func() {
			defer func() { ended <- struct{}{} }()
			for ev, err := range s.Engine.Generate(ctx, s.fresh(), Ask(story, 1500)) {
				if err == nil && ev.Kind == llm.Start {
					started <- struct{}{}
				}
			}
		}()
	}
	for range s.Slots - 1 {
		select {
		case <-started:
		case <-ended:
			t.Fatal("a reply ended early")
		case <-time.After(patience):
			t.Fatal("the replies did not start")
		}
	}
	if _, err := llm.Collect(s.Engine.Generate(t.Context(), mine, Ask("Hi", 1))); err != nil {
		t.Errorf("the slot that is set aside: %v", err)
	}
	if len(started) > 0 && len(ended) == 0 {
		t.Error("it was given to another request")
	}
	cancel()
	for range s.Slots {
		<-ended
	}
	if err := r.Reserve(t.Context(), s.Chat, holder, 0); err != nil {
		t.Errorf("give back: %v", err)
	}
	if s.Slots == 0 {
		return
	}
	_, err := llm.Collect(s.Engine.Generate(t.Context(), mine, Ask("Hi", 1)))
	WantCode(t, err, apierr.CodeModelNotReady)
}
