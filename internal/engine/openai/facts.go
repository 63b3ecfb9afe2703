package openai

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/engine/remote"
	"github.com/outcrop/outcrop/internal/engine/reply"
	"github.com/outcrop/outcrop/internal/llm"
)

// facts is what is known of a server and its model. It does not change, but for
// logits.
type facts struct {
	kind    Kind
	model   string
	context int // tokens of one request
	dims    int // of an embedding
	slots   int // of a llama-server

	vocabulary int // tokens in it, of a llama-server

	tools  bool
	images bool
	turns  prompt.Turns
	bos    string // text of the token that the server puts before a plain prompt
	prefix []int  // special tokens that the tokenizer puts before an input
	suffix []int  // and after it
	echo   bool   // a prefill comes back at the beginning of the reply

	logits atomic.Bool // scores of a reranker are no probabilities

	version string   // tells one model of a llama-server from another
	tokens  []string // its control tokens
}

// shared: the server has one cache of prompts for everybody.
func (fa *facts) shared() bool { return fa.kind == Ollama || fa.kind == Other }

// grammars: the server can be made to follow one.
func (fa *facts) grammars() bool { return !fa.shared() }

// counts: the server counts a conversation without answering it.
func (fa *facts) counts() bool { return fa.kind == LlamaServer || fa.kind == VLLM }

// know returns what is known of the server, and asks it when nothing is. Of many
// callers one asks, and all get its error.
func (u *upstream) know(ctx context.Context) (*facts, error) {
	if fa := u.facts.Load(); fa != nil {
		return fa, nil
	}
	since := time.Now()
	select {
	case u.learning <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-u.learning }()
	if fa := u.facts.Load(); fa != nil {
		return fa, nil
	}
	if u.failed != nil && u.failedAt.After(since) {
		return nil, u.failed
	}
	inner, cancel := context.WithTimeoutCause(ctx, u.c.FirstByte, remote.ErrStalled)
	defer cancel()
	fa, err := u.learn(inner)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if context.Cause(inner) == remote.ErrStalled {
			err = errors.Join(remote.ErrStalled, err)
		}
		u.failed, u.failedAt = notReady(u.ID, err), time.Now()
		u.Log.Warn("the upstream server cannot be used", "error", err)
		return nil, u.failed
	}
	u.last, u.failed = fa, nil
	u.facts.Store(fa)
	u.Log.Info("the upstream server is ready", "kind", string(fa.kind), "model", fa.model, "context", fa.context, "special_tokens", len(fa.tokens))
	return fa, nil
}

// suspect forgets what is known of a server that broke a connection: the next one
// that answers may be another, with another model.
func (u *upstream) suspect() {
	u.facts.Store(nil)
	u.Slots.Reset(0)
}

// learn asks the server for its facts and tests it by one token or one vector.
func (u *upstream) learn(ctx context.Context) (*facts, error) {
	fa := &facts{kind: u.c.Kind, model: u.c.Model, context: u.c.ContextTokens, tools: u.c.Tools, images: u.c.Images}
	fa.turns.Thoughts = u.c.Thoughts
	var err error
	if fa.kind == "" {
		if fa.kind, err = u.identify(ctx); err != nil {
			return nil, err
		}
	}
	if err := u.list(ctx, fa); err != nil {
		return nil, err
	}
	switch fa.kind {
	case LlamaServer:
		err = u.learnLlama(ctx, fa)
	case VLLM:
		err = u.learnVLLM(ctx, fa)
	default:
		fa.tokens = append(markers(), u.c.SpecialTokens...)
	}
	if err != nil {
		return nil, err
	}
	if fa.context < 1 {
		return nil, errors.New("the server does not tell its context length: set it in the configuration")
	}
	if u.c.Exclusive && fa.slots < u.c.Concurrent {
		return nil, fmt.Errorf("the server has %d slots, fewer than the %d requests at a time that it is exclusive for", fa.slots, u.c.Concurrent)
	}
	fa.turns.Guard = prompt.NewGuard(fa.tokens)
	if fa.counts() && u.c.Mode != engine.Rank {
		if err := u.learnPrefix(ctx, fa); err != nil {
			return nil, err
		}
	}
	switch {
	case u.c.Mode == engine.Embed:
		resp, err := u.embed(ctx, fa, []string{"a"}, nil)
		if err != nil {
			return nil, fmt.Errorf("self-test: %w", err)
		}
		fa.dims = len(resp.Vectors[0])
	case u.c.Mode == engine.Rank:
		if err := u.testRank(ctx, fa); err != nil {
			return nil, fmt.Errorf("self-test: %w", err)
		}
	default:
		if fa.kind == LlamaServer && u.c.Mode == engine.Chat {
			if fa.turns.Edges, err = u.edges(ctx, fa); err != nil {
				return nil, err
			}
		}
		if err := u.test(ctx, fa); err != nil {
			return nil, fmt.Errorf("self-test: %w", err)
		}
	}
	return fa, nil
}

