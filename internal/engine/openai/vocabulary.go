package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/prompt"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// markers are the control tokens of common vocabularies: for servers that do not
// tell their own. Everything of the forms <|...|> and <｜...｜> is broken by its
// beginning.
func markers() []string {
	return []string{
		"<|", "<｜",
		"<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<mask>", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]",
		"<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>", // Gemma
		"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", // Mistral
		"[TOOL_CALLS]", "[TOOL_CONTENT]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]",
		"[IMG]", "[IMG_BREAK]", "[IMG_END]", "[AUDIO]", "[BEGIN_AUDIO]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
		"<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>", // Qwen, DeepSeek
		"<image>", "<video>", "<audio>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<file_sep>", "<repo_name>",
	}
}

// learnLlama reads what llama.cpp's server tells of itself.
func (u *upstream) learnLlama(ctx context.Context, fa *facts) error {
	var props struct {
		Settings struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
		Slots    int    `json:"total_slots"`
		Path     string `json:"model_path"`
		Build    string `json:"build_info"`
		Template string `json:"chat_template"`
		Marker   string `json:"media_marker"`
		Sees     struct {
			Vision bool `json:"vision"`
		} `json:"modalities"`
		Caps struct {
			Tools bool `json:"supports_tools"`
			Calls bool `json:"supports_tool_calls"`
		} `json:"chat_template_caps"`
	}
	if err := u.get(ctx, "/props", &props); err != nil {
		return err
	}
	fa.slots = props.Slots
	fa.limit(props.Settings.Context)
	fa.tools, fa.images = props.Caps.Tools && props.Caps.Calls, props.Sees.Vision
	fa.turns.Thoughts = prompt.Thinks(props.Template)
	fa.version += "\x00" + props.Path + "\x00" + props.Build
	if u.c.Mode == engine.Embed { // texts go as ids, in which no special token was read
		return nil
	}
	if u.last != nil && u.last.version == fa.version {
		fa.tokens = u.last.tokens
	} else {
		tokens, err := u.vocabulary(ctx, fa.vocabulary)
		if err != nil {
			return fmt.Errorf("read the vocabulary: %w", err)
		}
		fa.tokens = append(tokens, u.c.SpecialTokens...)
	}
	if props.Marker != "" { // where an image goes; another one in each process
		fa.tokens = append(slices.Clip(fa.tokens), props.Marker)
	}
	return nil
}

// vocabulary finds the control tokens of a llama-server's vocabulary of n tokens:
// those that come out of all texts together only when special tokens are read in
// them, and marker-like ones that always come out whole.
func (u *upstream) vocabulary(ctx context.Context, n int) ([]string, error) {
	const most = 1 << 20
	if n < 1 || n > most {
		return nil, fmt.Errorf("a vocabulary of %d tokens", n)
	}
	const between = " qv8z "
	part, err := u.tokenize(ctx, between, false, false)
	if err != nil {
		return nil, err
	}
	ids := make([]int, 0, n*(len(part)+1))
	for id := range n {
		ids = append(append(ids, id), part...)
	}
	all, err := u.detokenize(ctx, ids)
	if err != nil {
		return nil, err
	}
	texts := strings.Split(all, between)
	if len(texts) != n+1 {
		return nil, fmt.Errorf("%d texts for %d tokens", len(texts)-1, n)
	}
	texts = texts[:n]
	all = strings.Join(texts, "\n")
	parsed, err := u.tokenize(ctx, all, false, true)
	if err != nil {
		return nil, err
	}
	plain, err := u.tokenize(ctx, all, false, false)
	if err != nil {
		return nil, err
	}
	seen := make(map[int]bool, n)
	for _, id := range plain {
		seen[id] = true
	}
	var tokens []string
	for _, id := range parsed {
		if !seen[id] && id >= 0 && id < n && texts[id] != "" {
			seen[id] = true
			tokens = append(tokens, texts[id])
		}
	}
	whole, err := u.whole(ctx, texts)
	return append(tokens, whole...), err
}

// whole are the tokens that look like marks of structure and come out whole
// wherever they stand, as tokens do that a vocabulary adds to those it learnt.
func (u *upstream) whole(ctx context.Context, texts []string) ([]string, error) {
	added := gguf.Tokenizer{Tokens: texts, Types: make([]gguf.TokenType, len(texts)), BOS: gguf.None, EOS: gguf.None, EOT: gguf.None, EOM: gguf.None}
	for i := range added.Types {
		added.Types[i] = gguf.TokenUserDefined
	}
	left := map[string]int{}
	for _, t := range added.SpecialTokens() {
		left[t] = slices.Index(texts, t)
	}
	for _, around := range []string{"%sa\n", "[%s]\n", "<%s>\n", "((%s))\n"} {
		var b strings.Builder
		for t := range left {
			fmt.Fprintf(&b, around, t)
		}
		ids, err := u.tokenize(ctx, b.String(), false, false)
		if err != nil {
			return nil, err
		}
		for t, id := range left {
			if !slices.Contains(ids, id) {
				delete(left, t)
			}
		}
	}
	out := make([]string, 0, len(left))
	for t := range left {
		out = append(out, t)
	}
	return out, nil
}

