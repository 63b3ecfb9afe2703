package llamacpp_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
)

// roleVar tells the test binary to be something else than a test.
const roleVar = "OUTCROP_TEST_ROLE"

func roles() map[string]func() int {
	return map[string]func() int{"engine": fakeEngine, "server": doomedServer}
}

// fake says how the fake engine behaves. It travels in an environment variable.
type fake struct {
	Starts      string // file to which a line is added at every start: "safe" or "plain"
	CrashPlain  bool   // dies by SIGSEGV before it is ready, unless in safe mode
	CrashAlways bool   // exits before it is ready
	NeverReady  bool   // loads for ever, silently
	Deaf        bool   // ignores the end of stdin and SIGTERM
	HangAfter   int    // tokens before it hangs in the first process; 0 means never
	HangBefore  bool   // the first process hangs before the first token
	Echo        bool   // repeats the prefill
	Status      int    // answers generation with it, if not 0
	StreamError bool   // an error after two tokens
	Cards       string // what it prints as its devices
	CardCrash   bool   // dies by SIGABRT before it is ready when a layer is on a device
	Slow        bool   // one token per 20 ms, for ever
	NoStates    bool   // prints no state lines
	Probe       bool   // answers /probe with what it reaches of a prey, and keeps no Starts

	// Lines are the choices of its stream, one after the other; then its template
	// knows tools.
	Lines []string
}

const fakeVar = "OUTCROP_TEST_FAKE"

// host is a llama-server that behaves as told.
func (f fake) host(t testing.TB) llamacpp.Host {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if f.Starts == "" {
		f.Starts = filepath.Join(t.TempDir(), "starts")
	}
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return llamacpp.Host{Binary: exe, Build: "fake 1", Dir: filepath.Dir(f.Starts), Env: []string{roleVar + "=engine", fakeVar + "=" + string(b)}}
}

// config is an engine over the fake with two weights, "a" and "b".
func (f fake) config(t testing.TB) llamacpp.Config {
	t.Helper()
	host, file := f.host(t), tinyModel(t)
	return llamacpp.Config{
		Weights: llamacpp.WeightsFunc(func(_ context.Context, id string) (llamacpp.File, error) {
			if id != "a" && id != "b" {
				return llamacpp.File{}, os.ErrNotExist
			}
			return llamacpp.File{Path: file, Mode: engine.Chat, ContextTokens: 512}, nil
		}),
		Installer: llamacpp.InstallerFunc(func(context.Context) (llamacpp.Host, error) { return host, nil }),
		Slots:     2, Threads: 1, MemoryLimit: -1, Log: testLog(t), LoadWait: 20 * time.Second, Drain: 50 * time.Millisecond,
	}
}

var (
	targetA = engine.Target{Weights: "a", Mode: engine.Chat, Scope: "s"}
	targetB = engine.Target{Weights: "b", Mode: engine.Chat, Scope: "s"}
)

