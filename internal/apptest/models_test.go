package apptest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/cli"
)

// outcrop runs a command as main does and returns what it printed.
func outcrop(t *testing.T, data string, args ...string) string {
	t.Helper()
	var out, diag bytes.Buffer
	if code := cli.Main(append(args, "--data", data), cli.IO{In: strings.NewReader(""), Out: &out, Err: &diag}, app.Program{}); code != 0 {
		t.Fatalf("outcrop %v ended with %d: %s", args, code, diag.String())
	}
	return out.String()
}

// TestModelFiles imports a model file, serves it to an AWS client under its own
// id, and removes it; and pulls one that a catalogue file names.
func TestModelFiles(t *testing.T) {
	t.Parallel()
	whole := apptest.Start(t, apptest.RealEngine())
	data := t.TempDir()
	models := filepath.Join(data, "models")
	for _, id := range []string{"smollm2-135m-instruct", "all-minilm-l6-v2"} { // so that the second server installs nothing
		linkFolder(t, filepath.Dir(whole.WeightsFile(t, id)), filepath.Join(models, id))
	}
	file := whole.WeightsFile(t, "smollm2-135m-instruct")
	if said := outcrop(t, data, "models", "import", file, "--id", "my-model"); !strings.Contains(said, "my-model is installed") {
		t.Errorf("import said %q", said)
	}
	var shown struct {
		Installed         bool
		Architecture      string
		SHA256            string
		ChatTemplate      bool `json:"chat_template"`
		Context           int  `json:"context_tokens"`
		Origin, ID, Path  string
		SizeBytes         int64 `json:"size_bytes"`
		LicenseURL, Modes string
	}
	if err := json.Unmarshal([]byte(outcrop(t, data, "models", "show", "my-model", "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	if !shown.Installed || shown.Architecture != "llama" || !shown.ChatTemplate || shown.Context != 8192 || shown.SHA256 == "" || shown.SizeBytes < 50<<20 {
		t.Errorf("show tells %+v", shown)
	}
	if list := outcrop(t, data, "models", "list"); !strings.Contains(list, "local.my-model") {
		t.Errorf("the imported model is not listed:\n%s", list)
	}

	srv := apptest.Start(t, apptest.RealEngine(), apptest.Config(func(c *app.Config) { c.DataDir, c.ModelsDir = data, models }))
	out, err := srv.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: aws.String("local.my-model"), Messages: user("Say hello."), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(5)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(replyText(t, out)) == "" {
		t.Errorf("the imported model says nothing: %+v", out.Usage)
	}
	srv.Stop(t)

	outcrop(t, data, "models", "rm", "my-model")
	if list := outcrop(t, data, "models", "list"); strings.Contains(list, "my-model") {
		t.Errorf("the removed model is listed:\n%s", list)
	}
	if _, err := os.Stat(shown.Path); !os.IsNotExist(err) {
		t.Errorf("%s is there after rm: %v", shown.Path, err)
	}
	pull(t, file)
}

// pull installs a file that a catalogue names, and gives an id of the API to it.
func pull(t *testing.T, file string) {
	t.Helper()
	data := t.TempDir()
	catalogue, config := filepath.Join(data, "catalogue.yaml"), filepath.Join(data, "outcrop.yaml")
	for path, text := range map[string]string{
		catalogue: "weights:\n  - {id: mine, name: Mine, license: Apache-2.0, source: {file: " + file + "}, mode: chat, context_tokens: 2048, default_max_tokens: 64}\n" +
			"models:\n  - {id: anthropic.claude-v2, weights: mine}\n",
		config: "catalog: " + catalogue + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second pull finds it done
		if said := outcrop(t, data, "models", "pull", "mine", "--config", config); said != "mine is installed.\n" {
			t.Errorf("pull said %q", said)
		}
	}
	var list []struct {
		ID        string
		ServedBy  string `json:"served_by"`
		Installed bool
	}
	if err := json.Unmarshal([]byte(outcrop(t, data, "models", "list", "--json", "--config", config)), &list); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range list {
		if m.ID == "anthropic.claude-v2" {
			found = m.ServedBy == "mine" && m.Installed
		}
	}
	if !found {
		t.Error("anthropic.claude-v2 is not served by the pulled weights")
	}
	outcrop(t, data, "models", "rm", "mine", "--config", config)
}

// linkFolder makes to hold the files of from.
func linkFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