// learnVLLM reads the tokenizer of vLLM, where the server was started to tell it.
func (u *upstream) learnVLLM(ctx context.Context, fa *facts) error {
	var out struct {
		Added map[string]struct {
			Content string `json:"content"`
		} `json:"added_tokens_decoder"`
		Template json.RawMessage `json:"chat_template"` // a text, or a list of named ones
	}
	err := u.get(ctx, "/tokenizer_info", &out)
	if absent(err) || err == nil && len(out.Added) == 0 {
		u.Log.Warn("the upstream server does not tell its special tokens: those of common vocabularies are kept out of prompts; start it with --enable-tokenizer-info-endpoint, or set special_tokens")
		fa.tokens = append(markers(), u.c.SpecialTokens...)
		return nil
	}
	if err != nil {
		return err
	}
	fa.tokens = slices.Clone(u.c.SpecialTokens)
	for _, t := range out.Added {
		fa.tokens = append(fa.tokens, t.Content)
	}
	if prompt.Thinks(string(out.Template)) {
		fa.turns.Thoughts = true
	}
	return nil
}

// learnPrefix learns what the tokenizer puts around an input. A plain prompt that
// begins with it must not have it twice.
func (u *upstream) learnPrefix(ctx context.Context, fa *facts) error {
	ids := func(special bool) ([]int, error) {
		if fa.kind == VLLM {
			return u.tokenizeVLLM(ctx, fa, "a", special)
		}
		return u.tokenize(ctx, "a", special, false)
	}
	with, err := ids(true)
	if err != nil {
		return err
	}
	plain, err := ids(false)
	if err != nil {
		return err
	}
	for k := 0; k+len(plain) <= len(with); k++ {
		if slices.Equal(with[k:k+len(plain)], plain) {
			fa.prefix, fa.suffix = with[:k], with[k+len(plain):]
			break
		}
	}
	if len(fa.prefix) == 0 {
		return nil
	}
	fa.bos, err = u.detokenize(ctx, fa.prefix)
	return err
}

// edges learns what the chat template of a llama-server puts around texts.
func (u *upstream) edges(ctx context.Context, fa *facts) (prompt.Edges, error) {
	return prompt.FindEdges(fa.turns.Guard, fa.tools, func(f prompt.Form) (string, bool, error) {
		in := input{Messages: f.Messages, Tools: f.Tools}
		if fa.turns.Thoughts {
			in.Options = &templateArgs{}
		}
		var out struct {
			Prompt string `json:"prompt"`
		}
		err := u.call(ctx, "/apply-template", &in, &out)
		if _, refused := errors.AsType[*serverError](err); refused {
			return "", false, nil
		}
		return out.Prompt, err == nil, err
	})
}

// tokenize returns the ids of a text by llama-server. special adds those that the
// tokenizer puts around every input; parse reads special tokens in the text.
func (u *upstream) tokenize(ctx context.Context, text string, special, parse bool) ([]int, error) {
	var out struct {
		Tokens []int `json:"tokens"`
	}
	err := u.call(ctx, "/tokenize", map[string]any{"content": text, "add_special": special, "parse_special": parse}, &out)
	return out.Tokens, err
}

// tokenizeVLLM returns the ids of a text by vLLM, which reads special tokens in it
// always.
func (u *upstream) tokenizeVLLM(ctx context.Context, fa *facts, text string, special bool) ([]int, error) {
	var out struct {
		Tokens []int `json:"tokens"`
	}
	err := u.call(ctx, "/tokenize", map[string]any{"model": fa.model, "prompt": text, "add_special_tokens": special}, &out)
	return out.Tokens, err
}

// detokenize returns the text of ids.
func (u *upstream) detokenize(ctx context.Context, ids []int) (string, error) {
	var out struct {
		Content string `json:"content"` // llama-server
		Prompt  string `json:"prompt"`  // vLLM
	}
	body := map[string]any{"tokens": ids}
	if u.c.Model != "" {
		body["model"] = u.c.Model
	}
	err := u.call(ctx, "/detokenize", body, &out)
	return out.Content + out.Prompt, err
}
