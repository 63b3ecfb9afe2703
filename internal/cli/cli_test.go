package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/cli"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// result is what a command line did.
type result struct {
	status   int
	out, err string
}

// outcrop runs a command line on a data directory.
func outcrop(t *testing.T, data string, args ...string) result {
	t.Helper()
	return outcropWith(t, data, "", nil, args...)
}

func outcropWith(t *testing.T, data, in string, env map[string]string, args ...string) result {
	t.Helper()
	var out, diag bytes.Buffer
	std := cli.IO{In: strings.NewReader(in), Out: &out, Err: &diag, Getenv: func(k string) string { return env[k] }}
	r := result{status: cli.Main(append(args, "--data", data), std, app.Program{})}
	r.out, r.err = out.String(), diag.String()
	for _, text := range []string{r.out, r.err} {
		if strings.Contains(text, "goroutine ") || strings.Contains(text, ".go:") {
			t.Errorf("%v shows a stack: %s", args, text)
		}
	}
	return r
}

// decode reads the JSON that a command printed.
func decode[T any](t *testing.T, r result) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("status %d, %v: %s%s", r.status, err, r.out, r.err)
	}
	return v
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, c := range []struct {
		args   []string
		status int
		part   string
	}{
		{[]string{"frobnicate"}, 2, `unknown command "frobnicate"`},
		{[]string{"keys"}, 2, "create"},
		{[]string{"models"}, 2, "import"},
		{[]string{"models", "frobnicate"}, 2, `"frobnicate"`},
		{[]string{"models", "show"}, 2, "ID is missing"},
		{[]string{"models", "pull"}, 2, "WEIGHTS is missing"},
		{[]string{"models", "show", "a", "b"}, 2, `unexpected argument "b"`},
		{[]string{"keys", "disable"}, 2, "KEY is missing"},
		{[]string{"version", "now"}, 2, `unexpected argument "now"`},
		{[]string{"env", "--colour"}, 2, "--colour"},
		{[]string{"env", "--region", "mars"}, 2, `"mars"`},
		{[]string{"chat"}, 2, "MODEL is missing"},
		{[]string{"chat", "m", "--max-tokens", "many"}, 2, "many"},
		{[]string{"chat", "m", "--max-tokens", "-1"}, 2, "--max-tokens"},
		{[]string{"keys", "create", "--account", "me"}, 1, "12 digits"},
		{[]string{"keys", "delete", "AKIANOBODY"}, 1, "AKIANOBODY"},
		{[]string{"models", "show", "nothing"}, 1, "outcrop models list"},
		{[]string{"models", "rm", "nothing"}, 1, "nothing"},
		{[]string{"models", "rm", "smollm2-135m-instruct"}, 1, "not installed"},
		{[]string{"models", "import", "/no/such/file"}, 1, "file"},
		{[]string{"models", "pull", "gemma-3-270m"}, 1, "--accept-terms"},
		{[]string{"env"}, 1, "outcrop keys create"},
		{[]string{"env", "--config", "/no/such/file"}, 1, "/no/such/file"},
	} {
		r := outcrop(t, data, c.args...)
		if r.status != c.status || !strings.Contains(r.err, c.part) || !strings.HasPrefix(r.err, "outcrop: ") || r.out != "" {
			t.Errorf("%v: status %d, %s%s; want %d with %q", c.args, r.status, r.err, r.out, c.status, c.part)
		}
		if c.status == 2 && !strings.Contains(r.err, "--help") {
			t.Errorf("%v: %s does not tell of --help", c.args, r.err)
		}
	}
	if r := outcrop(t, data); r.status != 0 || !strings.Contains(r.out, "Available Commands") {
		t.Errorf("nothing at all: %d %s", r.status, r.err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	type key struct{ ID, Account, Kind, Status, Secret string }
	made := decode[key](t, outcrop(t, s.Data, "keys", "create", "--account", "111122223333", "--json"))
	if made.Account != "111122223333" || made.Kind != "sigv4" || made.Status != "Active" || len(made.Secret) != 40 {
		t.Errorf("made %+v", made)
	}
	who := func() error {
		k := keys.Created{Key: keys.Key{ID: made.ID}, Secret: secret.NewString(made.Secret)}
		out, err := sts.NewFromConfig(s.AWS(k)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err == nil && *out.Account != "111122223333" {
			t.Errorf("the key speaks for %s", *out.Account)
		}
		return err
	}
	if err := who(); err != nil {
		t.Error(err)
	}
	bearer := outcrop(t, s.Data, "keys", "create", "--bearer")
	if bearer.status != 0 || !strings.Contains(bearer.out, "AWS_BEARER_TOKEN_BEDROCK") {
		t.Errorf("%+v", bearer)
	}
	plain := outcrop(t, s.Data, "keys", "create")
	if plain.status != 0 || !strings.Contains(plain.out, "Secret access key  ") {
		t.Errorf("%+v", plain)
	}
	list := outcrop(t, s.Data, "keys", "list", "--json")
	all := decode[[]key](t, list)
	if len(all) != 4 || strings.Contains(list.out, made.Secret) || strings.Contains(list.out, "secret") {
		t.Errorf("listed %+v", all)
	}
	if table := outcrop(t, s.Data, "keys", "list"); !strings.Contains(table.out, made.ID) || strings.Contains(table.out, made.Secret) {
		t.Errorf("table %s", table.out)
	}
	status := func() string {
		for _, k := range decode[[]key](t, outcrop(t, s.Data, "keys", "list", "--json")) {
			if k.ID == made.ID {
				return k.Status
			}
		}
		return "gone"
	}
	for _, step := range []struct{ verb, want string }{{"disable", "Inactive"}, {"enable", "Active"}, {"delete", "gone"}} {
		if r := outcrop(t, s.Data, "keys", step.verb, made.ID); r.status != 0 || status() != step.want {
			t.Errorf("%s: %+v, now %s", step.verb, r, status())
		}
	}
}

// The lines of env must do in a shell what they say, whatever the paths hold.
func TestEnv(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "it's $(a) `b` \"dir\"")
	s := apptest.Start(t, apptest.Config(func(c *app.Config) { c.DataDir, c.TLS.SelfSigned = dir, true }))
	config := filepath.Join(t.TempDir(), "outcrop.yaml")
	if err := os.WriteFile(config, []byte("tls:\n  self_signed: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := outcropWith(t, dir, "", map[string]string{"NO_PROXY": "corp.example"}, "env", "--region", "eu-central-1", "--config", config)
	if r.status != 0 {
		t.Fatalf("%+v", r)
	}
	cmd := exec.Command(sh, "-c", `eval "$LINES_OF_ENV"; env`)
	cmd.Env = []string{"LINES_OF_ENV=" + r.out, "PATH=" + os.Getenv("PATH"), "AWS_PROFILE=work", "AWS_SESSION_TOKEN=old", "AWS_BEARER_TOKEN_BEDROCK=old", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME=https://elsewhere.example", "AWS_USE_FIPS_ENDPOINT=true"}
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	got := strings.Split(string(text), "\n")
	ca := filepath.Join(dir, "tls", "ca.pem")
	for _, want := range []string{
		"AWS_ENDPOINT_URL=" + s.Endpoint, "AWS_ACCESS_KEY_ID=" + s.Key.ID, "AWS_SECRET_ACCESS_KEY=" + string(s.Key.Secret.Reveal()),
		"AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1", "AWS_CA_BUNDLE=" + ca, "NODE_EXTRA_CA_CERTS=" + ca,
		"NO_PROXY=corp.example,127.0.0.1", "no_proxy=corp.example,127.0.0.1",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("the shell has no %s", want)
		}
	}
	for _, line := range got {
		name, _, _ := strings.Cut(line, "=")
		switch name {
		case "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_USE_FIPS_ENDPOINT":
			t.Errorf("the shell still has %s", line)
		}
	}
	m := decode[map[string]string](t, outcropWith(t, dir, "", nil, "env", "--json", "--config", config))
	if m["AWS_ENDPOINT_URL"] != s.Endpoint || m["AWS_REGION"] != "us-east-1" || m["AWS_CA_BUNDLE"] != ca {
		t.Errorf("JSON %v", m)
	}
}

// env takes the first active key of the installation's own account.
func TestEnvKey(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	s.NewKey(t, "111122223333", keys.SigV4)
	s.NewKey(t, s.Account, keys.Bearer)
	second := s.NewKey(t, s.Account, keys.SigV4)
	if m := decode[map[string]string](t, outcrop(t, s.Data, "env", "--json")); m["AWS_ACCESS_KEY_ID"] != s.Key.ID || m["AWS_CA_BUNDLE"] != "" {
		t.Errorf("%v", m)
	}
	outcrop(t, s.Data, "keys", "disable", s.Key.ID)
	if m := decode[map[string]string](t, outcrop(t, s.Data, "env", "--json")); m["AWS_ACCESS_KEY_ID"] != second.ID {
		t.Errorf("%v, want key %s", m, second.ID)
	}
	s.Stop(t)
	if m := decode[map[string]string](t, outcrop(t, s.Data, "env", "--json")); m["AWS_ENDPOINT_URL"] != s.Endpoint {
		t.Errorf("after the stop: %v, want the last endpoint %s", m, s.Endpoint)
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	type model struct {
		ID       string
		ServedBy string `json:"served_by"`
		StandIn  bool   `json:"stand_in"`
	}
	list := decode[[]model](t, outcrop(t, data, "models", "list", "--json"))
	if !slices.Contains(list, model{"anthropic.claude-v2", "smollm2-135m-instruct", true}) || !slices.Contains(list, model{"huggingface.smollm2-135m-instruct-v1:0", "smollm2-135m-instruct", false}) {
		t.Errorf("%+v", list)
	}
	if r := outcrop(t, data, "models", "list"); !strings.Contains(r.out, "anthropic.claude-v2") || !strings.Contains(r.out, "(stand-in)") {
		t.Errorf("%s", r.out)
	}
	type file struct {
		ID        string
		Mode      string
		Installed bool
	}
	files := decode[[]file](t, outcrop(t, data, "models", "list", "--weights", "--json"))
	if !slices.Contains(files, file{"all-minilm-l6-v2", "embed", false}) {
		t.Errorf("%+v", files)
	}
	for _, id := range []string{"smollm2-135m-instruct", "anthropic.claude-v2"} {
		shown := decode[map[string]any](t, outcrop(t, data, "models", "show", id, "--json"))
		if shown["id"] != "smollm2-135m-instruct" || shown["installed"] != false || shown["license"] != "Apache-2.0" {
			t.Errorf("%s: %v", id, shown)
		}
	}
	if r := outcrop(t, data, "models", "show", "anthropic.claude-v2"); !strings.Contains(r.out, "outcrop models pull smollm2-135m-instruct") || !strings.Contains(r.out, "Apache-2.0") {
		t.Errorf("%s", r.out)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	v := decode[cli.Version](t, outcrop(t, data, "version", "--json"))
	if v.Version == "" || v.Go == "" || v.Engine == "" || !strings.HasPrefix(v.Models, "botocore ") {
		t.Errorf("%+v", v)
	}
	if r := outcrop(t, data, "version"); !strings.HasPrefix(r.out, "outcrop "+v.Version+" ") {
		t.Errorf("%s", r.out)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	type checks = []cli.Check
	find := func(list checks, name string) cli.Check {
		for _, c := range list {
			if c.Name == name {
				return c
			}
		}
		t.Errorf("no check of the %s in %+v", name, list)
		return cli.Check{}
	}
	empty := filepath.Join(t.TempDir(), "none")
	r := outcrop(t, empty, "doctor", "--json")
	if c := find(decode[checks](t, r), "data directory"); r.status != 1 || c.OK || c.Fix != "outcrop serve" {
		t.Errorf("an empty machine: %d %+v", r.status, c)
	}
	if _, err := os.Stat(empty); err == nil {
		t.Error("the doctor made the data directory")
	}
	s := apptest.Start(t)
	config := filepath.Join(t.TempDir(), "outcrop.yaml")
	if err := os.WriteFile(config, []byte("listen: "+strings.TrimPrefix(s.Endpoint, "http://")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = outcrop(t, s.Data, "doctor", "--json", "--config", config)
	list := decode[checks](t, r)
	for _, name := range []string{"configuration", "data directory", "keys", "port", "clock"} {
		if c := find(list, name); !c.OK || c.Fix != "" {
			t.Errorf("%+v", c)
		}
	}
	if c := find(list, "port"); !strings.Contains(c.Detail, "a server answers") {
		t.Errorf("%+v", c)
	}
	if c := find(list, "model"); c.OK || !strings.HasPrefix(c.Fix, "outcrop models pull ") || r.status != 1 {
		t.Errorf("%d %+v", r.status, c)
	}
	text := outcrop(t, s.Data, "doctor", "--config", config)
	if !strings.Contains(text.out, "FAIL  model") || !strings.Contains(text.out, "-> outcrop models pull") || !strings.Contains(text.out, "checks failed") || text.err != "" {
		t.Errorf("%+v", text)
	}
	if err := os.Chmod(s.Data, 0o755); err != nil { // that is the fault
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("listen: nowhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := outcrop(t, s.Data, "doctor", "--config", config); r.status != 1 || !strings.Contains(r.out, "HOST:PORT") {
		t.Errorf("%+v", r)
	}
}

func TestChat(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three"})))
	const model = "anthropic.claude-3-haiku-20240307-v1:0"
	if r := outcropWith(t, s.Data, "hi\nand more\n\nnot read\n", nil, "chat", model, "--system", "be brief"); r.status != 0 || r.out != "one two three\none two three\n" {
		t.Errorf("%+v", r)
	}
	if r := outcropWith(t, s.Data, "hi", nil, "chat", model, "--max-tokens", "2", "--region", "eu-west-1"); r.status != 0 || r.out != "one two\n" {
		t.Errorf("%+v", r)
	}
	if r := outcropWith(t, s.Data, "hi\n", nil, "chat", "nobody.nothing-v1:0"); r.status != 1 || !strings.Contains(r.err, "ValidationException: The provided model identifier is invalid.") {
		t.Errorf("%+v", r)
	}
	broken := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two three", After: 2, Err: apierr.ModelStreamError("It broke.")})))
	if r := outcropWith(t, broken.Data, "hi\n", nil, "chat", model); r.status != 1 || r.out != "one two\n" || !strings.Contains(r.err, "modelStreamErrorException: It broke.") {
		t.Errorf("%+v", r)
	}
	s.Stop(t)
	if r := outcropWith(t, s.Data, "hi\n", nil, "chat", model); r.status != 1 || !strings.Contains(r.err, "outcrop serve") {
		t.Errorf("%+v", r)
	}
}

func TestChatOverTLS(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Config(func(c *app.Config) { c.TLS.SelfSigned = true }))
	config := filepath.Join(t.TempDir(), "outcrop.yaml")
	if err := os.WriteFile(config, []byte("tls:\n  self_signed: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := outcropWith(t, s.Data, "hi\n", nil, "chat", "anthropic.claude-v2", "--config", config); r.status != 0 || r.out != "Hello from the script.\n" {
		t.Errorf("%+v", r)
	}
}
