package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/idempotency"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/meter"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagent"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagentruntime"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/iam"
	"github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
	stsapi "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const account = "111122223333"

func services() []*awsapi.Service {
	return []*awsapi.Service{&bedrock.Model, &rt.Model, &bedrockagent.Model, &bedrockagentruntime.Model, &stsapi.Model, &iam.Model, &organizations.Model, &accessanalyzer.Model}
}

// records is a meter that keeps what it gets.
type records struct {
	mu   sync.Mutex
	all  []meter.Record
	full atomic.Bool       // not ready
	came chan meter.Record // every record too, when set
}

func (r *records) Add(rec meter.Record) error {
	r.mu.Lock()
	r.all = append(r.all, rec)
	r.mu.Unlock()
	if r.came != nil {
		r.came <- rec
	}
	return nil
}

func (r *records) Ready() bool { return !r.full.Load() }

// count is how many records there are.
func (r *records) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

func (r *records) last(t *testing.T) meter.Record {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		t.Fatal("no record")
	}
	return r.all[len(r.all)-1]
}

// callers are the owners of keys: roots of their accounts.
type callers struct{ keys *keys.Service }

func (c callers) SigV4(ctx context.Context, id, token string) (call.Principal, secret.Value, error) {
	if token != "" {
		return call.Principal{}, secret.Value{}, sigv4.Unrecognized()
	}
	k, sec, err := c.keys.LookupSigV4(ctx, id)
	return rootOf(k), sec, err
}

func (c callers) Bearer(ctx context.Context, token secret.Value) (call.Principal, string, error) {
	k, err := c.keys.VerifyLongTerm(ctx, token)
	p := rootOf(k)
	p.Bearer = true
	return p, "", err
}

func rootOf(k keys.Key) call.Principal {
	return call.Principal{Type: call.Root, Account: k.Account, AccessKeyID: k.ID, ARN: "arn:aws:iam::" + k.Account + ":root", UserID: k.Account}
}

// once runs everything: the tests here send no tokens.
type once struct{}

func (once) Do(_ context.Context, _ idempotency.Key, fn func() (int, []byte, error)) (int, []byte, bool, error) {
	status, body, err := fn()
	return status, body, false, err
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// fixture is a gateway whose Converse, ConverseStream and InvokeModel are
// functions of the test.
type fixture struct {
	handler http.Handler
	gateway *gateway.Gateway
	keys    *keys.Service
	records *records
	log     *syncBuffer

	key      keys.Created // signs
	disabled keys.Created
	bearer   keys.Created

	mu       sync.Mutex
	reached  int // calls that got to a handler
	converse func(context.Context, *call.Call, *rt.ConverseInput) (*rt.ConverseOutput, error)
	stream   func(context.Context, *call.Call, *rt.ConverseStreamInput) (*rt.ConverseStreamOutput, error)
	invoke   func(context.Context, *call.Call, *rt.InvokeModelInput) (*rt.InvokeModelOutput, error)
	chunks   awsapi.Events // of InvokeModelWithResponseStream
}

func (f *fixture) count() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached++
}

func (f *fixture) handled() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reached
}

