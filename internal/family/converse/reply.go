package converse

import (
	"math"
	"time"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// emptyInput is the input of a tool that wants none.
const emptyInput = "{}"

// ConverseResponse is the output for a whole reply to in. A reply without text
// has an empty list of blocks.
//
// usage.inputTokens leaves out what a cache point covers; that is told in
// cacheReadInputTokens and cacheWriteInputTokens, which stand only where the
// request had a cache point. performanceConfig and serviceTier are those that were
// asked for, absent when none were.
func (c Codec) ConverseResponse(m family.Model, in *rt.ConverseInput, r *llm.Response) *rt.ConverseOutput {
	blocks := make([]rt.ContentBlock, 0, len(r.Content))
	calls := calls{single: single(in)}
	for i := range r.Content {
		if b := &r.Content[i]; calls.take(b.Kind) {
			blocks = append(blocks, contentBlock(b))
		}
	}
	cache := lastCache(in)
	out := &struct { // all its parts in one allocation
		rt.ConverseOutput
		content rt.ConverseOutputContent
		message rt.Message
		metrics rt.ConverseMetrics
		role    rt.ConversationRole
		latency int64
	}{role: rt.ConversationRoleAssistant, latency: r.Latency.Milliseconds()}
	out.message.Role, out.message.Content = &out.role, blocks
	out.content.Message = &out.message
	out.metrics.LatencyMs = &out.latency
	out.ConverseOutput = rt.ConverseOutput{
		Output: &out.content, StopReason: stopReason(r.Reason), Usage: usage(r.Usage, cache), Metrics: &out.metrics,
		AdditionalModelResponseFields: c.fields(m, in, r.Reason, r.StopSequence, r.Usage, cache != nil),
		PerformanceConfig:             in.PerformanceConfig,
		ServiceTier:                   in.ServiceTier,
	}
	return &out.ConverseOutput
}

// calls leaves out the tool calls after the first where one is the most.
type calls struct {
	single bool
	seen   int
}

// take reports whether the next block of a reply is told.
func (c *calls) take(kind llm.BlockKind) bool {
	if kind != llm.ToolCall {
		return true
	}
	c.seen++
	return !c.single || c.seen == 1
}

func contentBlock(b *llm.Block) rt.ContentBlock {
	switch b.Kind {
	case llm.ToolCall:
		return rt.ContentBlock{ToolUse: &rt.ToolUseBlock{
			ToolUseId: &b.Call.ID, Name: &b.Call.Name, Input: toolInput(b.Call.Input),
		}}
	case llm.Reasoning:
		if b.Redacted != nil {
			return rt.ContentBlock{ReasoningContent: &rt.ReasoningContentBlock{RedactedContent: b.Redacted}}
		}
		t := &rt.ReasoningTextBlock{Text: &b.Text}
		if b.Signature != "" {
			t.Signature = &b.Signature
		}
		return rt.ContentBlock{ReasoningContent: &rt.ReasoningContentBlock{ReasoningText: t}}
	default:
		return rt.ContentBlock{Text: &b.Text}
	}
}

// toolInput is the input of a call as a document. What is no whole object, because
// the reply ended by its token limit, is an empty one: a document must be JSON.
func toolInput(input []byte) awsapi.Document {
	if _, ok := object(input); !ok {
		return awsapi.Document(emptyInput)
	}
	return awsapi.Document(input)
}

// ConverseEvents turns the events of a reply to in into those of ConverseStream as
// they come: messageStart, then for each block contentBlockStart (of tool calls
// alone), contentBlockDelta and contentBlockStop, then messageStop and metadata.
// The deltas of a tool call join to one JSON object. Each value is a new
// *bedrockruntime.ConverseStreamEvent; an error is passed on and ends the stream.
func (c Codec) ConverseEvents(m family.Model, in *rt.ConverseStreamInput, events llm.Events) awsapi.Events {
	whole := unstreamed(in)
	return func(yield func(any, error) bool) {
		s := stream{codec: c, model: m, in: whole, cache: lastCache(whole), calls: calls{single: single(whole)}}
		emit := func(ev *rt.ConverseStreamEvent) bool { return yield(ev, nil) }
		for ev, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			if !s.event(&ev, emit) {
				return
			}
		}
	}
}

// stream is one reply on its way.
type stream struct {
	codec Codec
	model family.Model
	in    *rt.ConverseInput
	cache *rt.CachePointBlock

	calls calls
	left  int  // blocks that are not told
	skip  bool // the open block is one of them
	empty bool // the open block is a tool call without input so far
	stop  llm.Event
}

