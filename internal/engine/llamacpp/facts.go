package llamacpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// embedLimit is the longest window of an embedding, unless the weights take
// less; longer texts are read in several.
const embedLimit = 2048

// facts is what is known of weights: from the file's header at once, and from
// the first self-test.
type facts struct {
	file    File
	version version
	context int   // tokens per slot
	dims    int   // of an embedding
	bytes   int64 // estimate of a process's memory
	kv      int   // tokens that all slots share; 0 when each has its own
	layers  int   // of the model
	pooling string
	turns   prompt.Turns

	tokenBytes, tokenInk int      // see engine.Info
	mayKnowTools         bool     // the template speaks of tools
	vocabulary           []string // texts of the tokens, by id

	// from the self-test
	tested bool
	echo   bool   // a prefill comes back at the beginning of the reply
	tools  bool   // the template knows tools, calls and results
	bos    string // text of the token that the server puts before a plain prompt
	prefix []int  // special tokens that the tokenizer puts before an input
	suffix []int  // and after it
}

// readFacts reads the header of a model file and works out sizes. kv is how many
// tokens all slots of a process share, as Config.KVTokens.
func readFacts(file File, mode engine.Mode, slots, maxContext, kv int) (*facts, error) {
	v, err := versionOf(file)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file.Path)
	if err != nil {
		return nil, fmt.Errorf("open weights: %w", err)
	}
	defer f.Close() // read only
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open weights: %w", err)
	}
	h, err := gguf.Read(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("read the header of the weights: %w", err)
	}
	if mode == engine.Chat && h.ChatTemplate == "" && file.Template == "" {
		return nil, errors.New("the weights have no chat template; their mode must be completion")
	}
	limit := maxContext
	if mode == engine.Embed {
		limit = embedLimit
	}
	for _, n := range []int{file.ContextTokens, h.ContextLength} {
		if n > 0 {
			limit = min(limit, n)
		}
	}
	fa := &facts{file: file, version: v, context: limit, layers: h.BlockCount, turns: prompt.Turns{Guard: prompt.NewGuard(h.Tokenizer.SpecialTokens())}}
	fa.vocabulary = h.Tokenizer.Tokens
	if mode == engine.Chat {
		template := cmp.Or(file.Template, h.ChatTemplate)
		fa.turns.Thoughts, fa.mayKnowTools = prompt.Thinks(template), strings.Contains(template, "tools")
	}
	fa.tokenBytes, fa.tokenInk = h.Tokenizer.Longest()
	d := demand{mode: mode, file: st.Size(), projector: v.projector.size, slots: slots, context: limit, kv: slots * limit}
	if mode == engine.Embed {
		fa.dims = h.EmbeddingLength
		if h.Pooling == gguf.PoolingUnset || h.Pooling == gguf.PoolingNone {
			fa.pooling = "MEAN"
		}
	} else if kv > 0 && max(kv, limit) < slots*limit {
		fa.kv = max(kv, limit)
		d.kv = fa.kv
	}
	d.batch = fa.batch(mode)
	fa.bytes = estimate(h, d)
	return fa, nil
}

// batch is how many tokens of prompts are read at a time. An embedding must fit
// into one batch; a small batch bounds how long a broken off prompt works on.
func (fa *facts) batch(mode engine.Mode) int {
	if mode == engine.Embed {
		return fa.context
	}
	return min(512, fa.context)
}

// defaultThreads leaves one core to everything else: the server's threads spin
// at barriers, so one that has to share its core slows all of them down, by a
// factor of 25 on a busy machine of two cores.
func defaultThreads() int {
	return max(1, cores()-1)
}

// cores is how many cores this program may use.
func cores() int {
	n := runtime.GOMAXPROCS(0) // knows container limits
	if all := physicalCores(); all > 0 {
		n = min(n, all)
	}
	return n
}

// physicalCores counts the cores by their lists of sibling threads; 0 when the
// system does not tell.
func physicalCores() int {
	seen := map[string]bool{}
	for cpu := range 4096 {
		b, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
		if err != nil {
			break
		}
		seen[string(b)] = true
	}
	return len(seen)
}

// probe is a prefill that no model would begin a reply with by itself.
const probe = "#7f3a9c#"

