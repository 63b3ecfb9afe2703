package e2e

import (
	"errors"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
)

// say asks the scripted engine for one of its replies.
func say(script string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: script}}}}
}

// TestScriptedErrors holds the errors that only a failing engine makes against
// every SDK's classes.
func TestScriptedErrors(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	t.Run("go", func(t *testing.T) { goScripted(t, srv) })
	t.Run("boto3", func(t *testing.T) { runCases(t, srv, "boto3_scripted.py") })
	t.Run("javascript", func(t *testing.T) { runCases(t, srv, "js_scripted.cjs") })
	t.Run("awscli", func(t *testing.T) {
		for script, code := range map[string]string{
			"throttle": "ThrottlingException", "not ready": "ModelNotReadyException", "timeout": "ModelTimeoutException",
			"unavailable": "ServiceUnavailableException", "error": "ModelErrorException", "internal": "InternalServerException",
			"late break": "ModelErrorException",
		} {
			said := awsFails(t, srv, code, []string{"AWS_MAX_ATTEMPTS=1"}, "bedrock-runtime", "converse", "--model-id", smollm,
				"--messages", `[{"role":"user","content":[{"text":"`+script+`"}]}]`)
			if strings.Contains(said, "secret") {
				t.Errorf("%s shows the inside: %s", script, said)
			}
		}
	})
	if strings.Contains(srv.log.String(), "a secret of the inside") {
		t.Error("the server logs what an error or a panic says, which may be a prompt")
	}
}

func goScripted(t *testing.T, srv *server) {
	t.Helper()
	rt := newGoClients(srv).rt
	once := func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 }
	converse := func(script string) error {
		_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: say(script)}, once)
		return err
	}
	// stream returns the error of the call or of the stream, and the words before it.
	stream := func(script string) (string, error) {
		out, err := rt.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(smollm), Messages: say(script)}, once)
		if err != nil {
			return "", err
		}
		st := out.GetStream()
		defer st.Close()
		var words strings.Builder
		for ev := range st.Events() {
			if d, ok := ev.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
				words.WriteString(d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value)
			}
		}
		return words.String(), st.Err()
	}
	t.Run("before_the_first_token", func(t *testing.T) {
		for _, call := range []func(string) error{converse, func(script string) error { _, err := stream(script); return err }} {
			fails[*types.ThrottlingException](t, call("throttle"), 429)
			fails[*types.ModelNotReadyException](t, call("not ready"), 429)
			fails[*types.ModelTimeoutException](t, call("timeout"), 408)
			fails[*types.ServiceUnavailableException](t, call("unavailable"), 503)
			fails[*types.ModelErrorException](t, call("error"), 424)
			fails[*types.InternalServerException](t, call("internal"), 500)
			fails[*types.InternalServerException](t, call("panic"), 500)
		}
	})
	t.Run("in_mid_call", func(t *testing.T) {
		fails[*types.ThrottlingException](t, converse("late throttle"), 429)
		fails[*types.ModelTimeoutException](t, converse("late timeout"), 408)
		fails[*types.ModelErrorException](t, converse("late break"), 424)
		fails[*types.InternalServerException](t, converse("late internal"), 500)
	})
	t.Run("in_mid_stream", func(t *testing.T) {
		breaks[*types.ThrottlingException](t, stream, "late throttle")
		breaks[*types.ModelStreamErrorException](t, stream, "late break")
		breaks[*types.ServiceUnavailableException](t, stream, "late unavailable")
		breaks[*types.InternalServerException](t, stream, "late internal")
		breaks[*types.ModelStreamErrorException](t, stream, "late timeout") // ConverseStream models no timeout
	})
}

// breaks checks that a stream brings three words and then the SDK's class E.
func breaks[E smithy.APIError](t *testing.T, stream func(string) (string, error), script string) {
	t.Helper()
	words, err := stream(script)
	e, ok := errors.AsType[E](err)
	if !ok || words != "one two three" || e.ErrorMessage() == "" || strings.Contains(err.Error(), "secret") {
		t.Errorf("%s: %q, then %v", script, words, err)
	}
}

// TestDrainDeadline stops a server whose calls never end: past the drain time
// they are ended, their clients are told, and the server ends well.
func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted, config: "limits: {drain: 2s}"})
	rt := newGoClients(srv).rt
	once := func(o *bedrockruntime.Options) { o.RetryMaxAttempts = 1 }
	wrote, unary := make(chan struct{}), make(chan error, 1)
	go func() {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(wrote) }})
		_, err := rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: say("block")}, once)
		unary <- err
	}()
	<-wrote // connections are accepted in order: when the stream runs, this call does
	out, err := rt.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(smollm), Messages: say("block")}, once)
	if err != nil {
		t.Fatal(err)
	}
	st := out.GetStream()
	defer st.Close()
	for range 4 {
		<-st.Events()
	}
	begin := time.Now()
	if err := srv.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range st.Events() {
	}
	fails[*types.ServiceUnavailableException](t, <-unary, 503, "stopping")
	if e, ok := errors.AsType[*types.ServiceUnavailableException](st.Err()); !ok || !strings.Contains(e.ErrorMessage(), "stopping") {
		t.Errorf("the stream ended with %v, want ServiceUnavailableException", st.Err())
	}
	select {
	case <-srv.exited:
	case <-time.After(10 * time.Second):
		t.Fatal("the server did not end after its last call")
	}
	if took := time.Since(begin); srv.exit != nil || took < 2*time.Second || took > 8*time.Second {
		t.Errorf("ended after %s with %v, want some 2 s and no error", took, srv.exit)
	}
}
