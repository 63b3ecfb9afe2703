package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// TestKillServer kills the server with SIGKILL in the middle of streams, 3 times
// or with -full 20: no engine may survive 1 s, the next start must work, and
// keys, catalogue and what was acknowledged must be what they were.
func TestKillServer(t *testing.T) {
	t.Parallel()
	rounds := 3
	if *full {
		rounds = 20
	}
	srv := startFor(t, options{})
	extra := createKey(t, srv, "--account", "222233334444")
	keys, models := listKeys(t, srv), cliOutput(t, srv, "models", "list", "--json")
	create := &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("e2e-kill"), ClientRequestToken: aws.String("e2e-kill-1"),
		ModelSource: &bedrocktypes.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:us-east-1::foundation-model/" + claudeHaiku},
	}
	made, err := newGoClients(srv).control.CreateInferenceProfile(t.Context(), create)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 {
		t.Fatalf("%d keys, want 2", len(keys))
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same kills in every run
	for round := range rounds {
		// Several streams, of which the last is read for a while.
		rt := newGoClients(srv).rt
		var last *bedrockruntime.ConverseStreamEventStream
		for range 1 + random.IntN(3) {
			last = openStory(t.Context(), t, rt)
			defer last.Close()
		}
		for range random.IntN(20) {
			<-last.Events()
		}
		engines, err := descendants(srv.cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if len(engines) == 0 {
			t.Fatal("a stream runs without an engine process")
		}
		if round%3 == 0 { // a key made right before the kill was acknowledged, so it must be there
			k := createKey(t, srv)
			k.Secret = ""
			keys[k.ID] = k
		}
		srv.kill()
		if err := gone(engines, time.Second); err != nil {
			t.Fatal(err)
		}
		next, err := start(t.Context(), options{data: srv.data})
		if err != nil {
			t.Fatalf("start after kill %d: %v", round+1, err)
		}
		defer func() {
			if err := next.stop(); err != nil {
				t.Error(err)
			}
		}()
		if next.env["AWS_ACCESS_KEY_ID"] != srv.env["AWS_ACCESS_KEY_ID"] || next.env["AWS_SECRET_ACCESS_KEY"] != srv.env["AWS_SECRET_ACCESS_KEY"] {
			t.Error("the first key has changed")
		}
		srv = next
		if got := listKeys(t, srv); !maps.Equal(got, keys) {
			t.Errorf("keys %v, want %v", got, keys)
		}
		if got := cliOutput(t, srv, "models", "list", "--json"); string(got) != string(models) {
			t.Error("the catalogue has changed")
		}
		again, err := newGoClients(srv).control.CreateInferenceProfile(t.Context(), create)
		if err != nil || *again.InferenceProfileArn != *made.InferenceProfileArn {
			t.Errorf("the repeat of a request from before the kill: %v, %v, want %s", again, err, *made.InferenceProfileArn)
		}
		t.Logf("kill %d: %d engine processes gone, ready again after %s", round+1, len(engines), srv.took)
	}
	srv.env["AWS_ACCESS_KEY_ID"], srv.env["AWS_SECRET_ACCESS_KEY"] = extra.ID, extra.Secret
	// Its account has no agreement about any model; those of Amazon need none.
	if _, err := newGoClients(srv).rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("amazon.nova-lite-v1:0"), Messages: ask(), InferenceConfig: maxTokens(2)}); err != nil {
		t.Errorf("the second key after %d kills: %v", rounds, err)
	}
}

// TestKillWhileLoading kills the server while an engine process loads its model,
// when that process listens to nobody.
func TestKillWhileLoading(t *testing.T) {
	t.Parallel()
	for range 3 {
		srv := startFor(t, options{})
		done := make(chan error, 1)
		go func() {
			_, err := newGoClients(srv).rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: ask(), InferenceConfig: maxTokens(2)}, func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 })
			done <- err
		}()
		var engines []process
		for loading := false; !loading; {
			var err error
			if engines, err = descendants(srv.cmd.Process.Pid); err != nil {
				t.Fatal(err)
			}
			loading = slices.ContainsFunc(engines, func(p process) bool { return strings.Contains(p.args, s.models) })
		}
		srv.kill()
		if err := gone(engines, time.Second); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil {
			t.Error("the call was answered before the model can have been loaded")
		}
	}
}

// listKeys lists the keys of a server by id.
func listKeys(t *testing.T, srv *server) map[string]key {
	t.Helper()
	var list []key
	if err := json.Unmarshal(cliOutput(t, srv, "keys", "list", "--json"), &list); err != nil {
		t.Fatal(err)
	}
	byID := map[string]key{}
	for _, k := range list {
		byID[k.ID] = k
	}
	return byID
}

