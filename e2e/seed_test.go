package e2e

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// What the samples leave undefined, and what a reader would add to see words.
const (
	beforeK5 = "import json, boto3\nbedrock_runtime = boto3.client('bedrock-runtime', region_name='us-east-1')\n"
	afterK3  = `
reply = bedrock_client.converse(
    modelId='anthropic.claude-3-haiku-20240307-v1:0',
    messages=[{'role': 'user', 'content': [{'text': 'Say hello.'}]}],
    inferenceConfig={'maxTokens': 20})
print(reply['output']['message']['content'][0]['text'])
`
	// K6 and K7 are a body and a prompt without a call.
	withBody = `
import json, os, boto3
parameters = json.loads(os.environ['PARAMETERS'])
parameters['prompt'] = '\n\nHuman: ' + os.environ['PROMPT'] + '\n\nAssistant:'
response = boto3.client('bedrock-runtime', region_name='us-east-1').invoke_model(
    modelId='anthropic.claude-v2', body=json.dumps(parameters))
answer = json.loads(response['body'].read())
assert '\n\n' not in answer['completion'] and 'Human:' not in answer['completion'], answer
print(answer['completion'])
`
)

// TestSeedSamples runs the samples of the seed documents: re-indented, otherwise
// unchanged, with nothing but the endpoint and credentials in the environment.
func TestSeedSamples(t *testing.T) {
	t.Parallel()
	parameters := "PARAMETERS=" + sample(t, "k6_parameters.json")
	for _, c := range []struct {
		name, script string
		env          []string
	}{
		{"K3_client", sample(t, "k3_client.py") + afterK3, nil},
		{"K4_invoke", sample(t, "k4_invoke.py"), nil},
		{"K6_parameters", withBody, []string{parameters, "PROMPT=Name three colours in one sentence."}},
		{"K7_prompt", withBody, []string{parameters, "PROMPT=" + sample(t, "k7_prompt.txt")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := seedCommand(t, c.script, c.env...).Output()
			if err != nil {
				t.Fatal(commandError(err))
			}
			words(t, string(out))
		})
	}
	t.Run("K5_stream", func(t *testing.T) {
		t.Parallel()
		cmd := seedCommand(t, beforeK5+sample(t, "k5_stream.py"))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text []byte
		reads := 0
		for buf := make([]byte, 4096); ; {
			n, err := pipe.Read(buf)
			if n > 0 {
				text, reads = append(text, buf[:n]...), reads+1
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		words(t, string(text))
		if reads < 5 {
			t.Errorf("the story came in %d pieces, want at least 5", reads)
		}
		t.Logf("%d bytes in %d reads", len(text), reads)
	})
}

func sample(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("seed", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// seedCommand is a Python with only what a reader of the samples would export.
func seedCommand(t *testing.T, script string, more ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.python, "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + cmd.Dir,
		"AWS_ENDPOINT_URL=" + s.server.endpoint,
		"AWS_ACCESS_KEY_ID=" + s.server.env["AWS_ACCESS_KEY_ID"],
		"AWS_SECRET_ACCESS_KEY=" + s.server.env["AWS_SECRET_ACCESS_KEY"],
	}, more...)
	return cmd
}

// words checks that text is a sentence or so of readable text.
func words(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) || len(strings.Fields(text)) < 2 {
		t.Errorf("not words: %q", text)
	}
}
