package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
)

// TestEnv evaluates what `outcrop env` prints in a shell that is full of other
// AWS settings: they must not win.
func TestEnv(t *testing.T) {
	t.Parallel()
	script := fmt.Sprintf(`eval "$(%s env --data '%s' --config '%s' --region eu-central-1)" && env`, s.outcrop, s.server.data, s.server.config)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Env = cleanEnv("AWS_SESSION_TOKEN=old", "AWS_PROFILE=old", "AWS_DEFAULT_PROFILE=old", "AWS_BEARER_TOKEN_BEDROCK=old", "AWS_ACCESS_KEY_ID=old", "NO_PROXY=example.com")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(commandError(err))
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			got[k] = v
		}
	}
	for k, want := range map[string]string{
		"AWS_ENDPOINT_URL": s.server.endpoint, "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
		"AWS_ACCESS_KEY_ID": s.server.env["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": s.server.env["AWS_SECRET_ACCESS_KEY"],
		"NO_PROXY": "example.com,127.0.0.1",
	} {
		if got[k] != want {
			t.Errorf("%s is not what the server has", k)
		}
	}
	for _, k := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"} {
		if v, ok := got[k]; ok {
			t.Errorf("%s is still %q", k, v)
		}
	}
	for _, name := range []string{".", "root.key", "outcrop.db"} {
		info, err := os.Stat(filepath.Join(s.server.data, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %s", name, info.Mode())
		}
	}
}

// TestKeys makes, lists, disables, enables and deletes keys of a running server.
func TestKeys(t *testing.T) {
	t.Parallel()
	srv := s.server
	k := createKey(t, srv, "--account", "333344445555")
	if k.Account != "333344445555" || k.Kind != "sigv4" || k.Status != "Active" {
		t.Errorf("key %s of account %s, kind %s, status %s", k.ID, k.Account, k.Kind, k.Status)
	}
	list := cliOutput(t, srv, "keys", "list")
	if !bytes.Contains(list, []byte(k.ID)) || bytes.Contains(list, []byte(k.Secret)) {
		t.Error("keys list lacks the key or shows its secret")
	}
	call := func() error {
		c := newGoClients(srv, func(c *aws.Config) {
			c.Credentials = credentials.NewStaticCredentialsProvider(k.ID, k.Secret, "")
			c.RetryMaxAttempts = 1
		})
		_, err := c.control.ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{})
		return err
	}
	// within calls until the server has noticed a change, for 1 s at most.
	within := func(done func(error) bool) error {
		for deadline := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
			if err := call(); done(err) || time.Now().After(deadline) {
				return err
			}
		}
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	refused := func(err error) bool { return err != nil }
	cliOutput(t, srv, "keys", "disable", k.ID)
	failsWith(t, within(refused), "UnrecognizedClientException", 403)
	cliOutput(t, srv, "keys", "enable", k.ID)
	if err := within(func(err error) bool { return err == nil }); err != nil {
		t.Errorf("the enabled key: %v", err)
	}
	cliOutput(t, srv, "keys", "delete", k.ID)
	failsWith(t, within(refused), "UnrecognizedClientException", 403)
	if list := cliOutput(t, srv, "keys", "list"); bytes.Contains(list, []byte(k.ID)) {
		t.Error("the deleted key is still listed")
	}
}