// TestKillEngine kills the engine in the middle of a stream: the client must get
// the modelled exception within 1 s, and the next call must work.
func TestKillEngine(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	rt := newGoClients(srv).rt
	for _, v := range []struct {
		name string
		read func(t *testing.T) (killed time.Time, err error) // err is what ends the stream
	}{
		{"converse_stream", func(t *testing.T) (time.Time, error) {
			st := openStory(t.Context(), t, rt)
			defer st.Close()
			killed := killEngines(t, srv)
			for range st.Events() {
			}
			return killed, st.Err()
		}},
		{"invoke_stream", func(t *testing.T) (time.Time, error) {
			out, err := rt.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{
				ModelId: aws.String(claudeV2), ContentType: aws.String("application/json"),
				Body: []byte(`{"prompt":"Write a very long story about a dragon.","max_tokens_to_sample":2000,"temperature":0}`),
			})
			if err != nil {
				return time.Now(), err
			}
			st := out.GetStream()
			defer st.Close()
			<-st.Events()
			killed := killEngines(t, srv)
			for range st.Events() {
			}
			return killed, st.Err()
		}},
	} {
		t.Run(v.name, func(t *testing.T) {
			killed, err := v.read(t)
			took := time.Since(killed)
			if e, ok := errors.AsType[*types.ModelStreamErrorException](err); !ok || e.ErrorMessage() == "" {
				t.Errorf("the stream ended with %v, want ModelStreamErrorException", err)
			}
			if limit := notice(); took > limit {
				t.Errorf("the exception came %s after the kill, want %s at most", took, limit)
			}
			t.Logf("%v after %s", err, took)
			if _, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: ask(), InferenceConfig: maxTokens(2)}); err != nil {
				t.Errorf("the next call: %v", err)
			}
		})
	}
	t.Run("converse", func(t *testing.T) {
		done := make(chan error, 1)
		started := openStory(t.Context(), t, rt) // proves that the engine is up
		defer started.Close()
		go func() {
			_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: story(), InferenceConfig: maxTokens(2000)}, func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 })
			done <- err
		}()
		for range 40 { // the call has its slot long before the other stream has made so much
			<-started.Events()
		}
		killEngines(t, srv)
		select {
		case err := <-done:
			fails[*types.ModelErrorException](t, err, 424)
		case <-time.After(notice()):
			t.Errorf("the call did not end within %s of the engine's death", notice())
			<-done
		}
	})
}

// notice is how long a call may go on after its engine died: 1 s, which -full
// holds it to, and far more where other tests share the cores.
func notice() time.Duration {
	if *full {
		return time.Second
	}
	return 20 * time.Second
}

// killEngines kills every engine process of a server and tells when.
func killEngines(t *testing.T, srv *server) time.Time {
	t.Helper()
	engines, err := descendants(srv.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if len(engines) == 0 {
		t.Fatal("no engine process")
	}
	for _, p := range engines {
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	return time.Now()
}

// TestDrain stops a server with SIGTERM in the middle of a stream: the stream
// must be whole, new connections are refused, and the server ends by itself.
func TestDrain(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	out, err := newGoClients(srv).rt.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(smollm), Messages: story(), InferenceConfig: maxTokens(60)})
	if err != nil {
		t.Fatal(err)
	}
	st := out.GetStream()
	defer st.Close()
	for range 3 {
		<-st.Events()
	}
	engines, err := descendants(srv.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var last types.ConverseStreamOutput
	for ev := range st.Events() {
		last = ev
	}
	if m, ok := last.(*types.ConverseStreamOutputMemberMetadata); !ok || *m.Value.Usage.OutputTokens != 60 || st.Err() != nil {
		t.Errorf("the stream ended with %T, %v", last, st.Err())
	}
	select {
	case <-srv.exited:
	case <-time.After(10 * time.Second):
		t.Fatal("the server did not end after its last stream")
	}
	if srv.exit != nil {
		t.Errorf("exit: %v", srv.exit)
	}
	if err := gone(engines, time.Second); err != nil {
		t.Error(err)
	}
}

// TestTwoServers starts a second server on the data directory of a first one.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	second := exec.CommandContext(t.Context(), s.outcrop, "serve", "--listen", "127.0.0.1:0", "--data", srv.data, "--config", srv.config)
	second.Env = cleanEnv()
	out, err := second.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Fatalf("the second server ended with %v: %s", err, out)
	}
	if text := string(out); !strings.Contains(text, srv.data) || !regexp.MustCompile(`(?i)another|already|in use`).MatchString(text) || strings.Contains(text, "goroutine ") {
		t.Errorf("the second server said %q", text)
	}
	if _, err := newGoClients(srv).rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: ask(), InferenceConfig: maxTokens(2)}); err != nil {
		t.Errorf("the first server after it: %v", err)
	}
	address := strings.TrimPrefix(srv.endpoint, "http://")
	third := exec.CommandContext(t.Context(), s.outcrop, "serve", "--listen", address, "--data", t.TempDir(), "--config", srv.config)
	third.Env = cleanEnv()
	if out, err := third.CombinedOutput(); err == nil || !strings.Contains(string(out), "--listen") {
		t.Errorf("a server on a taken port ended with %v and said %q", err, out)
	}
}

// TestReadyAtOnce checks that a second start is ready in under a second,
// without a model, and that the first call loads one.
func TestReadyAtOnce(t *testing.T) {
	t.Parallel()
	first := startFor(t, options{})
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for range 3 { // this machine runs other tests at the same time: the best of three
		srv := startFor(t, options{data: first.data})
		took = append(took, srv.took)
		if n := engineCount(t, srv); n != 0 {
			t.Errorf("%d engine processes before the first call", n)
		}
		if err := srv.stop(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ready after %v", took)
	if slices.Min(took) > time.Second {
		t.Errorf("ready after %v, want under 1 s", took)
	}
	if _, err := os.Stat(first.data); err != nil {
		t.Error(fmt.Errorf("the data directory: %w", err))
	}
}

func engineCount(t *testing.T, srv *server) int {
	t.Helper()
	engines, err := descendants(srv.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return len(engines)
}