// selfTest proves that the process works, by one token or one vector, and
// learns how this server treats these weights. fa is changed only when all went
// well.
func selfTest(ctx context.Context, c *client, mode engine.Mode, fa *facts) error {
	var props struct {
		Settings struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
		Caps struct {
			Tools bool `json:"supports_tools"`
			Calls bool `json:"supports_tool_calls"`
		} `json:"chat_template_caps"`
	}
	if err := c.get(ctx, "/props", &props); err != nil {
		return err
	}
	if n := props.Settings.Context; n > 0 && n < fa.context {
		return fmt.Errorf("the engine gives %d tokens of context per slot, %d were asked for", n, fa.context)
	}
	fa.tools = mode == engine.Chat && props.Caps.Tools && props.Caps.Calls
	var err error
	switch mode {
	case engine.Embed:
		err = testEmbed(ctx, c, fa)
	case engine.Completion:
		var out struct {
			Predicted int `json:"tokens_predicted"`
		}
		err = c.call(ctx, "/completion", map[string]any{"prompt": "Hello", "n_predict": 1, "cache_prompt": false}, &out)
		if err == nil && out.Predicted != 1 {
			err = fmt.Errorf("the self-test made %d tokens, want 1", out.Predicted)
		}
	default:
		err = testChat(ctx, c, fa)
	}
	if err == nil && mode != engine.Embed {
		err = findBOS(ctx, c, fa)
	}
	if err == nil {
		fa.tested = true
	}
	return err
}

// findBOS learns what the server puts before a plain prompt. A prompt that
// begins with it must not have it twice.
func findBOS(ctx context.Context, c *client, fa *facts) error {
	with, err := tokenize(ctx, c, "a", true)
	if err != nil {
		return err
	}
	plain, err := tokenize(ctx, c, "a", false)
	if err != nil {
		return err
	}
	if n := len(with); n > len(plain) && slices.Equal(with[n-len(plain):], plain) && with[0] < len(fa.vocabulary) {
		fa.bos = fa.vocabulary[with[0]]
	}
	return nil
}

func testChat(ctx context.Context, c *client, fa *facts) error {
	one := 1
	body := chatBody{
		input:    input{Messages: []prompt.Message{{Role: "user", Content: "Hello"}, {Role: "assistant", Content: probe}}, Format: "none"},
		sampling: sampling{Stream: true, MaxTokens: &one}, StreamOptions: &streamOptions{IncludeUsage: true},
	}
	if fa.turns.Thoughts {
		body.Options = &templateArgs{}
	}
	resp, err := c.post(ctx, "/v1/chat/completions", &body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // read only
	if resp.StatusCode != 200 {
		return fmt.Errorf("self-test: %w", readError(resp))
	}
	var (
		s    = newStream(resp.Body)
		ch   chunk
		text strings.Builder
		made int
	)
	for !ch.done {
		if err := s.next(&ch); err != nil {
			return fmt.Errorf("self-test: %w", err)
		}
		if ch.Error != nil {
			return fmt.Errorf("self-test: %w", ch.Error)
		}
		if ch.Usage != nil {
			made = ch.Usage.Completion
		}
		text.WriteString(ch.text)
	}
	if made != 1 {
		return fmt.Errorf("the self-test made %d tokens, want 1", made)
	}
	fa.echo = strings.HasPrefix(text.String(), probe)
	fa.turns.Edges, err = prompt.FindEdges(fa.turns.Guard, fa.tools, func(f prompt.Form) (string, bool, error) {
		in := input{Messages: f.Messages, Tools: f.Tools}
		if fa.turns.Thoughts {
			in.Options = &templateArgs{}
		}
		var out struct {
			Prompt string `json:"prompt"`
		}
		err := c.call(ctx, "/apply-template", &in, &out)
		if _, refused := errors.AsType[*serverError](err); refused {
			return "", false, nil
		}
		return out.Prompt, err == nil, err
	})
	return err
}

func testEmbed(ctx context.Context, c *client, fa *facts) error {
	with, err := tokenize(ctx, c, "a", true)
	if err != nil {
		return err
	}
	plain, err := tokenize(ctx, c, "a", false)
	if err != nil {
		return err
	}
	for k := 0; k+len(plain) <= len(with); k++ {
		if slices.Equal(with[k:k+len(plain)], plain) {
			fa.prefix, fa.suffix = with[:k], with[k+len(plain):]
			break
		}
	}
	vectors, err := embedTokens(ctx, c, [][]int{with})
	if err != nil {
		return err
	}
	if fa.dims > 0 && len(vectors[0]) != fa.dims {
		return fmt.Errorf("the self-test's vector has %d dimensions, the weights %d", len(vectors[0]), fa.dims)
	}
	fa.dims = len(vectors[0])
	return nil
}

// notReady is the error for weights that cannot be used now.
func notReady(id, why string, cause error) *apierr.Error {
	return apierr.ModelNotReady("The model %q is not ready: %s", id, why).WithCause(cause)
}
