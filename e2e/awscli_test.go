package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awsCommand is the AWS CLI in the environment that `outcrop env` makes.
func awsCommand(t *testing.T, srv *server, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(s.python), "aws"), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(clientEnv(srv, cmd.Dir), "AWS_DEFAULT_OUTPUT=json")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// aws runs the AWS CLI and reads the JSON that it prints.
func awsJSON(t *testing.T, srv *server, into any, args ...string) {
	t.Helper()
	out, err := awsCommand(t, srv, nil, args...).Output()
	if err != nil {
		t.Fatalf("aws %s: %v", strings.Join(args, " "), commandError(err))
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("aws %s printed %q: %v", strings.Join(args, " "), out, err)
	}
}

// awsFails runs the AWS CLI, which must end with the error code and all words.
func awsFails(t *testing.T, srv *server, code string, env []string, args ...string) string {
	t.Helper()
	_, err := awsCommand(t, srv, env, args...).Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() < 250 || !strings.Contains(string(exit.Stderr), "("+code+")") {
		t.Errorf("aws %s: %v, want %s", strings.Join(args[:2], " "), commandError(err), code)
		return ""
	}
	return string(exit.Stderr)
}

// awsInvoke runs invoke-model, which writes the body to a file.
func awsInvoke(t *testing.T, srv *server, model, body string) map[string]any {
	t.Helper()
	out := filepath.Join(t.TempDir(), "body.json")
	var printed struct{ ContentType string }
	awsJSON(t, srv, &printed, "bedrock-runtime", "invoke-model", "--model-id", model, "--body", body, "--content-type", "application/json", out)
	if printed.ContentType != "application/json" {
		t.Errorf("content type %q", printed.ContentType)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(b, &answer); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return answer
}

const askJSON = `[{"role":"user","content":[{"text":"What is the capital of France?"}]}]`

// TestAWSCLI drives the AWS CLI. Version 1, which PyPI has, knows no streams.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	srv := s.server
	t.Run("list_models", func(t *testing.T) {
		var list struct {
			ModelSummaries []struct{ ModelID string }
		}
		awsJSON(t, srv, &list, "bedrock", "list-foundation-models", "--by-provider", "anthropic")
		if len(list.ModelSummaries) < 4 {
			t.Errorf("models %v", list)
		}
	})
	t.Run("get_model", func(t *testing.T) {
		var got struct {
			ModelDetails struct{ ModelArn string }
		}
		awsJSON(t, srv, &got, "bedrock", "get-foundation-model", "--model-identifier", claudeHaiku)
		if got.ModelDetails.ModelArn != "arn:aws:bedrock:us-east-1::foundation-model/"+claudeHaiku {
			t.Errorf("ARN %q", got.ModelDetails.ModelArn)
		}
	})
	t.Run("invoke", func(t *testing.T) {
		if a := awsInvoke(t, srv, claudeV2, `{"prompt":"Say hello.","max_tokens_to_sample":6,"temperature":0}`); a["stop_reason"] != "max_tokens" || a["completion"] == "" {
			t.Errorf("answer %v", a)
		}
		a := awsInvoke(t, srv, "arn:aws:bedrock:us-east-1::foundation-model/"+claudeHaiku, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":6,"temperature":0,"messages":[{"role":"user","content":"Say hello."}]}`)
		if usage, _ := a["usage"].(map[string]any); usage["output_tokens"] != 6.0 {
			t.Errorf("answer %v", a)
		}
		a = awsInvoke(t, srv, titanText, `{"inputText":"Say hello.","textGenerationConfig":{"maxTokenCount":6,"temperature":0}}`)
		if results, _ := a["results"].([]any); len(results) != 1 {
			t.Errorf("answer %v", a)
		}
	})
	t.Run("converse", func(t *testing.T) {
		var reply struct {
			Output struct {
				Message struct{ Content []struct{ Text string } }
			}
			StopReason string
			Usage      struct{ InputTokens, OutputTokens, TotalTokens int }
			Metrics    struct{ LatencyMs *int }
		}
		awsJSON(t, srv, &reply, "bedrock-runtime", "converse", "--model-id", "us."+claudeHaiku, "--messages", askJSON,
			"--system", `[{"text":"You are a helpful assistant."}]`, "--inference-config", "maxTokens=100,temperature=0")
		u := reply.Usage
		if len(reply.Output.Message.Content) != 1 || !strings.Contains(reply.Output.Message.Content[0].Text, "Paris") || reply.StopReason != "end_turn" ||
			u.InputTokens < 10 || u.TotalTokens != u.InputTokens+u.OutputTokens || reply.Metrics.LatencyMs == nil {
			t.Errorf("reply %+v", reply)
		}
	})
	t.Run("embed", func(t *testing.T) {
		if v, _ := awsInvoke(t, srv, titanEmbed1, `{"inputText":"hello"}`)["embedding"].([]any); len(v) != 1536 {
			t.Errorf("%d dimensions, want 1536", len(v))
		}
		for _, dims := range []int{256, 512, 1024} {
			body := fmt.Sprintf(`{"inputText":"hello","dimensions":%d}`, dims)
			if v, _ := awsInvoke(t, srv, titanEmbed2, body)["embedding"].([]any); len(v) != dims {
				t.Errorf("%d dimensions, want %d", len(v), dims)
			}
		}
	})
	t.Run("identity", func(t *testing.T) {
		var who struct{ Account, Arn, UserID string }
		awsJSON(t, srv, &who, "sts", "get-caller-identity")
		if len(who.Account) != 12 || !strings.Contains(who.Arn, who.Account) || who.UserID == "" {
			t.Errorf("identity %+v", who)
		}
	})
	t.Run("inference_profiles", func(t *testing.T) { awsProfiles(t, srv) })
}

func awsProfiles(t *testing.T, srv *server) {
	t.Helper()
	type profile struct{ InferenceProfileArn, Type string }
	var list struct{ InferenceProfileSummaries []profile }
	awsJSON(t, srv, &list, "bedrock", "list-inference-profiles", "--type-equals", "SYSTEM_DEFINED", "--page-size", "5")
	if len(list.InferenceProfileSummaries) < 6 {
		t.Errorf("%d system profiles over several pages", len(list.InferenceProfileSummaries))
	}
	create := []string{
		"bedrock", "create-inference-profile", "--inference-profile-name", "e2e-cli",
		"--model-source", "copyFrom=arn:aws:bedrock:us-east-1::foundation-model/" + claudeHaiku,
		"--client-request-token", fmt.Sprintf("e2e-cli-%d", time.Now().UnixNano()),
	}
	var made, again, got profile
	awsJSON(t, srv, &made, create...)
	awsJSON(t, srv, &again, create...)
	if made.InferenceProfileArn == "" || again != made {
		t.Errorf("made %+v, the repeat %+v", made, again)
	}
	awsFails(t, srv, "ConflictException", nil, append(create, "--description", "another")...)
	awsJSON(t, srv, &got, "bedrock", "get-inference-profile", "--inference-profile-identifier", made.InferenceProfileArn)
	if got.Type != "APPLICATION" {
		t.Errorf("profile %+v", got)
	}
	if out, err := awsCommand(t, srv, nil, "bedrock", "delete-inference-profile", "--inference-profile-identifier", made.InferenceProfileArn).CombinedOutput(); err != nil {
		t.Errorf("delete: %v: %s", err, out)
	}
	awsFails(t, srv, "ResourceNotFoundException", nil, "bedrock", "get-inference-profile", "--inference-profile-identifier", made.InferenceProfileArn)
}

// TestAWSCLIErrors checks the code that the AWS CLI shows for each error.
func TestAWSCLIErrors(t *testing.T) {
	t.Parallel()
	srv := s.server
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("[default]\nparameter_validation = false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	converse := func(more ...string) []string {
		return append([]string{"bedrock-runtime", "converse", "--model-id", claudeHaiku, "--messages", askJSON}, more...)
	}
	for _, v := range []struct {
		name, code string
		words      []string
		env        []string
		args       []string
	}{
		{name: "unknown_model", code: "ValidationException", words: []string{"The provided model identifier is invalid."},
			args: []string{"bedrock-runtime", "converse", "--model-id", "acme.gpt-0", "--messages", askJSON}},
		{name: "unknown_model_details", code: "ResourceNotFoundException",
			args: []string{"bedrock", "get-foundation-model", "--model-identifier", "acme.gpt-0"}},
		{name: "body_names_the_key", code: "ValidationException", words: []string{"max_tokens_to_sample"},
			args: []string{"bedrock-runtime", "invoke-model", "--model-id", claudeV2, "--body", `{"prompt":"x"}`, "out"}},
		{name: "max_tokens_zero", code: "ValidationException", words: []string{"maxTokens"}, env: []string{"AWS_CONFIG_FILE=" + config},
			args: converse("--inference-config", "maxTokens=0")},
		{name: "input_too_long", code: "ValidationException", words: []string{"Input is too long for requested model", " 77 ", "8192"},
			args: []string{"bedrock-runtime", "converse", "--model-id", claudeHaiku, "--inference-config", "maxTokens=77",
				"--messages", `[{"role":"user","content":[{"text":"` + strings.Repeat("stone ", 9000) + `"}]}]`}},
		{name: "bad_signature", code: "InvalidSignatureException", env: []string{"AWS_SECRET_ACCESS_KEY=" + strings.Repeat("x", 40)}, args: converse()},
		{name: "bad_signature_sts", code: "SignatureDoesNotMatch", env: []string{"AWS_SECRET_ACCESS_KEY=" + strings.Repeat("x", 40)}, args: []string{"sts", "get-caller-identity"}},
		{name: "unknown_key", code: "UnrecognizedClientException", env: []string{"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE"}, args: converse()},
		{name: "unsigned", code: "MissingAuthenticationTokenException", args: converse("--no-sign-request")},
		{name: "not_implemented", code: "NotImplementedException", words: []string{"ListGuardrails"}, args: []string{"bedrock", "list-guardrails"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			said := awsFails(t, srv, v.code, v.env, v.args...)
			for _, w := range v.words {
				if !strings.Contains(said, w) {
					t.Errorf("%q does not say %q", said, w)
				}
			}
		})
	}
	t.Run("clock_ten_minutes_off", func(t *testing.T) {
		for _, minutes := range []string{"10", "-10"} {
			cmd := clientCommand(t, srv, "late_aws.py", append([]string{minutes}, converse()...)...)
			_, err := cmd.Output()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || !strings.Contains(string(exit.Stderr), "(InvalidSignatureException)") {
				t.Errorf("%s minutes: %v", minutes, commandError(err))
			}
		}
	})
}