// event emits what ev makes and reports whether the reader wants more.
func (s *stream) event(ev *llm.Event, emit func(*rt.ConverseStreamEvent) bool) bool {
	if s.leaves(ev) {
		return true
	}
	index := count(ev.Index - s.left)
	switch ev.Kind {
	case llm.Start:
		return emit(&rt.ConverseStreamEvent{MessageStart: &rt.MessageStartEvent{Role: new(rt.ConversationRoleAssistant)}})
	case llm.BlockStart:
		s.empty = ev.Block == llm.ToolCall
		return !s.empty || emit(blockStart(ev, index))
	case llm.Delta:
		if ev.Text == "" {
			return true
		}
		s.empty = false
		return emit(delta(ev.Block, ev.Text, index))
	case llm.BlockStop:
		if s.empty && !emit(delta(llm.ToolCall, emptyInput, index)) {
			return false
		}
		s.empty = false
		if ev.Signature != "" && !emit(signature(ev, index)) {
			return false
		}
		return emit(&rt.ConverseStreamEvent{ContentBlockStop: &rt.ContentBlockStopEvent{ContentBlockIndex: new(index)}})
	case llm.Stop:
		if s.stop = *ev; len(s.in.AdditionalModelResponseFieldPaths) > 0 {
			return true // the fields tell the usage, which comes with Done
		}
		return emit(s.messageStop(llm.Usage{}))
	case llm.Done:
		if len(s.in.AdditionalModelResponseFieldPaths) > 0 && !emit(s.messageStop(ev.Usage)) {
			return false
		}
		return emit(&rt.ConverseStreamEvent{Metadata: &rt.ConverseStreamMetadataEvent{
			Usage: usage(ev.Usage, s.cache), Metrics: &rt.ConverseStreamMetrics{LatencyMs: millis(ev.Latency)},
			PerformanceConfig: s.in.PerformanceConfig, ServiceTier: s.in.ServiceTier,
		}})
	}
	return true
}

// leaves reports whether ev belongs to a block that is not told.
func (s *stream) leaves(ev *llm.Event) bool {
	switch {
	case ev.Kind == llm.BlockStart:
		s.skip = !s.calls.take(ev.Block)
	case ev.Kind == llm.BlockStop && s.skip:
		s.skip = false
		s.left++
		return true
	}
	return s.skip
}

func (s *stream) messageStop(u llm.Usage) *rt.ConverseStreamEvent {
	return &rt.ConverseStreamEvent{MessageStop: &rt.MessageStopEvent{
		StopReason:                    stopReason(s.stop.Reason),
		AdditionalModelResponseFields: s.codec.fields(s.model, s.in, s.stop.Reason, s.stop.StopSequence, u, s.cache != nil),
	}}
}

func blockStart(ev *llm.Event, index int32) *rt.ConverseStreamEvent {
	call := ev.Call
	if call == nil {
		call = &llm.Call{}
	}
	return &rt.ConverseStreamEvent{ContentBlockStart: &rt.ContentBlockStartEvent{
		ContentBlockIndex: &index,
		Start:             &rt.ContentBlockStart{ToolUse: &rt.ToolUseBlockStart{ToolUseId: &call.ID, Name: &call.Name}},
	}}
}

func signature(ev *llm.Event, index int32) *rt.ConverseStreamEvent {
	return &rt.ConverseStreamEvent{ContentBlockDelta: &rt.ContentBlockDeltaEvent{
		ContentBlockIndex: &index,
		Delta:             &rt.ContentBlockDelta{ReasoningContent: &rt.ReasoningContentBlockDelta{Signature: new(ev.Signature)}},
	}}
}

// delta makes a contentBlockDelta with all its parts in one allocation.
func delta(kind llm.BlockKind, text string, index int32) *rt.ConverseStreamEvent {
	d := &struct {
		ev    rt.ConverseStreamEvent
		block rt.ContentBlockDeltaEvent
		delta rt.ContentBlockDelta
		text  string
		index int32
	}{text: text, index: index}
	switch kind {
	case llm.ToolCall:
		d.delta.ToolUse = &rt.ToolUseBlockDelta{Input: &d.text}
	case llm.Reasoning:
		d.delta.ReasoningContent = &rt.ReasoningContentBlockDelta{Text: &d.text}
	default:
		d.delta.Text = &d.text
	}
	d.block.Delta, d.block.ContentBlockIndex = &d.delta, &d.index
	d.ev.ContentBlockDelta = &d.block
	return &d.ev
}

// usage tells the tokens; cache is the cache point of the request, nil for none.
func usage(u llm.Usage, cache *rt.CachePointBlock) *rt.TokenUsage {
	all := &struct {
		rt.TokenUsage
		input, output, total int32
	}{input: count(u.Uncached()), output: count(u.OutputTokens), total: count(u.InputTokens + u.OutputTokens)}
	out := &all.TokenUsage
	out.InputTokens, out.OutputTokens, out.TotalTokens = &all.input, &all.output, &all.total
	if cache == nil {
		return out
	}
	out.CacheReadInputTokens, out.CacheWriteInputTokens = new(count(u.CacheRead)), new(count(u.CacheWrite))
	if u.CacheWrite > 0 {
		ttl := rt.CacheTTL5m
		if cache.Ttl != nil {
			ttl = *cache.Ttl
		}
		out.CacheDetails = []rt.CacheDetail{{Ttl: &ttl, InputTokens: new(count(u.CacheWrite))}}
	}
	return out
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
