package acceptance

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine/llamacpp"
)

//go:embed testdata/bare.py
var bareScript string

// bareConfig is the argument of bare.py.
type bareConfig struct {
	Site      string `json:"site"`
	Model     string `json:"model"`
	Socket    string `json:"socket"`
	Context   int    `json:"context"`
	Batch     int    `json:"batch"`
	Safe      bool   `json:"safe"`
	Embedding bool   `json:"embedding"`
}

// bare is a llama.cpp server of its own, asked over its socket without any code
// of the product between. It answers one request at a time.
type bare struct {
	http  *http.Client
	vocab *vocabulary

	mu      sync.Mutex
	replies map[string]reply // by prompt and length
}

// kind is what a bare engine is started for.
type kind bool

const (
	forChat      kind = false
	forEmbedding kind = true
)

// startBare starts a bare engine on the product's build and file of some
// weights, with the product's batch size: the same numbers come out.
func startBare(t testing.TB, p *product, weights string, k kind) *bare {
	t.Helper()
	cfg := bareConfig{Model: p.WeightsFile(t, weights), Context: contextTokens, Batch: 512, Embedding: k == forEmbedding}
	if cfg.Embedding {
		cfg.Context = 512
	}
	b := &bare{vocab: readVocabulary(t, cfg.Model), replies: map[string]reply{}}
	err := b.start(t, p.Host(t), cfg)
	if crash, ok := errors.AsType[*exec.ExitError](err); ok && crash.ExitCode() < 0 { // by a signal: the build does not fit the CPU
		cfg.Safe = true
		err = b.start(t, p.Host(t), cfg)
	}
	if err != nil {
		t.Fatalf("start the bare engine: %v", err)
	}
	return b
}

// start runs the server until the test ends and returns when it is ready.
func (b *bare) start(t testing.TB, h llamacpp.Host, cfg bareConfig) error {
	dir, err := os.MkdirTemp("", "bare-") // short: the path of a socket is bounded
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg.Site, cfg.Socket = h.Site, filepath.Join(dir, "s.sock")
	var cmd *exec.Cmd
	if h.Binary != "" {
		cmd = exec.Command(h.Binary, cfg.flags()...)
		cmd.Env = append(os.Environ(), "LLAMA_SERVER_ROUTER_PORT=1")
	} else {
		arg, err := json.Marshal(cfg)
		if err != nil {
			return err
		}
		cmd = exec.Command(h.Python, "-I", "-S", "-B", "-c", bareScript, string(arg))
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &stderr, 5*time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := false
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for !ready && lines.Scan() {
		ready = strings.Contains(lines.Text(), `"state":"ready"`)
	}
	if !ready {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, stderr.Bytes())
		}
		return fmt.Errorf("it ended: %s", stderr.Bytes())
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	})
	b.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // the server closes connections after 100 requests
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", cfg.Socket)
		},
	}}
	return nil
}

// flags are the settings of bare.py for a llama-server binary.
func (c bareConfig) flags() []string {
	f := []string{
		"--model", c.Model, "--host", c.Socket, "--ctx-size", strconv.Itoa(c.Context), "--parallel", "1",
		"--batch-size", strconv.Itoa(c.Batch), "--ubatch-size", strconv.Itoa(c.Batch), "--threads", "1", "--threads-batch", "1",
		"--cache-ram", "0", "--no-context-shift", "--fit", "off", "--offline", "--jinja", "--log-verbosity", "1",
	}
	if c.Safe {
		f = append(f, "--no-repack")
	}
	if c.Embedding {
		f = append(f, "--embeddings", "--pooling", "mean")
	}
	return f
}

// ask sends a JSON body and reads a JSON answer.
func (b *bare) ask(path string, body, out any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := b.http.Post("http://bare"+path, "application/json", bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("bare engine: %w", err)
	}
	defer resp.Body.Close() // read only
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("bare engine: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("bare engine: %s answered %d: %s", path, resp.StatusCode, answer)
	}
	return json.Unmarshal(answer, out)
}

// render is the prompt that the weights' own chat template makes.
func (b *bare) render(c conversation) (string, error) {
	var out struct {
		Prompt string `json:"prompt"`
	}
	err := b.ask("/apply-template", map[string]any{"messages": c}, &out)
	return out.Prompt, err
}

// parsed returns the ids of a prompt as generation reads it: special tokens in
// it count as such.
func (b *bare) parsed(prompt string) ([]int, error) { return b.tokenize(prompt, true) }

// plain returns the ids of a text in which no special token is read, with those
// that the tokenizer puts around every input.
func (b *bare) plain(text string) ([]int, error) { return b.tokenize(text, false) }

func (b *bare) tokenize(text string, special bool) ([]int, error) {
	var out struct {
		Tokens []int `json:"tokens"`
	}
	err := b.ask("/tokenize", map[string]any{"content": text, "add_special": true, "parse_special": special}, &out)
	return out.Tokens, err
}

// input returns the ids of a conversation.
func (b *bare) input(c conversation) ([]int, error) {
	prompt, err := b.render(c)
	if err != nil {
		return nil, err
	}
	return b.parsed(prompt)
}

// reply is what the bare engine makes of a prompt.
type reply struct {
	ids   []int // the end token included
	ended bool  // by the end token, not by the limit
}

// replay is the greedy reply of at most n tokens to a prompt of ids. Nothing of
// an earlier prompt is used for it.
func (b *bare) replay(prompt []int, n int) (reply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := fmt.Sprint(n, prompt)
	if r, ok := b.replies[key]; ok {
		return r, nil
	}
	var out struct {
		Tokens   []int  `json:"tokens"`
		StopType string `json:"stop_type"`
	}
	err := b.ask("/completion", map[string]any{
		"prompt": prompt, "n_predict": n, "temperature": 0, "seed": 1, "cache_prompt": false, "return_tokens": true,
	}, &out)
	if err != nil {
		return reply{}, err
	}
	r := reply{ids: out.Tokens, ended: out.StopType == "eos"}
	switch {
	case r.ended && (len(r.ids) == 0 || !b.vocab.ends(r.ids[len(r.ids)-1])):
		return r, errors.New("bare engine: the reply ended without an end token")
	case !r.ended && len(r.ids) != n:
		return r, fmt.Errorf("bare engine: %d tokens, %d were asked for (%s)", len(r.ids), n, out.StopType)
	}
	b.replies[key] = r
	return r, nil
}

// embed returns the vector of a list of ids, of length 1.
func (b *bare) embed(ids []int) ([]float64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out struct {
		Data []struct {
			Embedding []float64 `json:"embedding"`
		} `json:"data"`
	}
	if err := b.ask("/v1/embeddings", map[string]any{"input": ids}, &out); err != nil {
		return nil, err
	}
	if len(out.Data) != 1 {
		return nil, fmt.Errorf("bare engine: %d vectors for one input", len(out.Data))
	}
	return out.Data[0].Embedding, nil
}
