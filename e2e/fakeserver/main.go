// Command fakeserver is a llama-server that computes nothing, for tests of what stands
// before a model: lines, loads, replacements and the sandbox. The last words of a
// conversation choose its reply:
//
//	work     six words, one per 30 ms; they tell the process and how many such replies
//	         it was making at once
//	hunt {}  what it can reach of what the JSON names, as JSON; see prey
//
// A name that ends in "-takes-" and a duration makes it load for so long.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// options are those that Outcrop wants a llama-server to know.
const options = `--host --model --alias --ctx-size --parallel --batch-size --ubatch-size --threads --threads-batch
--cache-ram --metrics --offline --embeddings --pooling --no-repack --fit --no-context-shift --no-slots --log-verbosity
--jinja --mmproj --chat-template --kv-unified`

func main() {
	switch {
	case slices.Contains(os.Args, "--help"):
		fmt.Println(options)
	case slices.Contains(os.Args, "--version"):
		fmt.Println("version: 1 (fake)")
	case slices.Contains(os.Args, "--list-devices"):
	default:
		fmt.Fprintln(os.Stderr, serve())
		os.Exit(1)
	}
}

// option is the value of an option, or "".
func option(name string) string {
	if i := slices.Index(os.Args, name); i > 0 && i+1 < len(os.Args) {
		return os.Args[i+1]
	}
	return ""
}

func serve() error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the server is gone
	}()
	if _, word, ok := strings.Cut(filepath.Base(os.Args[0]), "-takes-"); ok {
		takes, err := time.ParseDuration(word)
		if err != nil {
			return err
		}
		for begin := time.Now(); time.Since(begin) < takes; time.Sleep(50 * time.Millisecond) {
			state("loading", fmt.Sprintf(`{"value":%f}`, float64(time.Since(begin))/float64(takes)))
		}
	}
	l, err := net.Listen("unix", option("--host"))
	if err != nil {
		return err
	}
	state("ready", "{}")
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", answer(`{"status":"ok"}`))
	mux.HandleFunc("/props", answer(`{"default_generation_settings":{"n_ctx":1048576}}`))
	mux.HandleFunc("/apply-template", answer(`{"prompt":""}`))
	mux.HandleFunc("/tokenize", answer(`{"tokens":[0]}`))
	mux.HandleFunc("/v1/chat/completions/input_tokens", answer(`{"input_tokens":7}`))
	mux.HandleFunc("/v1/chat/completions", chat)
	return http.Serve(l, mux) // #nosec G114 -- its client is the test
}

// state tells Outcrop how far the load is.
func state(name, payload string) {
	fmt.Printf("cmd_child_to_router:state:{\"state\":%q,\"payload\":%s}\n", name, payload)
}

// working is how many replies to "work" are being made.
var working atomic.Int64

func chat(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Messages []struct{ Role, Content string }
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || len(in.Messages) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	send := func(line string) {
		fmt.Fprintf(w, "data: %s\n\n", line)
		_ = http.NewResponseController(w).Flush()
	}
	words := 0
	say := func(text string) {
		words++
		b, _ := json.Marshal(text)
		send(`{"choices":[{"finish_reason":null,"index":0,"delta":{"content":` + string(b) + `}}]}`)
	}
	send(`{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"prompt_progress":{"total":7,"cache":0,"processed":7}}`)
	asked := in.Messages[len(in.Messages)-1].Content
	switch hunt, ok := strings.CutPrefix(asked, "hunt "); {
	case ok:
		var p prey
		if json.Unmarshal([]byte(hunt), &p) == nil {
			found, _ := json.Marshal(p.hunt())
			say(string(found))
		}
	case asked == "work":
		n := working.Add(1)
		defer working.Add(-1)
		for i, word := range []string{"process", fmt.Sprint(" ", os.Getpid()), " made", fmt.Sprint(" ", n), " at", " once"} {
			if i > 0 {
				time.Sleep(30 * time.Millisecond)
			}
			if r.Context().Err() != nil {
				return
			}
			say(word)
		}
	default:
		say("yes")
	}
	send(`{"choices":[{"finish_reason":"stop","index":0,"delta":{}}]}`)
	send(fmt.Sprintf(`{"choices":[],"usage":{"completion_tokens":%d,"prompt_tokens":7}}`, words))
	send("[DONE]")
}
