package prompt

import (
	"hash/maphash"

	"github.com/outcrop/outcrop/internal/limit"
	"github.com/outcrop/outcrop/internal/llm"
)

// PrefixOf tells how the prompt of r begins: with its tools and system text, and
// then with the first turn, or the part of it before a cache point.
func PrefixOf(seed maphash.Seed, r *llm.Request) limit.Prefix {
	var (
		h maphash.Hash
		p limit.Prefix
	)
	h.SetSeed(seed)
	add := func(texts ...string) {
		for _, s := range texts {
			_, _ = h.WriteString(s)
			_ = h.WriteByte(0)
			p.Size += len(s)
		}
	}
	for i := range r.Tools {
		add(r.Tools[i].Name, r.Tools[i].Description)
		_, _ = h.Write(r.Tools[i].Schema)
		p.Size += len(r.Tools[i].Schema)
	}
	add(r.System...)
	if p.HeadSize = p.Size; p.HeadSize > 0 {
		p.Head = h.Sum64()
	}
	if r.Raw != "" {
		first := r.Raw[:min(len(r.Raw), 4<<10)]
		add(first)
		p.Turn, p.Size = h.Sum64(), len(r.Raw)
		return p
	}
	for i := range r.Messages {
		blocks := r.Messages[i].Content
		end := 0
		if i == 0 {
			if end = len(blocks); r.Cache != nil && r.Cache.Message == 0 {
				end = min(r.Cache.Block, end)
			}
			hashBlocks(&h, blocks[:end])
			p.Turn = h.Sum64()
		}
		p.Size += sizeOf(blocks)
	}
	return p
}

func hashBlocks(h *maphash.Hash, blocks []llm.Block) {
	for i := range blocks {
		b := &blocks[i]
		_ = h.WriteByte(byte(b.Kind))
		_, _ = h.WriteString(b.Text)
		switch {
		case b.Media != nil:
			_, _ = h.Write(b.Media.Data)
		case b.Result != nil:
			hashBlocks(h, b.Result.Content)
		}
	}
}

// sizeOf is the size of blocks in bytes of text. An image counts as a page.
func sizeOf(blocks []llm.Block) int {
	n := 0
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.Media != nil:
			n += 4 << 10
		case b.Result != nil:
			n += sizeOf(b.Result.Content)
		case b.Call != nil:
			n += len(b.Call.Input)
		default:
			n += len(b.Text)
		}
	}
	return n
}