func start(t testing.TB, change ...func(*gateway.Config)) *fixture {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		keys:    keys.New(keys.Config{Store: &keystest.Store{}, Root: root}),
		records: &records{}, log: &syncBuffer{},
		converse: func(context.Context, *call.Call, *rt.ConverseInput) (*rt.ConverseOutput, error) {
			return &rt.ConverseOutput{}, nil
		},
		invoke: func(_ context.Context, _ *call.Call, in *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
			return &rt.InvokeModelOutput{Body: in.Body, ContentType: new("application/json")}, nil
		},
	}
	for k, kind := range map[*keys.Created]keys.Kind{&f.key: keys.SigV4, &f.disabled: keys.SigV4, &f.bearer: keys.Bearer} {
		if *k, err = f.keys.Create(t.Context(), keys.CreateInput{Account: account, Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.keys.Disable(t.Context(), f.disabled.ID); err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{
		Services: services(),
		Routes: []service.Route{
			service.Bind(stsapi.OpGetCallerIdentity, func(_ context.Context, c *call.Call, _ *stsapi.GetCallerIdentityInput) (*stsapi.GetCallerIdentityOutput, error) {
				return &stsapi.GetCallerIdentityOutput{Account: &c.Principal.Account}, nil
			}),
			service.Bind(rt.OpConverse, func(ctx context.Context, c *call.Call, in *rt.ConverseInput) (*rt.ConverseOutput, error) {
				f.count()
				return f.converse(ctx, c, in)
			}),
			service.Bind(rt.OpConverseStream, func(ctx context.Context, c *call.Call, in *rt.ConverseStreamInput) (*rt.ConverseStreamOutput, error) {
				f.count()
				return f.stream(ctx, c, in)
			}),
			service.Bind(rt.OpInvokeModelWithResponseStream, func(context.Context, *call.Call, *rt.InvokeModelWithResponseStreamInput) (*rt.InvokeModelWithResponseStreamOutput, error) {
				f.count()
				return &rt.InvokeModelWithResponseStreamOutput{Body: f.chunks, ContentType: new("application/json")}, nil
			}),
			service.Bind(rt.OpInvokeModel, func(ctx context.Context, c *call.Call, in *rt.InvokeModelInput) (*rt.InvokeModelOutput, error) {
				f.count()
				return f.invoke(ctx, c, in)
			}),
		},
		Callers: callers{f.keys}, Access: access.Authorizer{}, Meter: f.records, Idempotency: once{},
		Log: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.handler, f.gateway = g, g
	return f
}

// watch runs the gateway's watch over open calls until the test ends.
func (f *fixture) watch(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.gateway.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// listen serves the gateway over HTTP/1.1 until the test ends.
func (f *fixture) listen(t testing.TB) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f.handler)
	t.Cleanup(s.Close)
	return s
}

func (f *fixture) credentials() sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: f.key.ID, Secret: f.key.Secret}
}

// sign makes a signed client request.
func (f *fixture) sign(t testing.TB, method, target string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if err := sigv4.Sign(r, body, f.credentials(), "us-east-1", "bedrock", time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

// body counts what is read of it.
type countingBody struct {
	io.Reader
	read int
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *countingBody) Close() error { return nil }

// received is the request as a server gets it.
func received(r *http.Request, body []byte) (*http.Request, *countingBody) {
	b := &countingBody{Reader: bytes.NewReader(body)}
	s := httptest.NewRequest(r.Method, r.URL.RequestURI(), b)
	s.Host, s.Header, s.ContentLength = r.URL.Host, r.Header.Clone(), int64(len(body))
	s.RemoteAddr = "127.0.0.1:50000"
	return s, b
}

// answer is what a client sees.
type answer struct {
	status  int
	code    string
	message string
	header  http.Header
	body    string
}

func read(t testing.TB, resp *http.Response) answer {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	_ = resp.Body.Close()
	a := answer{status: resp.StatusCode, code: resp.Header.Get("x-amzn-ErrorType"), header: resp.Header, body: string(b)}
	var m struct{ Message string }
	if json.Unmarshal(b, &m) == nil {
		a.message = m.Message
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/xml") {
		_, rest, _ := strings.Cut(a.body, "<Code>")
		a.code, _, _ = strings.Cut(rest, "</Code>")
	}
	return a
}

// do sends a request and reads the answer.
func do(t testing.TB, c *http.Client, r *http.Request) answer {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, resp)
}

// pathOf is a path of the operation with every label filled in.
func pathOf(s *awsapi.Service, op *awsapi.Operation) string {
	value := "label-1"
	if strings.HasPrefix(op.URI, "/tags/") { // the ARN tells whose operation it is; else it is bedrock-agent's
		switch s.Name {
		case "bedrock-agent-runtime":
			value = url.PathEscape("arn:aws:bedrock:us-east-1:" + account + ":session/1")
		case "accessanalyzer":
			value = url.PathEscape("arn:aws:access-analyzer:us-east-1:" + account + ":analyzer/1")
		}
	}
	var b strings.Builder
	for uri := op.URI; uri != ""; {
		before, rest, ok := strings.Cut(uri, "{")
		b.WriteString(before)
		if !ok {
			break
		}
		_, uri, _ = strings.Cut(rest, "}")
		b.WriteString(value)
	}
	return b.String()
}

const converseBody = `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`

func withTLS(on bool) func(*gateway.Config) {
	return func(c *gateway.Config) { c.TLS = on }
}
