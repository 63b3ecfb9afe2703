package acceptance

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
)

// peerScript is the server that the tests of the engine over such servers speak to.
var peerScript = filepath.Join("..", "engine", "openai", "testdata", "server.py")

const (
	peerSlots   = 8
	peerContext = 1024
	pooled      = "acme.pooled-v1:0"
)

// peer is a llama.cpp server on a port, a member of a pool.
type peer struct {
	port int
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{}
}

// begin starts the server and waits until it is ready.
func (p *peer) begin(t *testing.T, h llamacpp.Host, model string) {
	t.Helper()
	err := p.start(h, model, "repacked")
	if crash, ok := errors.AsType[*exec.ExitError](err); ok && crash.ExitCode() < 0 { // by a signal: the build does not fit the CPU
		err = p.start(h, model, "safe")
	}
	if err != nil {
		t.Fatalf("start a server: %v", err)
	}
}

func (p *peer) start(h llamacpp.Host, model, how string) error {
	if h.Binary != "" {
		p.cmd = exec.Command(h.Binary, "--model", model, "--host", "127.0.0.1", "--port", strconv.Itoa(p.port), "--jinja", "--offline",
			"--ctx-size", strconv.Itoa(peerSlots*peerContext), "--parallel", strconv.Itoa(peerSlots), "--threads", "1", "--cache-ram", "0")
		p.cmd.Env = append(os.Environ(), "LLAMA_SERVER_ROUTER_PORT=1") // its state goes to the output
	} else {
		script, err := os.ReadFile(peerScript)
		if err != nil {
			return err
		}
		arg, err := json.Marshal(map[string]any{
			"site": h.Site, "model": model, "projector": "", "template": "", "port": p.port, "key": "", "slots": peerSlots,
			"context": peerContext, "safe": how == "safe", "embedding": false,
		})
		if err != nil {
			return err
		}
		p.cmd = exec.Command(h.Python, "-I", "-S", "-B", "-c", string(script), string(arg))
	}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ready := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for !ready && lines.Scan() {
		ready = strings.Contains(lines.Text(), `"state":"ready"`)
	}
	if !ready {
		_ = p.in.Close()
		return cmp.Or(p.cmd.Wait(), errors.New("it ended"))
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		close(done)
	}(p.cmd, p.done)
	return nil
}

// kill ends the server as kill -9 does.
func (p *peer) kill() {
	if p.done != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
		_ = p.in.Close()
		p.done = nil
	}
}

// placed is a log that remembers which server answered which call.
type placed struct {
	mu   sync.Mutex
	more sync.Cond
	at   map[string]string // by request id
}

// Write takes one line.
func (p *placed) Write(line []byte) (int, error) {
	var v struct {
		Request string `json:"request_id"`
		Server  string `json:"server"`
	}
	if json.Unmarshal(line, &v) == nil && v.Request != "" {
		p.mu.Lock()
		p.at[v.Request] = v.Server
		p.mu.Unlock()
		p.more.Broadcast()
	}
	return len(line), nil
}

// of is the server of a call, which has ended.
func (p *placed) of(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if s, ok := p.at[id]; ok {
			return s
		}
		p.more.Wait()
	}
}

