package pool

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/llm"
)

// bytesPerToken is the least that text comes to in most languages: what is set
// aside for a prompt before its tokens are known.
const bytesPerToken = 3

// maxHashed bounds the bytes of a prompt that its key is made of. Prompts that are
// the same for longer share more than a server's cache holds for one of them.
const maxHashed = 32 << 10

// imageBytes is what an image counts for, in bytes of text.
const imageBytes = 4 << 10

// keyer makes keys of prompts. It is for one goroutine at a time.
type keyer struct {
	mac hash.Hash
	buf []byte
}

func newKeyer(salt []byte) *keyer { return &keyer{mac: hmac.New(sha256.New, salt)} }

// seedOf is the part of a server in the choice by key: the same in every process
// that has the salt.
func seedOf(salt []byte, name string) uint64 {
	k := newKeyer(salt)
	k.add("server")
	k.add(name)
	return k.sum()
}

// add takes in a text, as far as there is room.
func (k *keyer) add(text string) {
	k.buf = binary.AppendUvarint(k.buf, uint64(len(text)))
	k.buf = append(k.buf, text[:min(len(text), max(0, maxHashed-len(k.buf)))]...)
}

func (k *keyer) sum() uint64 {
	k.mac.Reset()
	_, _ = k.mac.Write(k.buf) // never fails
	var out [sha256.Size]byte
	n := binary.BigEndian.Uint64(k.mac.Sum(out[:0]))
	k.buf = k.buf[:0]
	return n
}

// keyOf tells conversations apart: by account, tools, system text and the first
// turn, or the part of it before a cache point. Every later turn of a conversation
// has the same key.
func (e *Engine) keyOf(t *engine.Target, r *llm.Request) uint64 {
	k := e.keys.Get().(*keyer)
	defer e.keys.Put(k)
	k.add(t.Scope)
	k.add(t.Weights)
	for i := range r.Tools {
		k.add(r.Tools[i].Name)
		k.add(r.Tools[i].Description)
		k.addBytes(r.Tools[i].Schema)
	}
	for _, s := range r.System {
		k.add(s)
	}
	switch {
	case r.Raw != "":
		k.add(r.Raw[:min(len(r.Raw), 4<<10)])
	case len(r.Messages) > 0:
		blocks := r.Messages[0].Content
		if r.Cache != nil && r.Cache.Message == 0 && r.Cache.Block > 0 {
			blocks = blocks[:min(r.Cache.Block, len(blocks))]
		}
		k.addBlocks(blocks)
	}
	return k.sum()
}

func (k *keyer) addBytes(b []byte) {
	k.buf = binary.AppendUvarint(k.buf, uint64(len(b)))
	k.buf = append(k.buf, b[:min(len(b), max(0, maxHashed-len(k.buf)))]...)
}

func (k *keyer) addBlocks(blocks []llm.Block) {
	for i := range blocks {
		b := &blocks[i]
		k.buf = append(k.buf, byte(b.Kind))
		k.add(b.Text)
		switch {
		case b.Media != nil:
			k.addBytes(b.Media.Data)
		case b.Result != nil:
			k.addBlocks(b.Result.Content)
		}
	}
}

// score orders servers for a key: the highest is the key's own. Without a server,
// only its keys go elsewhere, each to the next in its own order (rendezvous
// hashing).
func score(key, seed uint64) uint64 {
	z := key ^ seed // the finalizer of splitmix64
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// needs are what a server has to be able to do for a request.
type needs struct {
	tools, images bool
	// forces: a choice of tools or a format that the server itself makes hold;
	// lowered: what the pipeline made of one, which such servers do not take.
	forces, lowered bool
}

func needsOf(r *llm.Request) needs {
	n := needs{tools: len(r.Tools) > 0, lowered: r.Grammar != ""}
	n.forces = !n.lowered && (r.Format != nil || r.Choice.Kind == llm.ChooseAny || r.Choice.Kind == llm.ChooseNamed)
	for i := range r.Messages {
		n.images = n.images || seen(r.Messages[i].Content)
	}
	return n
}

// met reports whether a server can do all of them.
func (n needs) met(i engine.Info) bool {
	return (i.Tools || !n.tools) && (i.Images || !n.images) && (i.Forces || !n.forces) && !(i.Forces && n.lowered)
}

// seen reports whether there is an image among blocks.
func seen(blocks []llm.Block) bool {
	for i := range blocks {
		if b := &blocks[i]; b.Kind == llm.Image || b.Result != nil && seen(b.Result.Content) {
			return true
		}
	}
	return false
}

// tokensOf is what is set aside for a request: about its prompt, and its output
// limit.
func tokensOf(r *llm.Request) int {
	n := len(r.Raw)
	for i := range r.Tools {
		n += len(r.Tools[i].Name) + len(r.Tools[i].Description) + len(r.Tools[i].Schema)
	}
	for _, s := range r.System {
		n += len(s)
	}
	for i := range r.Messages {
		n += sizeOf(r.Messages[i].Content)
	}
	n /= bytesPerToken
	if most := r.Params.MaxTokens; most != nil {
		n += *most
	}
	return n
}

// sizeOf is the size of blocks in bytes of text.
func sizeOf(blocks []llm.Block) int {
	n := 0
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.Media != nil:
			n += imageBytes
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
