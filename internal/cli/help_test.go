package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/catalog"
)

// Every command tells what it is for and shows how it is used.
func TestHelp(t *testing.T) {
	t.Parallel()
	var walk func(*cobra.Command)
	commands := 0
	walk = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" {
			return
		}
		commands++
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		var out, diag bytes.Buffer
		code := Main(args, IO{In: strings.NewReader(""), Out: &out, Err: &diag}, nil)
		help := out.String()
		if code != 0 || diag.Len() > 0 {
			t.Errorf("%v: status %d, %s", args, code, diag.String())
		}
		if c.Short == "" || c.Example == "" || !strings.Contains(help, "Examples:\n  outcrop") && !strings.Contains(help, "Examples:\n  eval") {
			t.Errorf("%v shows no example:\n%s", args, help)
		}
		for sub := range strings.SplitSeq(c.Example, "\n") {
			if !strings.Contains(sub, "outcrop") {
				t.Errorf("%v: %q is no call of outcrop", args, sub)
			}
		}
		for l := range strings.SplitSeq(help, "\n") {
			if len(l) > 120 {
				t.Errorf("%v: a line of %d characters: %s", args, len(l), l)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(IO{}, nil))
	if commands < 15 {
		t.Errorf("%d commands", commands)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain\n\ttext ü 東":        "plain\n\ttext ü 東",
		"\x1b[2Jcleared\x1b]0;x\a": "[2Jcleared]0;x",
		"a\rb\bc\x7f\u009bd\x00":   "abcd",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "''", "plain-1": "plain-1", "http://127.0.0.1:8686": "http://127.0.0.1:8686",
		"a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "a;b": "'a;b'", "a\nb": "'a\nb'", "~": "'~'",
	} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestNoProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ endpoint, upper, lower, want string }{
		{"http://127.0.0.1:8686", "", "", "127.0.0.1"},
		{"http://127.0.0.1:8686", "a.example", "", "a.example,127.0.0.1"},
		{"http://127.0.0.1:8686", "", "b.example", "b.example,127.0.0.1"},
		{"http://127.0.0.1:8686", "a.example, 127.0.0.1", "a.example,b.example", "a.example,127.0.0.1,b.example"},
		{"https://[::1]:8686", "", "", "::1"},
	} {
		if got := noProxy(c.endpoint, c.upper, c.lower); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestFileID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"./my-model.gguf": "my-model", "/a/My Model (Q4_K_M).gguf": "my-model--q4_k_m-", "_x.gguf": "x", "folder": "folder",
	} {
		if got := fileID(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestAnnounce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	std := IO{Out: &out, Getenv: func(string) string { return "" }}
	r := Ready{
		Endpoint: "http://127.0.0.1:8686", Data: "/data", Took: 123 * time.Millisecond,
		StandIns: []catalog.Model{{ID: "anthropic.claude-v2", Weights: "smollm2"}, {ID: "amazon.titan-embed-text-v1", Weights: "minilm"}},
		FirstKey: &Credentials{AccessKeyID: "AKIA", Secret: "s3cret", Region: "us-east-1"},
	}
	announce(std, Version{Version: "1"}, r)
	for _, want := range []string{
		"2 well-known ids (anthropic.claude-v2, ...) are served by smollm2 and minilm", "x-outcrop-served-by", "is ready on http://127.0.0.1:8686 (123ms)",
		"  export AWS_ENDPOINT_URL=http://127.0.0.1:8686\n", "  export AWS_SECRET_ACCESS_KEY=s3cret\n", "boto3",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
	out.Reset()
	r.FirstKey, r.StandIns = nil, nil
	announce(std, Version{}, r)
	if text := out.String(); strings.Contains(text, "Stand-ins") || strings.Contains(text, "SECRET") || !strings.Contains(text, `eval "$(outcrop env)"`) {
		t.Errorf("later starts: %s", text)
	}
}