// TestBearerOnLoopback uses a bearer key over plain HTTP on this machine: with
// the SDK for JavaScript, the AWS CLI, and by hand. boto3 and the SDK for Go
// refuse to send one without TLS; TestTLS has them.
func TestBearerOnLoopback(t *testing.T) {
	t.Parallel()
	k := createKey(t, s.server, "--bearer")
	noKeys := []string{"AWS_BEARER_TOKEN_BEDROCK=" + k.Secret, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}
	runCases(t, s.server, "js_bearer.cjs", noKeys...)
	cmd := awsCommand(t, s.server, noKeys, "bedrock", "list-foundation-models")
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), smollm) {
		t.Errorf("the AWS CLI with a bearer key: %v", commandError(err))
	}
	cmd = exec.CommandContext(t.Context(), s.python, "-c", `import boto3; boto3.client("bedrock").list_foundation_models()`)
	cmd.Env = append(clientEnv(s.server, t.TempDir()), noKeys...)
	if _, err := cmd.Output(); err == nil || !strings.Contains(commandError(err).Error(), "requires an HTTPS endpoint") {
		t.Errorf("boto3 with a bearer key over http: %v", commandError(err))
	}
	call := func() (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.server.endpoint+"/foundation-models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+k.Secret)
		resp, _ := answer(t, http.DefaultClient, r)
		return resp.StatusCode, resp.Header.Get("x-amzn-ErrorType")
	}
	if status, _ := call(); status != 200 {
		t.Errorf("status %d", status)
	}
	cliOutput(t, s.server, "keys", "disable", k.ID)
	status, code := call()
	for deadline := time.Now().Add(time.Second); status == 200 && time.Now().Before(deadline); status, code = call() {
		time.Sleep(20 * time.Millisecond)
	}
	if status != 403 || code != "AccessDeniedException" {
		t.Errorf("the disabled key: %d %s", status, code)
	}
}

// TestModelsCommand lists and shows models.
func TestModelsCommand(t *testing.T) {
	t.Parallel()
	var models []struct {
		ID        string
		ServedBy  string `json:"served_by"`
		StandIn   bool   `json:"stand_in"`
		Installed bool
	}
	if err := json.Unmarshal(cliOutput(t, s.server, "models", "list", "--json"), &models); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range models {
		switch m.ID {
		case smollm, claudeHaiku:
			found++
			if m.ServedBy != "smollm2-135m-instruct" || !m.Installed || m.StandIn != (m.ID == claudeHaiku) {
				t.Errorf("%+v", m)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 models listed", found)
	}
	if text := string(cliOutput(t, s.server, "models", "list")); !strings.Contains(text, "(stand-in)") {
		t.Error("models list does not tell the stand-ins")
	}
	var shown struct {
		ID, SHA256, License, Architecture, Path string
		Installed                               bool
	}
	if err := json.Unmarshal(cliOutput(t, s.server, "models", "show", claudeV2, "--json"), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.ID != "smollm2-135m-instruct" || len(shown.SHA256) != 64 || shown.License != "Apache-2.0" || shown.Architecture != "llama" || !shown.Installed {
		t.Errorf("show: %+v", shown)
	}
}

// TestDoctorAndVersion checks a healthy installation.
func TestDoctorAndVersion(t *testing.T) {
	t.Parallel()
	var checks []struct {
		Name, Detail, Fix string
		OK                bool
	}
	if err := json.Unmarshal(cliOutput(t, s.server, "doctor", "--json"), &checks); err != nil {
		t.Fatal(err)
	}
	if len(checks) < 5 {
		t.Errorf("%d checks", len(checks))
	}
	for _, c := range checks {
		if !c.OK || c.Fix != "" || c.Detail == "" {
			t.Errorf("%+v", c)
		}
	}
	var v struct {
		Version, Go, OS, Engine string
		Models                  string `json:"api_models"`
	}
	if err := json.Unmarshal(cliOutput(t, s.server, "version", "--json"), &v); err != nil {
		t.Fatal(err)
	}
	if v.Version == "" || !strings.HasPrefix(v.Go, "go1.") || v.OS == "" || v.Engine == "" || !strings.Contains(v.Models, "1.44.5") {
		t.Errorf("version %+v", v)
	}
}

// TestChat pipes a question into `outcrop chat`.
func TestChat(t *testing.T) {
	t.Parallel()
	cmd := s.server.cli(t.Context(), "chat", claudeHaiku, "--system", "You are a helpful assistant.", "--max-tokens", "40")
	cmd.Stdin = strings.NewReader("What is the capital of France?\nSay that again.\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(commandError(err))
	}
	words(t, string(out))
	if strings.Count(string(out), "\n") < 2 || strings.Contains(string(out), "> ") {
		t.Errorf("chat printed %q", out)
	}
	cmd = s.server.cli(t.Context(), "chat", "acme.gpt-0")
	cmd.Stdin = strings.NewReader("hi\n")
	if _, err := cmd.Output(); err == nil || !strings.Contains(commandError(err).Error(), "The provided model identifier is invalid.") {
		t.Errorf("chat with an unknown model: %v", commandError(err))
	}
}

// TestHelp checks that every command has help with an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"serve"}, {"env"}, {"models"}, {"models", "list"}, {"models", "pull"}, {"models", "show"}, {"models", "rm"}, {"models", "import"},
		{"keys"}, {"keys", "create"}, {"keys", "list"}, {"keys", "disable"}, {"keys", "delete"}, {"doctor"}, {"version"}, {"chat"},
		{"compare"}, {"ps"}, {"faults"}, {"faults", "put"}, {"faults", "list"}, {"faults", "rm"},
	} {
		cmd := exec.CommandContext(t.Context(), s.outcrop, append(args, "--help")...)
		cmd.Env = cleanEnv()
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "Examples:") {
			t.Errorf("outcrop %v --help: %v, %q", args, err, out)
		}
	}
}

