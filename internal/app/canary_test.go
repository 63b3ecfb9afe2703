package app_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// TestCanary plants random words in everything that must not be kept and looks
// for them in the log, in every file of the data directory and in the answer of
// every call that fails.
func TestCanary(t *testing.T) {
	t.Parallel()
	words := map[string]string{}
	for _, where := range []string{"prompt", "system", "document", "completion", "cause", "panic", "path", "query", "header"} {
		words[where] = rand.Text()
	}
	engines := map[string]scripted.Reply{
		"works":           {Text: "so " + words["completion"] + " it is"},
		"fails":           {Err: apierr.ModelError("The model failed.").WithCause(fmt.Errorf("prompt %s of /srv/%s", words["prompt"], words["cause"]))},
		"fails unknown":   {Err: fmt.Errorf("open /srv/%s: %w", words["cause"], errors.New(words["prompt"]))},
		"fails in stream": {Text: "so " + words["completion"] + " it is", After: 2, Err: apierr.ModelStreamError("The model failed.").WithCause(errors.New(words["cause"]))},
		"breaks":          {Text: "a b c", After: 2, Err: errors.New(words["cause"] + words["completion"])},
	}
	for name, reply := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &syncBuffer{}
			s := apptest.Start(t, apptest.Engine(scripted.New(reply)), apptest.Config(func(c *app.Config) { strict(c) }),
				apptest.Log(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			bearer := s.NewKey(t, s.Account, keys.Bearer)
			secrets := map[string]string{"secret": string(s.Key.Secret.Reveal()), "bearer": string(bearer.Secret.Reveal())}
			for where, w := range words {
				secrets[where] = w
			}
			clean := func(where, text string) {
				t.Helper()
				for what, w := range secrets {
					if strings.Contains(text, w) {
						t.Errorf("%s holds the %s", where, what)
					}
				}
			}
			for _, c := range canaryCalls(words) {
				for _, sign := range []string{"header", "bearer", "wrong"} {
					status, body := c.send(t, s, sign, string(bearer.Secret.Reveal()))
					if status != 200 {
						clean(fmt.Sprintf("the answer %d to %s", status, c.name), body)
					}
				}
			}
			s.Stop(t)
			clean("the log", log.String())
			if !strings.Contains(log.String(), "operation=Converse") {
				t.Error("the log tells of no call")
			}
			files := 0
			err := filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				files++
				b, err := os.ReadFile(path)
				clean(filepath.Base(path), string(b))
				return err
			})
			if err != nil || files < 2 {
				t.Errorf("%d files, %v", files, err)
			}
		})
	}
}

type canaryCall struct{ name, path, body string }

func canaryCalls(w map[string]string) []canaryCall {
	talk := `"messages":[{"role":"user","content":[{"text":"` + w["prompt"] + `"}]}],"system":[{"text":"` + w["system"] + `"}]`
	claude := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"system":"` + w["system"] + `","messages":[{"role":"user","content":"` + w["prompt"] + `"}]`
	return []canaryCall{
		{"Converse", "/model/" + haiku + "/converse", "{" + talk + "}"},
		{"ConverseStream", "/model/" + haiku + "/converse-stream", "{" + talk + "}"},
		{"InvokeModel", "/model/" + haiku + "/invoke", claude + "}"},
		{"InvokeModelWithResponseStream", "/model/" + haiku + "/invoke-with-response-stream", claude + "}"},
		{"embedding", "/model/" + embedG1 + "/invoke", `{"inputText":"` + w["document"] + `"}`},
		{"too long", "/model/" + haiku + "/converse", "{" + talk + `,"inferenceConfig":{"maxTokens":100000}}`},
		{"cut JSON", "/model/" + haiku + "/converse", "{" + talk},
		{"no JSON", "/model/" + haiku + "/converse", w["prompt"]},
		{"cut native JSON", "/model/" + haiku + "/invoke", claude},
		{"native no JSON", "/model/" + haiku + "/invoke", w["prompt"]},
		{"wrong type", "/model/" + haiku + "/converse", `{"messages":"` + w["prompt"] + `"}`},
		{"wrong native type", "/model/" + haiku + "/invoke", claude + `,"stop_sequences":"` + w["prompt"] + `"}`},
		{"wrong native value", "/model/" + haiku + "/invoke", strings.Replace(claude, `"max_tokens":20`, `"max_tokens":"`+w["prompt"]+`"`, 1) + "}"},
		{"wrong role", "/model/" + haiku + "/converse", `{"messages":[{"role":"user","content":[{"text":"` + w["prompt"] + `"}]},{"role":"user","content":[{"text":"x"}]},{"role":"` + "nobody" + `","content":[{"text":"` + w["prompt"] + `"}]}]}`},
		{"CountTokens", "/model/" + haiku + "/count-tokens", `{"input":{"converse":{` + talk + `}}}`},
		{"too long to count", "/model/" + haiku + "/count-tokens", `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"` + strings.Repeat(w["prompt"]+" ", 20_000) + `"}]}]}}}`},
		{"document", "/model/" + haiku + "/converse", `{"messages":[{"role":"user","content":[{"text":"a"},{"document":{"name":"d","format":"pdf","source":{"text":"` + w["document"] + `"}}}]}]}`},
		{"tool without tools", "/model/" + haiku + "/converse", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"n","input":{"a":"` + w["prompt"] + `"}}}]}]}`},
		{"schema", "/model/" + haiku + "/converse", "{" + talk + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"` + w["prompt"] + `"}}}}}`},
		{"resume", "/model/" + haiku + "/converse", "{" + talk + `,"additionalModelRequestFields":{"outcrop_resume":{"text":"` + w["completion"] + `"}}}`},
		{"wrong resume", "/model/" + haiku + "/converse", "{" + talk + `,"additionalModelRequestFields":{"outcrop_resume":"` + w["completion"] + `"}}`},
		{"unknown model", "/model/nobody.nothing-v1:0/converse", "{" + talk + "}"},
		{"no text model", "/model/" + embedG1 + "/converse", "{" + talk + "}"},
		{"not implemented", "/guardrails", "{" + talk + "}"},
		{"no route", "/nowhere/" + w["path"], "{" + talk + "}"},
		{"query", "/foundation-models?byProvider=" + w["query"] + "%ff", "{" + talk + "}"},
	}
}

// send returns the status and the whole answer, headers and frames included.
func (c canaryCall) send(t *testing.T, s *apptest.Server, sign, bearer string) (int, string) {
	t.Helper()
	body := []byte(c.body)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint+c.path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	switch sign {
	case "bearer":
		r.Header.Set("Authorization", "Bearer "+bearer)
	case "wrong":
		r.Header.Set("Authorization", "Bearer ABSK"+bearer[8:20])
	default:
		if err := sigv4.Sign(r, body, sigv4.Credentials{AccessKeyID: s.Key.ID, Secret: s.Key.Secret}, "us-east-1", "bedrock", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // read to the end
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	status := resp.StatusCode
	if i := bytes.Index(b, []byte(":exception-type")); i >= 0 { // what came before is the reply itself
		status, b = 0, b[i:]
	}
	return status, fmt.Sprint(resp.Header) + string(b)
}
