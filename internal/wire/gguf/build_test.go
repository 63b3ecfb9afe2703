package gguf_test

import (
	"bytes"
	"encoding/binary"
	"math"
)

// builder writes GGUF files, well-formed or not.
type builder struct{ bytes.Buffer }

func (b *builder) u32(v uint32) *builder {
	b.Write(binary.LittleEndian.AppendUint32(nil, v))
	return b
}

func (b *builder) u64(v uint64) *builder {
	b.Write(binary.LittleEndian.AppendUint64(nil, v))
	return b
}

func (b *builder) text(s string) *builder {
	b.u64(uint64(len(s)))
	b.WriteString(s)
	return b
}

func (b *builder) head(version uint32, tensors, pairs uint64) *builder {
	b.WriteString("GGUF")
	return b.u32(version).u64(tensors).u64(pairs)
}

func (b *builder) str(key, v string) *builder { return b.text(key).u32(8).text(v) }
func (b *builder) num(key string, v uint32) *builder {
	return b.text(key).u32(4).u32(v)
}
func (b *builder) f32(key string, v float32) *builder {
	return b.text(key).u32(6).u32(math.Float32bits(v))
}

func (b *builder) flag(key string, v byte) *builder {
	b.text(key).u32(7)
	b.WriteByte(v)
	return b
}

func (b *builder) strs(key string, v ...string) *builder {
	b.text(key).u32(9).u32(8).u64(uint64(len(v)))
	for _, s := range v {
		b.text(s)
	}
	return b
}

func (b *builder) ints(key string, v ...uint32) *builder {
	b.text(key).u32(9).u32(5).u64(uint64(len(v)))
	for _, n := range v {
		b.u32(n)
	}
	return b
}

func (b *builder) tensor(name string, typ uint32, offset uint64, dims ...uint64) *builder {
	b.text(name).u32(uint32(len(dims)))
	for _, d := range dims {
		b.u64(d)
	}
	return b.u32(typ).u64(offset)
}

// data pads to the alignment and adds n bytes.
func (b *builder) data(n int) []byte {
	for b.Len()%32 != 0 {
		b.WriteByte(0)
	}
	b.Write(make([]byte, n))
	return b.Bytes()
}

// small is a well-formed file with everything that Header shows.
func small() []byte {
	var b builder
	b.head(3, 2, 16).
		str("general.architecture", "llama").
		str("general.name", "Tiny").
		str("general.license", "apache-2.0").
		num("general.file_type", 3).
		num("llama.context_length", 8192).
		num("llama.embedding_length", 64).
		num("llama.block_count", 2).
		num("llama.attention.head_count", 4).
		ints("llama.attention.head_count_kv", 2, 1).
		str("tokenizer.chat_template", "{{ messages }}").
		str("tokenizer.ggml.model", "gpt2").
		strs("tokenizer.ggml.tokens", "<|endoftext|>", "<|im_start|>", "hello", "<td>", "<tool_call>", "[gMASK]", "\n\n", "<unk>", "List<T>").
		ints("tokenizer.ggml.token_type", 3, 1, 1, 4, 4, 4, 4, 2, 1).
		num("tokenizer.ggml.eos_token_id", 0).
		flag("tokenizer.ggml.add_bos_token", 0).
		f32("llama.rope.freq_base", 10000)
	b.tensor("a", 0, 0, 8, 2).tensor("b", 3, 64, 32, 3)
	return b.data(64 + 64)
}