// TestWrongUse checks that a wrong command line ends with status 2 and one that
// cannot work with 1, both with a sentence and without a stack trace.
func TestWrongUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "wrong.yaml")
	if err := os.WriteFile(file, []byte("engine:\n  slotz: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open.yaml")
	if err := os.WriteFile(open, []byte("listen: 0.0.0.0:8686\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		args   string
		status int
		says   string
	}{
		{"frobnicate", 2, "frobnicate"},
		{"serve --frobnicate", 2, "frobnicate"},
		{"serve now", 2, "now"},
		{"chat", 2, "MODEL"},
		{"keys", 2, "command"},
		{"keys frobnicate", 2, "frobnicate"},
		{"keys disable", 2, "KEY"},
		{"models show", 2, "ID"},
		{"models show nothing", 1, "nothing"},
		{"keys disable AKIANONE", 1, "AKIANONE"},
		{"keys create --account 12", 1, "12 digits"},
		{"serve --listen nowhere", 1, "HOST:PORT"},
		{"serve --config " + file, 1, "slotz"},
		{"serve --config " + open, 1, "TLS"},
		{"serve --config " + filepath.Join(dir, "none.yaml"), 1, "none.yaml"},
	} {
		cmd := exec.CommandContext(t.Context(), s.outcrop, append(strings.Fields(v.args), "--data", filepath.Join(dir, "data"))...)
		cmd.Env = cleanEnv()
		_, err := cmd.Output()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Errorf("outcrop %s: %v", v.args, err)
			continue
		}
		said := string(exit.Stderr)
		if exit.ExitCode() != v.status || !strings.Contains(said, v.says) || strings.Contains(said, "goroutine ") || strings.Contains(said, ".go:") {
			t.Errorf("outcrop %s: status %d, want %d; said %q, want %q", v.args, exit.ExitCode(), v.status, said, v.says)
		}
	}
}

// TestNothingIsKept looks for prompts, replies and secrets in what the shared
// server logs and stores.
func TestNothingIsKept(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	const marker = "xylophone-marmalade"
	body := `{"messages":[{"role":"user","content":[{"text":"Repeat: ` + marker + `"}]}],"inferenceConfig":{"maxTokens":20}}`
	resp, _ := answer(t, http.DefaultClient, signed(t, srv, "POST", "/model/"+smollm+"/converse", []byte(body)))
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	if err := srv.stop(); err != nil {
		t.Fatal(err)
	}
	secret := srv.env["AWS_SECRET_ACCESS_KEY"]
	err := filepath.WalkDir(srv.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte(marker)) || bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s holds a prompt or a secret", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if strings.Contains(srv.log.String(), marker) {
		t.Error("the log holds a prompt")
	}
}
