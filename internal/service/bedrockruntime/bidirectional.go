package bedrockruntime

import (
	"context"
	"encoding/json"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// Dialogs opens conversations in events. sonic.Codec implements it.
type Dialogs interface {
	Open(m family.Model) family.Dialog
}

// maxEvent is the largest event of a bidirectional stream, in bytes.
const maxEvent = 1_000_000

// bidirectional answers the turns of a dialog as they come. The events of a
// reply leave before the next event of the caller is read.
func (s *Service) bidirectional(ctx context.Context, c *call.Call, in *rt.InvokeModelWithBidirectionalStreamInput) (*rt.InvokeModelWithBidirectionalStreamOutput, error) {
	t, err := s.resolveText(ctx, c, in.ModelId)
	if err != nil {
		return nil, err
	}
	if t.Router != nil {
		return nil, noRouting()
	}
	// The head of the answer leaves before a model is asked.
	c.ServedBy, c.StandIn = t.Weights.ID, t.Model.StandIn
	d := &duplex{s: s, c: c, t: t, dialog: s.cfg.Dialogs.Open(s.model(t))}
	return &rt.InvokeModelWithBidirectionalStreamOutput{Body: func(yield func(any, error) bool) {
		d.yield = yield
		if err := d.run(ctx, in.Body); err != nil && !d.left {
			yield(nil, err)
		}
	}}, nil
}

// duplex is one bidirectional call.
type duplex struct {
	s      *Service
	c      *call.Call
	t      *catalog.Target
	dialog family.Dialog
	yield  func(any, error) bool
	left   bool // the reader ended the range
}

func (d *duplex) run(ctx context.Context, events awsapi.Events) error {
	for ev, err := range events {
		if err != nil {
			return err
		}
		chunk, err := chunkOf(ev)
		if err != nil {
			return err
		}
		turn, done, err := d.dialog.Push(chunk)
		if err != nil || done {
			return err
		}
		if turn == nil {
			continue
		}
		if err := d.answer(ctx, turn); err != nil || d.left {
			return err
		}
	}
	return nil
}

// chunkOf takes the bytes out of one event.
func chunkOf(ev any) ([]byte, error) {
	in, ok := ev.(*awsapi.InputEvent)
	if !ok || in.Name != "chunk" {
		return nil, apierr.Validation("The only event of the request is chunk.")
	}
	var part struct {
		Bytes []byte `json:"bytes"`
	}
	if err := json.Unmarshal(in.Payload, &part); err != nil {
		return nil, apierr.Validation("chunk.bytes: must be base64.")
	}
	if len(part.Bytes) > maxEvent {
		return nil, apierr.Validation("chunk.bytes: must have at most %d bytes.", maxEvent)
	}
	return part.Bytes, nil
}

// answer lets the model speak. What it used is added to the call's usage.
func (d *duplex) answer(ctx context.Context, turn *llm.Request) error {
	one := *d.c
	one.Usage = llm.Usage{}
	defer func() {
		used := d.c.Usage
		used.InputTokens += one.Usage.InputTokens
		used.OutputTokens += one.Usage.OutputTokens
		used.ReusedTokens += one.Usage.ReusedTokens
		latency, first := d.c.Latency+one.Latency, d.c.FirstToken
		if first == 0 {
			first = one.FirstToken
		}
		*d.c = one
		d.c.Usage, d.c.Latency, d.c.FirstToken = used, latency, first
	}()
	emit := func(chunk []byte) error {
		part := &rt.BidirectionalOutputPayloadPart{Bytes: chunk}
		if !d.yield(&rt.InvokeModelWithBidirectionalStreamOutputEvent{Chunk: part}, nil) {
			d.left = true
			return errStopped
		}
		return nil
	}
	for ev, err := range d.s.cfg.Inference.Generate(ctx, &one, d.t, turn) {
		if err != nil {
			return err
		}
		if err := d.dialog.Chunks(ev, emit); err != nil {
			return err
		}
	}
	return nil
}
