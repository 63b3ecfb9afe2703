package openai_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Whatever a server sends, the call ends soon, with a modelled error, and nothing
// of what the server said gets into it.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	var gone atomic.Int64
	forever := func(w http.ResponseWriter, r *http.Request, piece string) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, piece); err != nil {
				break
			}
			_ = http.NewResponseController(w).Flush()
		}
		gone.Add(1)
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone.Add(1)
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		text   string // that came before the error
		code   string
		gone   bool // the server must notice that we left
	}{
		"nothing":         {func(http.ResponseWriter, *http.Request) {}, "", apierr.CodeModelError, false},
		"garbage":         {func(w http.ResponseWriter, _ *http.Request) { send(w, "\x00\xff quotes the prompt") }, "", apierr.CodeModelError, false},
		"garbage later":   {func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, "{]") }, "tok ", apierr.CodeModelStreamError, false},
		"half JSON":       {func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, tokenEvent[:40]) }, "tok ", apierr.CodeModelStreamError, false},
		"half a line":     {func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent); fmt.Fprint(w, `data: {"cho`) }, "tok ", apierr.CodeModelStreamError, false},
		"no end":          {func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, tokenEvent) }, "tok tok ", apierr.CodeModelStreamError, false},
		"end without why": {func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, usageEvent, "[DONE]") }, "tok ", apierr.CodeModelStreamError, false},
		"no usage":        {func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, stopEvent, "[DONE]") }, "tok ", apierr.CodeModelStreamError, false},
		"negative usage": {func(w http.ResponseWriter, _ *http.Request) {
			send(w, tokenEvent, stopEvent, `{"choices":[],"usage":{"prompt_tokens":-900,"completion_tokens":1}}`, "[DONE]")
		}, "tok ", apierr.CodeModelStreamError, false},
		"boundless usage": {func(w http.ResponseWriter, _ *http.Request) {
			send(w, tokenEvent, stopEvent, `{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9000000000000000000}}`, "[DONE]")
		}, "tok ", apierr.CodeModelStreamError, false},
		"wrong types":  {func(w http.ResponseWriter, _ *http.Request) { send(w, `{"choices":{"delta":7}}`) }, "", apierr.CodeModelError, false},
		"deep nesting": {func(w http.ResponseWriter, _ *http.Request) { send(w, `{"x":`+strings.Repeat("[", 500_000)) }, "", apierr.CodeModelError, false},
		"an error at first": {func(w http.ResponseWriter, _ *http.Request) {
			send(w, `{"error":{"message":"quotes the prompt","code":429}}`)
		}, "", apierr.CodeThrottling, false},
		"an error later":        {func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, `{"error":"quotes the prompt"}`) }, "tok ", apierr.CodeModelStreamError, false},
		"an error of no status": {func(w http.ResponseWriter, _ *http.Request) { send(w, `{"error":{"message":"x","code":-2147483649}}`) }, "", apierr.CodeModelError, false},
		"a page":                {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>quotes the prompt</html>\n") }, "", apierr.CodeModelError, false},
		"a line of 100 MB": {func(w http.ResponseWriter, r *http.Request) {
			send(w, tokenEvent)
			fmt.Fprint(w, "data: ")
			for range 100 << 4 {
				if _, err := fmt.Fprint(w, strings.Repeat("x", 64<<10)); err != nil {
					gone.Add(1)
					return
				}
			}
		}, "tok ", apierr.CodeModelStreamError, true},
		"endless events":   {func(w http.ResponseWriter, r *http.Request) { forever(w, r, "data: {}\n\n") }, "", apierr.CodeModelError, true},
		"endless comments": {func(w http.ResponseWriter, r *http.Request) { forever(w, r, strings.Repeat(": ping\n\n", 100)) }, "", apierr.CodeModelError, true},
		"silence":          {hang, "", apierr.CodeModelTimeout, true},
		"silence after a token": {func(w http.ResponseWriter, r *http.Request) {
			send(w, tokenEvent)
			hang(w, r)
		}, "tok ", apierr.CodeModelTimeout, true},
		"a byte now and then": {func(w http.ResponseWriter, r *http.Request) {
			send(w, tokenEvent)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil {
				fmt.Fprint(w, "d")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
				}
			}
			gone.Add(1)
		}, "tok ", apierr.CodeModelTimeout, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, c.answer)
			e, _ := over(t, f.URL, func(u *openai.Upstream) { u.FirstByte, u.Idle = time.Second, 300*time.Millisecond })
			before := gone.Load()
			text, err := fails(t, e)
			enginetest.WantCode(t, err, c.code)
			if text != c.text {
				t.Errorf("%q came before the error, want %q", text, c.text)
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				if strings.Contains(cause.Error(), "quotes the prompt") {
					t.Errorf("the error holds what the server said: %v", cause)
				}
			}
			f.Close() // waits for the handlers
			if c.gone && gone.Load() == before {
				t.Error("the server was not left")
			}
		})
	}
}