// tinyModel writes a model file that has a header and nothing else.
func tinyModel(t testing.TB) string {
	t.Helper()
	var b []byte
	str := func(s string) {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	kv := func(k, v string) {
		str(k)
		b = binary.LittleEndian.AppendUint32(b, 8)
		str(v)
	}
	num := func(k string, v uint32) {
		str(k)
		b = binary.LittleEndian.AppendUint32(b, 4)
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, "GGUF"...)
	b = binary.LittleEndian.AppendUint32(b, 3)
	b = binary.LittleEndian.AppendUint64(b, 0) // tensors
	b = binary.LittleEndian.AppendUint64(b, 9) // pairs
	kv("general.architecture", "llama")
	num("llama.context_length", 512)
	num("llama.embedding_length", 64)
	num("llama.block_count", 2)
	num("llama.attention.head_count", 2)
	kv("tokenizer.chat_template", "{{ messages }}")
	kv("tokenizer.ggml.model", "gpt2")
	str("tokenizer.ggml.tokens")
	b = binary.LittleEndian.AppendUint32(b, 9)
	b = binary.LittleEndian.AppendUint32(b, 8)
	b = binary.LittleEndian.AppendUint64(b, 2)
	str("x")
	str("<|end|>")
	str("tokenizer.ggml.token_type")
	b = binary.LittleEndian.AppendUint32(b, 9)
	b = binary.LittleEndian.AppendUint32(b, 5)
	b = binary.LittleEndian.AppendUint64(b, 2)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 3)
	for len(b)%32 != 0 {
		b = append(b, 0)
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fakeEngine is a llama-server as far as the supervision tests need one.
func fakeEngine() int {
	var f fake
	if err := json.Unmarshal([]byte(os.Getenv(fakeVar)), &f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if len(os.Args) == 2 && os.Args[1] == "--list-devices" {
		fmt.Print(f.Cards)
		return 0
	}
	fs := flag.NewFlagSet("llama-server", flag.ContinueOnError)
	socket := fs.String("host", "", "")
	safe := fs.Bool("no-repack", false, "")
	sleep := fs.Int("sleep-idle-seconds", 0, "")
	layers := fs.Int("n-gpu-layers", -1, "")
	for _, name := range []string{"metrics", "offline", "no-context-shift", "no-slots", "jinja", "embeddings", "kv-unified"} {
		fs.Bool(name, false, "")
	}
	for _, name := range []string{
		"model", "alias", "ctx-size", "parallel", "batch-size", "ubatch-size", "threads", "threads-batch", "cache-ram", "fit",
		"log-verbosity", "pooling", "ctx-checkpoints",
	} {
		fs.String(name, "", "")
	}
	if err := fs.Parse(os.Args[1:]); err != nil {
		return 2
	}
	before, _ := os.ReadFile(f.Starts)
	first := len(before) == 0
	kind := "plain"
	if *safe {
		kind = "safe"
	}
	if *layers >= 0 {
		kind += fmt.Sprintf(" %d layers", *layers)
	}
	if f.Probe {
		first = false // confined, it writes nothing
	} else if err := os.WriteFile(f.Starts, append(before, kind+"\n"...), 0o600); err != nil {
		return 2
	}
	if f.CrashPlain && !*safe {
		return crash("SEGV")
	}
	if f.CardCrash && *layers > 0 {
		return crash("ABRT")
	}
	if f.CrashAlways {
		fmt.Fprintln(os.Stderr, "E no such tensor")
		return 1
	}
	if f.Deaf {
		signal.Ignore(syscall.SIGTERM)
	} else {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()
	}
	if f.NeverReady {
		select {}
	}
	l, err := net.Listen("unix", *socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if !f.NoStates {
		fmt.Println(`cmd_child_to_router:state:{"state":"loading","payload":{"value":0.5}}`)
		fmt.Println(`cmd_child_to_router:state:{"state":"ready","payload":{}}`)
	}
	h := f.handler(first)
	if *sleep > 0 {
		h = drowsy(h, time.Duration(*sleep)*time.Second)
	}
	return exit(http.Serve(l, h)) // #nosec G114 -- a test
}

// drowsy says that it sleeps after a while without work, as llama.cpp's server does.
func drowsy(h http.Handler, after time.Duration) http.Handler {
	var mu sync.Mutex
	asleep := false
	nap := time.AfterFunc(after, func() {
		mu.Lock()
		defer mu.Unlock()
		asleep = true
		fmt.Println(`cmd_child_to_router:state:{"state":"sleeping","payload":null}`)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" && r.URL.Path != "/props" {
			mu.Lock()
			nap.Reset(after)
			if asleep {
				asleep = false
				fmt.Println(`cmd_child_to_router:state:{"state":"ready","payload":null}`)
			}
			mu.Unlock()
		}
		h.ServeHTTP(w, r)
	})
}

// crash dies by a signal, which Go itself would catch.
func crash(signal string) int {
	sh, err := exec.LookPath("sh")
	if err != nil {
		return 2
	}
	return exit(syscall.Exec(sh, []string{"sh", "-c", "kill -" + signal + " $$"}, nil))
}

func exit(err error) int {
	if err != nil {
		return 1
	}
	return 0
}

func (f fake) handler(first bool) http.Handler {
	mux := http.NewServeMux()
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	if f.Probe {
		mux.HandleFunc("/probe", func(w http.ResponseWriter, r *http.Request) {
			var p prey
			if json.NewDecoder(r.Body).Decode(&p) == nil {
				_ = json.NewEncoder(w).Encode(p.hunt())
			}
		})
	}
	mux.HandleFunc("/health", answer(`{"status":"ok"}`))
	mux.HandleFunc("/props", answer(fmt.Sprintf(
		`{"default_generation_settings":{"n_ctx":512},"chat_template_caps":{"supports_tools":%t,"supports_tool_calls":%[1]t}}`, f.Lines != nil)))
	mux.HandleFunc("/apply-template", answer(`{"prompt":""}`))
	mux.HandleFunc("/tokenize", answer(`{"tokens":[0]}`))
	mux.HandleFunc("/v1/chat/completions/input_tokens", answer(`{"input_tokens":7}`))
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Messages []struct{ Role, Content string }
			Max      int `json:"max_tokens"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		last := in.Messages[len(in.Messages)-1]
		test := strings.HasPrefix(last.Content, "#") // the self-test
		if f.Status != 0 && !test {
			w.WriteHeader(f.Status)
			fmt.Fprint(w, `{"error":{"code":1,"message":"quotes the prompt","type":"exceed_context_size_error","n_prompt_tokens":900,"n_ctx":512}}`)
			return
		}
		flush := http.NewResponseController(w)
		send := func(s string) {
			fmt.Fprintf(w, "data: %s\n\n", s)
			_ = flush.Flush()
		}
		delta := func(s string) {
			b, _ := json.Marshal(s)
			send(`{"choices":[{"finish_reason":null,"index":0,"delta":{"content":` + string(b) + `}}],"created":1}`)
		}
		send(`{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"prompt_progress":{"total":7,"cache":0,"processed":7}}`)
		if f.Echo && last.Role == "assistant" {
			delta(last.Content[:1])
			delta(last.Content[1:] + "!")
		}
		for _, choice := range f.Lines {
			if test {
				break
			}
			send(`{"choices":[` + choice + `]}`)
		}
		if f.Lines != nil && !test {
			send(fmt.Sprintf(`{"choices":[],"usage":{"completion_tokens":%d,"prompt_tokens":7}}`, len(f.Lines)))
			send("[DONE]")
			return
		}
		if f.HangBefore && first && !test {
			<-r.Context().Done()
			return
		}
		for i := range in.Max {
			if f.HangAfter > 0 && i == f.HangAfter && first && !test {
				<-r.Context().Done()
				return
			}
			if f.StreamError && i == 2 {
				send(`{"error":{"code":500,"message":"quotes the prompt","type":"server_error"}}`)
				return
			}
			if f.Slow && !test {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
			delta(" t")
		}
		send(`{"choices":[{"finish_reason":"length","index":0,"delta":{}}]}`)
		send(fmt.Sprintf(`{"choices":[],"usage":{"completion_tokens":%d,"prompt_tokens":7}}`, in.Max))
		send("[DONE]")
	})
	return mux
}
