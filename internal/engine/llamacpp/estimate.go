package llamacpp

import (
	"strings"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// checkpoints is how many states of one slot the server may keep aside, for weights
// whose layers see a window of the text only: without one, a prompt that goes back
// behind the window is read from its beginning.
const checkpoints = 2

// demand is what the memory of a process depends on.
type demand struct {
	mode      engine.Mode
	file      int64 // bytes of the model
	projector int64 // bytes; 0 without
	slots     int
	context   int // tokens of one slot
	kv        int // tokens of all slots together
	batch     int
}

// estimate is how many bytes a process takes once it has worked: its weights, which
// it maps, keys and values in f16, the buffers of one batch as far as they are
// written to, and the program itself. It was fitted to the proportional set size of
// SmolLM2, Gemma 3 and MiniLM, which it met within -5 and +25 % (TestEstimate, and
// bench -swap).
func estimate(h *gguf.Header, d demand) int64 {
	const mib = 1 << 20
	outputs, program := len(h.Tokenizer.Tokens), int64(32*mib)
	if d.mode == engine.Embed {
		outputs, program = h.EmbeddingLength, 84*mib
	}
	if d.projector > 0 {
		program += d.projector*5/4 + 32*mib // and the buffers for one image
	}
	buffers := int64(d.batch) * 4 * (int64(outputs)/6 + 16*int64(h.EmbeddingLength))
	return d.file + keyValues(h, d) + buffers + program
}

// keyValues is the size of the cache of keys and values, with what is kept aside of
// it.
func keyValues(h *gguf.Header, d demand) int64 {
	if strings.Contains(h.Architecture, "bert") { // reads each input at once and keeps none
		return 0
	}
	period := windowPeriod(h.Architecture)
	if h.SlidingWindow <= 0 || period == 0 || h.BlockCount == 0 {
		return h.KVBytes(d.kv, 2)
	}
	// All layers but each period-th keep the window and the batch that is read, for
	// each slot.
	window := d.slots * min(d.context, pad(h.SlidingWindow+d.batch))
	if d.kv < d.slots*d.context { // one cache for all slots
		window = min(d.kv, pad(d.slots*h.SlidingWindow+d.batch))
	}
	global := h.BlockCount / period
	local := h.BlockCount - global
	layers := func(n, tokens int) int64 { return h.KVBytes(tokens, 2) / int64(h.BlockCount) * int64(n) }
	return layers(global, d.kv) + layers(local, window) + layers(local, d.slots*checkpoints*min(h.SlidingWindow, d.context))
}

// pad rounds up to what the server rounds caches to.
func pad(tokens int) int { return (tokens + 255) / 256 * 256 }

// windowPeriod tells of which layers one sees the whole text, in architectures
// whose others see a window only; 0 means all, or that it is not known. Source: the
// model definitions of llama.cpp.
func windowPeriod(architecture string) int {
	switch architecture {
	case "gemma2", "gpt-oss":
		return 2
	case "cohere2":
		return 4
	case "gemma3n":
		return 5
	case "gemma3":
		return 6
	}
	return 0
}