// An endless text ends, though every event of it is good.
func TestEndlessText(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			send(w, tokenEvent)
		}
	})
	e, _ := over(t, f.URL, nil)
	text, err := fails(t, e)
	enginetest.WantCode(t, err, apierr.CodeModelStreamError)
	if len(text) > 1<<20 {
		t.Errorf("%d bytes came of a reply of 4 tokens", len(text))
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		code   string
	}{
		"llama.cpp, too long": {400, `{"error":{"code":400,"message":"quotes the prompt","type":"exceed_context_size_error","n_prompt_tokens":900,"n_ctx":512}}`, apierr.CodeValidation},
		"vLLM, too long":      {400, `{"error":{"message":"This model's maximum context length is 512 tokens. quotes the prompt","type":"BadRequestError","code":400}}`, apierr.CodeValidation},
		"OpenAI, too long":    {400, `{"error":{"message":"quotes the prompt","code":"context_length_exceeded"}}`, apierr.CodeValidation},
		"SGLang, too long":    {400, `{"object":"error","message":"The input is longer than the model's context length. quotes the prompt","code":400}`, apierr.CodeValidation},
		"too large":           {413, ``, apierr.CodeValidation},
		"refused":             {400, `{"error":{"message":"quotes the prompt"}}`, apierr.CodeModelError},
		"key refused":         {401, `quotes the prompt`, apierr.CodeModelError},
		"not there":           {404, `{"error":"quotes the prompt"}`, apierr.CodeModelNotReady},
		"busy":                {429, `{"error":{"message":"quotes the prompt"}}`, apierr.CodeThrottling},
		"broken":              {500, `{"error":{"message":"quotes the prompt"}}`, apierr.CodeModelError},
		"loading":             {503, `{"error":{"code":503,"message":"Loading model"}}`, apierr.CodeModelNotReady},
		"no answer behind":    {504, ``, apierr.CodeModelTimeout},
		"200, no stream":      {200, `{"choices":[{"message":{"content":"quotes the prompt"}}]}`, apierr.CodeModelError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "900000000000")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			e, _ := over(t, f.URL, nil)
			_, err := fails(t, e)
			enginetest.WantCode(t, err, c.code)
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				if strings.Contains(cause.Error(), "quotes the prompt") {
					t.Errorf("the error holds what the server said: %v", cause)
				}
			}
			if e, _ := errors.AsType[*apierr.Error](err); (c.code == apierr.CodeThrottling || c.code == apierr.CodeModelNotReady) != (e.RetryAfter == 5*time.Minute) {
				t.Errorf("try again after %v", e.RetryAfter)
			}
			if e, _ := errors.AsType[*apierr.Error](err); c.code == apierr.CodeModelError && c.status != 200 && e.OriginalStatus != c.status {
				t.Errorf("original status %d, want %d", e.OriginalStatus, c.status)
			}
		})
	}
}

// A redirect is not followed: it would take the key and the prompt elsewhere.
func TestRedirect(t *testing.T) {
	t.Parallel()
	var other atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { other.Add(1) }))
	defer elsewhere.Close()
	f := startFake(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	e, _ := over(t, f.URL, nil)
	_, err := fails(t, e)
	enginetest.WantCode(t, err, apierr.CodeModelError)
	if other.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// A server that is away is tried again, and one that came back works at once.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, stopEvent, usageEvent, "[DONE]") })
	var up atomic.Bool
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	e, log := over(t, f.URL, func(u *openai.Upstream) {
		u.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if !up.Load() {
				return nil, errors.New("connection refused")
			}
			return tr.RoundTrip(r)
		})
	})
	for range 2 {
		_, err := fails(t, e)
		enginetest.WantCode(t, err, apierr.CodeModelNotReady)
	}
	if !strings.Contains(log.String(), "cannot be used") {
		t.Error("the log does not tell")
	}
	up.Store(true)
	resp, err := llm.Collect(e.Generate(t.Context(), target, enginetest.Ask("Hi", 4)))
	if err != nil || resp.Text() != "tok " || resp.Usage.InputTokens != 7 || resp.Usage.OutputTokens != 1 || resp.Reason != llm.EndTurn {
		t.Fatalf("%+v, %v", resp, err)
	}
	up.Store(false)
	_, err = fails(t, e)
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A server that does not tell its counts is not used: numbers would be guesses.
func TestSelfTestAsksForUsage(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, _ *http.Request) { send(w, tokenEvent, stopEvent, "[DONE]") })
	f.tested = true
	e, _ := over(t, f.URL, nil)
	_, err := fails(t, e)
	enginetest.WantCode(t, err, apierr.CodeModelNotReady)
}

// The end of Run breaks calls off.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(w http.ResponseWriter, r *http.Request) {
		send(w, tokenEvent)
		<-r.Context().Done()
	})
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	e := begin(t, openai.Config{Upstreams: map[string]openai.Upstream{"w": {URL: f.URL, Kind: openai.Other, Mode: engine.Chat, Scopes: []string{"*"}, Transport: tr}}})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	var got error
	for ev, err := range e.Generate(t.Context(), target, enginetest.Ask("Hi", 4)) {
		if got = err; ev.Kind == llm.Delta {
			stop()
		}
	}
	enginetest.WantCode(t, got, apierr.CodeServiceUnavailable)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
