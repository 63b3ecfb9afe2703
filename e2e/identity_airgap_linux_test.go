package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// apart runs a command in a network of its own, in which there is nothing, not even
// a loopback that is up. Where the system forbids that, it says so and runs the
// command as it is.
func apart(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	attr := func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{
			Setpgid: true, Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		}
	}
	probe := exec.CommandContext(t.Context(), "true")
	probe.SysProcAttr = attr()
	if err := probe.Run(); err != nil {
		t.Logf("this system makes no networks for tests: %v", err)
		return cmd
	}
	cmd.SysProcAttr = attr()
	return cmd
}

// TestAirGap packs engine and model into one file, installs it into an empty
// directory and serves from there, in a network in which there is nothing. The SDK
// for Go comes in by a unix socket and gets words that the model made.
func TestAirGap(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(s.dir, "gap-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	bundle, socket := filepath.Join(dir, "outcrop.tar"), filepath.Join(dir, "s.sock")
	from := &server{program: s.outcrop, data: filepath.Join(dir, "from"), config: filepath.Join(dir, "from.yaml")}
	to := &server{program: s.outcrop, data: filepath.Join(dir, "to"), config: filepath.Join(dir, "to.yaml")}
	for path, text := range map[string]string{
		from.config: fmt.Sprintf("models_dir: %q\nengines_dir: %q\n", s.models, s.engines),
		to.config:   fmt.Sprintf("listeners: [{name: socket, address: %q}]\nengine: {threads: 1}\n", "unix:"+socket),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(cmd *exec.Cmd) []byte {
		t.Helper()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", cmd, commandError(err))
		}
		return out
	}
	run(from.cli(t.Context(), "bundle", "make", bundle, "--models", "smollm2-135m-instruct,all-minilm-l6-v2"))
	run(apart(t, to.cli(t.Context(), "bundle", "install", bundle)))
	var key key
	if err := json.Unmarshal(run(apart(t, to.cli(t.Context(), "keys", "create", "--json"))), &key); err != nil {
		t.Fatal(err)
	}

	log := newOutput()
	serve := apart(t, to.cli(t.Context(), "serve", "--offline"))
	serve.Stdout, serve.Stderr = log, log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = serve.Wait() // it is signalled
		close(exited)
	}()
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		<-exited
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := log.wait(ctx, regexp.MustCompile(`is ready on`), exited); err != nil {
		t.Fatalf("%v:\n%s", err, log)
	}
	rt := bedrockruntime.New(bedrockruntime.Options{
		Region: region, BaseEndpoint: aws.String("http://localhost"), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key.ID, key.Secret, ""),
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}},
	})
	out, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: ask(), InferenceConfig: maxTokens(16)})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	message, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok || len(message.Value.Content) == 0 {
		t.Fatalf("the reply is %+v", out.Output)
	}
	text, ok := message.Value.Content[0].(*types.ContentBlockMemberText)
	if !ok || strings.TrimSpace(text.Value) == "" {
		t.Fatalf("the reply is %+v", message.Value.Content)
	}
	info, err := os.Stat(bundle)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MB; %q", info.Size()>>20, text.Value)
}
