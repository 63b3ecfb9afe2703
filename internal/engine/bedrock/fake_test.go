package bedrock_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/bedrock"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/eventstream"
)

// Secrets that neither logs nor errors may hold.
const (
	sessionToken = "session-token-of-the-upstream"
	secretKey    = "secret-key-of-the-upstream"
)

// fake is an upstream that answers as told.
type fake struct {
	*httptest.Server
	mu    sync.Mutex
	asked []asked
}

// asked is a request that a fake got.
type asked struct {
	path   string
	header http.Header
	body   map[string]any
	raw    string
}

// startFake answers every request by h, which gets the body read.
func startFake(t testing.TB, h func(w http.ResponseWriter, r *http.Request, a asked)) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		a := asked{path: r.URL.EscapedPath(), header: r.Header.Clone(), raw: string(raw)}
		_ = json.Unmarshal(raw, &a.body) // nil when it is none
		f.mu.Lock()
		f.asked = append(f.asked, a)
		f.mu.Unlock()
		h(w, r, a)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) all() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]asked(nil), f.asked...)
}

// frame is one event of a stream.
func frame(kind, payload string) []byte {
	b, err := eventstream.AppendFrame(nil, []eventstream.Header{
		{Name: ":event-type", Value: eventstream.StringValue(kind)},
		{Name: ":content-type", Value: eventstream.StringValue("application/json")},
		{Name: ":message-type", Value: eventstream.StringValue("event")},
	}, []byte(payload))
	if err != nil {
		panic(err)
	}
	return b
}

// exception is a frame that ends a stream.
func exception(kind, message string) []byte {
	b, err := eventstream.AppendFrame(nil, []eventstream.Header{
		{Name: ":exception-type", Value: eventstream.StringValue(kind)},
		{Name: ":content-type", Value: eventstream.StringValue("application/json")},
		{Name: ":message-type", Value: eventstream.StringValue("exception")},
	}, []byte(`{"message":"`+message+`"}`))
	if err != nil {
		panic(err)
	}
	return b
}

var (
	startFrame = frame("messageStart", `{"role":"assistant"}`)
	stopFrame  = frame("messageStop", `{"stopReason":"end_turn"}`)
	usageFrame = frame("metadata", `{"usage":{"inputTokens":7,"outputTokens":2,"totalTokens":9},"metrics":{"latencyMs":5}}`)
)

func textFrame(text string) []byte {
	b, _ := json.Marshal(text)
	return frame("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":`+string(b)+`}}`)
}

// stream answers with frames.
func stream(w http.ResponseWriter, frames ...[]byte) {
	w.Header().Set("Content-Type", eventstream.ContentType)
	for _, f := range frames {
		_, _ = w.Write(f)
	}
	_ = http.NewResponseController(w).Flush()
}

// refuse answers with an exception.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-Errortype", code+":http://internal.amazon.com/coral/com.amazon.bedrock/")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":%q}`, message)
}

var target = engine.Target{Weights: "w", Mode: engine.Chat, Scope: "111122223333"}

// over starts an engine over a fake. change may be nil.
func over(t testing.TB, url string, change func(*bedrock.Upstream)) (*bedrock.Engine, *enginetest.Log) {
	t.Helper()
	transport := &http.Transport{}
	u := bedrock.Upstream{
		URL: url, Region: "us-west-2", Model: haiku, Mode: engine.Chat, Transport: transport, ContextTokens: 4096, Images: true,
		Credentials: keys{AccessKeyID: "AKIAEXAMPLE", Secret: secret.NewString(secretKey), Session: secret.NewString(sessionToken)},
	}
	if change != nil {
		change(&u)
	}
	log := &enginetest.Log{}
	e, err := bedrock.New(bedrock.Config{
		Upstreams: map[string]bedrock.Upstream{"w": u}, Log: log.Logger(),
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		for _, s := range []string{sessionToken, secretKey, "quotes the prompt", "123456789012"} {
			if strings.Contains(log.String(), s) {
				t.Errorf("the log holds %q: %s", s, log)
			}
		}
	})
	return e, log
}