// identify finds out what serves, by an address that only it answers.
func (u *upstream) identify(ctx context.Context) (Kind, error) {
	for _, sign := range []struct {
		kind Kind
		path string
		key  string // in the answer
	}{
		{LlamaServer, "/props", "default_generation_settings"},
		{SGLang, "/get_model_info", "model_path"},
		{VLLM, "/version", "version"},
		{Ollama, "/api/version", "version"},
	} {
		var out map[string]any
		err := u.get(ctx, sign.path, &out)
		if _, ok := out[sign.key]; ok && err == nil {
			return sign.kind, nil
		}
		if _, ok := errors.AsType[*serverError](err); err != nil && !ok && !errors.Is(err, remote.ErrBadJSON) {
			return "", err
		}
	}
	return Other, nil
}

// listed is a model in a server's list.
type listed struct {
	ID   string `json:"id"`
	Max  int    `json:"max_model_len"` // vLLM, SGLang
	Meta struct {
		Vocabulary int   `json:"n_vocab"`
		Size       int64 `json:"size"`
	} `json:"meta"` // llama-server
}

// list reads the server's list of models: names and limits.
func (u *upstream) list(ctx context.Context, fa *facts) error {
	var out struct {
		Data []listed `json:"data"`
	}
	if err := u.get(ctx, "/v1/models", &out); err != nil {
		if absent(err) && fa.model != "" {
			return nil
		}
		return err
	}
	at := slices.IndexFunc(out.Data, func(m listed) bool { return m.ID == fa.model })
	switch {
	case at >= 0:
	case len(out.Data) == 1 && (fa.model == "" || fa.kind == LlamaServer):
		at = 0
		fa.model = cmp.Or(fa.model, out.Data[0].ID)
	case fa.model == "":
		return fmt.Errorf("the server lists %d models: set the name of one in the configuration", len(out.Data))
	default:
		return nil // a name that is not listed, such as an adapter's, may work
	}
	m := &out.Data[at]
	fa.limit(m.Max)
	fa.version = fmt.Sprint(m.ID, "\x00", m.Meta.Vocabulary, "\x00", m.Meta.Size)
	fa.vocabulary = m.Meta.Vocabulary
	return nil
}

// limit takes a context length that the server told, 0 for none.
func (fa *facts) limit(tokens int) {
	if tokens > 0 && (fa.context == 0 || tokens < fa.context) {
		fa.context = tokens
	}
}

// probe is a prefill that no model would begin a reply with by itself.
const probe = "#7f3a9c#"

// test proves that the server answers, by one token, and that it tells what it
// counted. It learns whether the server repeats a prefill.
func (u *upstream) test(ctx context.Context, fa *facts) error {
	r := &llm.Request{Raw: "Hello", Params: llm.Params{MaxTokens: new(1), Temperature: new(0.0)}}
	if u.c.Mode == engine.Chat {
		r.Raw = ""
		r.Messages = []llm.Message{{Role: llm.User, Content: []llm.Block{{Kind: llm.Text, Text: "Hello"}}}}
		if fa.kind == LlamaServer || fa.kind == Ollama {
			r.Messages = append(r.Messages, llm.Message{Role: llm.Assistant, Content: []llm.Block{{Kind: llm.Text, Text: probe}}})
		}
	}
	text, _, err := u.once(ctx, fa, r, "self-test")
	if err != nil {
		return err
	}
	fa.echo = strings.HasPrefix(text, probe)
	return nil
}

// once runs a request that makes a token or two, outside the slots, and reads it
// whole.
func (u *upstream) once(ctx context.Context, fa *facts, r *llm.Request, salt string) (string, llm.Usage, error) {
	var used llm.Usage
	c, err := fa.converse(u.c.Mode, r)
	if err != nil {
		return "", used, err
	}
	path, body := (&request{fa: fa, r: r, salt: salt}).body(&c)
	resp, err := u.post(ctx, path, body, nil)
	if err != nil {
		return "", used, err
	}
	defer resp.Body.Close() // read only
	var (
		s      = reply.NewStream(resp.Body)
		ch     chunk
		text   strings.Builder
		finish string
		events int
	)
	for !ch.done {
		data, err := s.Next()
		if errors.Is(err, io.EOF) && finish != "" {
			break
		}
		if err == nil {
			err = ch.parse(data)
		}
		if err == nil && ch.failure != nil {
			err = ch.failure
		}
		if events++; err == nil && events > maxEvents(r) {
			err = errEndless
		}
		if err != nil {
			return "", used, err
		}
		if ch.counted {
			used = ch.usage
		}
		finish = cmp.Or(ch.finish, finish)
		text.WriteString(ch.thought)
		text.WriteString(ch.text)
	}
	if used.InputTokens < 1 || used.OutputTokens < 1 {
		return "", used, errNoUsage
	}
	return text.String(), used, nil
}