// fleet is a server of the product before two others.
type fleet struct {
	*apptest.Server
	log   *placed
	peers map[string]*peer
	host  llamacpp.Host
	model string
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{log: &placed{at: map[string]string{}}, peers: map[string]*peer{}}
	f.log.more.L = &f.log.mu
	var upstreams []app.Upstream
	for _, name := range []string{"north", "south"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{port: l.Addr().(*net.TCPAddr).Port}
		_ = l.Close()
		f.peers[name] = p
		upstreams = append(upstreams, app.Upstream{
			Name: name, URL: fmt.Sprintf("http://127.0.0.1:%d", p.port), Kind: "llama-server", Concurrent: peerSlots, Exclusive: true,
		})
	}
	catalogue := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(catalogue, []byte(`
weights:
  - id: pooled
    name: Pooled
    license: Apache-2.0
    source: {upstreams: [north, south]}
    mode: chat
    context_tokens: 1024
    default_max_tokens: 64
models:
  - {id: "`+pooled+`", name: Pooled, provider: Acme, family: converse, weights: pooled, streaming: true}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Server = apptest.Start(t, apptest.RealEngine(), apptest.Documents(), apptest.Log(slog.New(slog.NewJSONHandler(f.log, nil))), apptest.Config(func(c *app.Config) {
		c.Catalog, c.Upstreams = catalogue, upstreams
		c.Engine.QueueDeadline = 10 * time.Minute // a busy machine is no reason to fail
		c.Pools.ProbeInterval, c.Pools.ProbeTimeout = new(time.Second), time.Minute
	}))
	f.host, f.model = f.Host(t), f.WeightsFile(t, chatWeights)
	var wg sync.WaitGroup
	for _, p := range f.peers {
		t.Cleanup(p.kill)
		wg.Go(func() { p.begin(t, f.host, f.model) })
	}
	wg.Wait()
	client, seen := f.Runtime(), map[string]bool{}
	for i := 0; len(seen) < len(f.peers); i++ { // until a probe has found them both
		if o := f.converse(t.Context(), client, speech{}.add(types.ConversationRoleUser, fmt.Sprint(i)), 1); o.err != nil {
			t.Fatal(o.err)
		} else {
			seen[o.server] = true
		}
	}
	return f
}

// speech is a conversation so far.
type speech []types.Message

func (s speech) add(role types.ConversationRole, text string) speech {
	return append(s, types.Message{Role: role, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}})
}

var poolSystem = []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "You tell stories, one sentence at a time."}}

// one is what became of a call.
type one struct {
	begin, first, end time.Time // first: of the first event or the answer; zero: none came
	stream            bool
	server            string
	text              string
	err               error
}

// converse runs one call that is no stream.
func (f *fleet) converse(ctx context.Context, c *bedrockruntime.Client, s speech, tokens int32) (o one) {
	o.begin = time.Now()
	out, err := c.Converse(ctx, &bedrockruntime.ConverseInput{
		ModelId: new(pooled), Messages: s, System: poolSystem, InferenceConfig: &types.InferenceConfiguration{MaxTokens: new(tokens), Temperature: new(float32(0))},
	})
	o.end, o.err = time.Now(), err
	if re, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		o.server = f.log.of(re.ServiceRequestID())
		return o
	}
	if err != nil {
		return o
	}
	o.first = o.end
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	o.server = f.log.of(id)
	for _, b := range out.Output.(*types.ConverseOutputMemberMessage).Value.Content {
		if text, ok := b.(*types.ContentBlockMemberText); ok {
			o.text += text.Value
		}
	}
	return o
}

// stream runs one call that is a stream; at is called with the number of each of its
// deltas.
func (f *fleet) stream(ctx context.Context, c *bedrockruntime.Client, s speech, tokens int32, at func(int)) (o one) {
	o.begin, o.stream = time.Now(), true
	out, err := c.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
		ModelId: new(pooled), Messages: s, System: poolSystem, InferenceConfig: &types.InferenceConfiguration{MaxTokens: new(tokens), Temperature: new(float32(0))},
	})
	if err != nil {
		o.end, o.err = time.Now(), err
		if re, ok := errors.AsType[*awshttp.ResponseError](err); ok {
			o.server = f.log.of(re.ServiceRequestID())
		}
		return o
	}
	st, n := out.GetStream(), 0
	for ev := range st.Events() {
		if o.first.IsZero() {
			o.first = time.Now()
		}
		if _, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			at(n)
			n++
		}
	}
	o.end, o.err = time.Now(), st.Err()
	_ = st.Close() // it has ended
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	o.server = f.log.of(id)
	return o
}

// TestPool stands before two real servers: conversations stay where they are, and
// when one server is killed in the middle of the load, only streams that had begun
// on it fail.
func TestPool(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	t.Run("affinity", f.affinity)
	t.Run("kill", f.kill)
}

func (f *fleet) affinity(t *testing.T) {
	conversations, turns, together := 8, 3, 3
	if *full {
		conversations, turns, together = 50, 6, 6
	}
	client := f.Runtime()
	free := make(chan struct{}, together)
	var (
		wg        sync.WaitGroup
		mu        sync.Mutex
		home, all int
		by        = map[string]int{}
	)
	begin := time.Now()
	for i := range conversations {
		wg.Go(func() {
			var s speech
			at := map[string]int{}
			for turn := range turns {
				s = s.add(types.ConversationRoleUser, fmt.Sprintf("Story %d, part %d, please.", i, turn))
				free <- struct{}{}
				o := f.converse(t.Context(), client, s, 4)
				<-free
				if o.err != nil {
					t.Error(o.err)
					return
				}
				at[o.server]++
				s = s.add(types.ConversationRoleAssistant, cmp.Or(strings.TrimSpace(o.text), "Well."))
			}
			mu.Lock()
			defer mu.Unlock()
			most := 0
			for name, n := range at {
				by[name] += n
				most = max(most, n)
			}
			home += most
			all += turns
		})
	}
	wg.Wait()
	t.Logf("%d conversations of %d turns, %d at a time: %d of %d turns (%.1f %%) on the server of their conversation; %v; %s",
		conversations, turns, together, home, all, 100*float64(home)/float64(max(all, 1)), by, time.Since(begin).Round(time.Millisecond))
	if home*10 < all*9 {
		t.Errorf("%d of %d turns on the server of their conversation", home, all)
	}
}

func (f *fleet) kill(t *testing.T) {
	clients, before, after := 2, 1, 2 // of each way to call; calls before the kill and after it
	if *full {
		clients, before, after = 4, 4, 4
	}
	rt := make([]*bedrockruntime.Client, 2*clients)
	for i := range rt {
		rt[i] = f.Runtime()
	}
	first := speech{}.add(types.ConversationRoleUser, "Begin.")
	victim := f.stream(t.Context(), rt[0], first, 4, func(int) {}).server
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		all    []one
		killed time.Time
		dead   = make(chan struct{})
		once   sync.Once
	)
	die := func() {
		once.Do(func() {
			killed = time.Now()
			f.peers[victim].kill()
			close(dead)
		})
	}
	for i := range rt {
		wg.Go(func() {
			s := first
			if i > 0 {
				s = speech{}.add(types.ConversationRoleUser, fmt.Sprintf("Begin story %d.", i))
			}
			left := after
			for n := 0; left > 0; n++ {
				select {
				case <-dead:
					left--
				default:
				}
				var o one
				if i%2 == 0 {
					o = f.stream(t.Context(), rt[i], s, 40, func(delta int) {
						if i == 0 && n == before && delta == 3 {
							die()
						}
					})
				} else {
					o = f.converse(t.Context(), rt[i], s, 16)
				}
				mu.Lock()
				all = append(all, o)
				mu.Unlock()
				if i == 0 && n == before {
					die() // should its stream have been so short
				}
			}
		})
	}
	wg.Wait()
	var broken, streams int
	var taken, usual []time.Duration // until the first event of streams: from the kill, of those that began after it; from their begin, of those before
	for _, o := range all {
		if o.stream {
			streams++
		}
		switch {
		case !o.stream || o.first.IsZero():
		case o.begin.After(killed):
			taken = append(taken, o.first.Sub(killed))
		case o.first.Before(killed):
			usual = append(usual, o.first.Sub(o.begin))
		}
		if o.begin.After(killed) && o.server == victim {
			t.Error("a call that began after the kill is said to be answered by the dead server")
		}
		if o.err == nil {
			continue
		}
		if _, modelled := errors.AsType[*types.ModelStreamErrorException](o.err); modelled && o.stream && !o.first.IsZero() && o.begin.Before(killed) && o.server == victim {
			broken++
			continue
		}
		t.Errorf("stream %t on %q, begun %s after the kill: %v", o.stream, o.server, o.begin.Sub(killed), o.err)
	}
	slices.Sort(taken)
	slices.Sort(usual)
	if len(taken) == 0 || len(usual) == 0 {
		t.Fatal("no stream began before the kill, or none after it")
	}
	t.Logf("%d calls, %d of them streams, %d at a time: %d streams that had begun on the killed server failed with ModelStreamErrorException, nothing else; the first event of a stream that began after the kill came %s after it (median from the begin of a stream before: %s)",
		len(all), streams, len(rt), broken, taken[0].Round(time.Millisecond), usual[len(usual)/2].Round(time.Millisecond))

	f.peers[victim].begin(t, f.host, f.model)
	up := time.Now()
	for i := range 2000 { // it is back when a probe has found it; half of all conversations are its own
		if o := f.converse(t.Context(), rt[0], speech{}.add(types.ConversationRoleUser, fmt.Sprint(i)), 1); o.err != nil {
			t.Fatal(o.err)
		} else if o.server == victim {
			t.Logf("the server got a conversation %s after it was ready again", time.Since(up).Round(time.Millisecond))
			return
		}
	}
	t.Error("the server was not used again")
}
