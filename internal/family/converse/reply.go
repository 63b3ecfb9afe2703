package converse

import (
	"math"
	"time"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// ConverseResponse is the output for a whole reply. A reply without text has an
// empty list of blocks.
func (Codec) ConverseResponse(r *llm.Response) *rt.ConverseOutput {
	blocks := make([]rt.ContentBlock, len(r.Content))
	for i := range r.Content {
		blocks[i].Text = &r.Content[i].Text
	}
	return &rt.ConverseOutput{
		Output: &rt.ConverseOutputContent{Message: &rt.Message{
			Role: new(rt.ConversationRoleAssistant), Content: blocks,
		}},
		StopReason: stopReason(r.Reason),
		Usage:      usage(r.Usage),
		Metrics:    &rt.ConverseMetrics{LatencyMs: millis(r.Latency)},
	}
}

// ConverseEvents turns the events of a reply into those of ConverseStream as
// they come: messageStart, contentBlockDelta and contentBlockStop, messageStop,
// metadata. Text blocks have no contentBlockStart. Each value is a new
// *bedrockruntime.ConverseStreamEvent; an error is passed on and ends the
// stream.
func (Codec) ConverseEvents(events llm.Events) awsapi.Events {
	return func(yield func(any, error) bool) {
		for ev, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			if out := event(&ev); out != nil && !yield(out, nil) {
				return
			}
		}
	}
}

// event is the stream's event for ev, nil when there is none.
func event(ev *llm.Event) *rt.ConverseStreamEvent {
	switch ev.Kind {
	case llm.Start:
		return &rt.ConverseStreamEvent{MessageStart: &rt.MessageStartEvent{Role: new(rt.ConversationRoleAssistant)}}
	case llm.Delta:
		if ev.Text == "" {
			return nil
		}
		return delta(ev.Text, count(ev.Index))
	case llm.BlockStop:
		return &rt.ConverseStreamEvent{ContentBlockStop: &rt.ContentBlockStopEvent{ContentBlockIndex: new(count(ev.Index))}}
	case llm.Stop:
		return &rt.ConverseStreamEvent{MessageStop: &rt.MessageStopEvent{StopReason: stopReason(ev.Reason)}}
	case llm.Done:
		return &rt.ConverseStreamEvent{Metadata: &rt.ConverseStreamMetadataEvent{
			Usage: usage(ev.Usage), Metrics: &rt.ConverseStreamMetrics{LatencyMs: millis(ev.Latency)},
		}}
	}
	return nil
}

// delta makes a contentBlockDelta with all its parts in one allocation.
func delta(text string, index int32) *rt.ConverseStreamEvent {
	d := &struct {
		ev    rt.ConverseStreamEvent
		block rt.ContentBlockDeltaEvent
		delta rt.ContentBlockDelta
		text  string
		index int32
	}{text: text, index: index}
	d.delta.Text = &d.text
	d.block.Delta, d.block.ContentBlockIndex = &d.delta, &d.index
	d.ev.ContentBlockDelta = &d.block
	return &d.ev
}

func usage(u llm.Usage) *rt.TokenUsage {
	return &rt.TokenUsage{
		InputTokens: new(count(u.InputTokens)), OutputTokens: new(count(u.OutputTokens)),
		TotalTokens: new(count(u.InputTokens + u.OutputTokens)),
	}
}

// count brings n into the range of the API's integers.
func count(n int) int32 { return int32(max(0, min(n, math.MaxInt32))) } // #nosec G115 -- clamped

func millis(d time.Duration) *int64 { return new(d.Milliseconds()) }

// stopReason is the API's word, which llm shares. A reply without a reason
// ended its turn.
func stopReason(r llm.StopReason) *rt.StopReason {
	if r == "" {
		r = llm.EndTurn
	}
	return new(rt.StopReason(r))
}
