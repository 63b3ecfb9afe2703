package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// send sends a body with headers, and returns the answer with what it holds.
func send(t *testing.T, s *apptest.Server, method, path, body string, headers map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// events reads server-sent events: names and data.
func events(t *testing.T, body string) (names, data []string) {
	t.Helper()
	s := bufio.NewScanner(strings.NewReader(body))
	for s.Scan() {
		switch line := s.Text(); {
		case strings.HasPrefix(line, "event: "):
			names = append(names, line[7:])
		case strings.HasPrefix(line, "data: "):
			data = append(data, line[6:])
		case line != "":
			t.Errorf("line %q", line)
		}
	}
	return names, data
}

const (
	chatPath     = "/openai/v1/chat/completions"
	messagesPath = "/anthropic/v1/messages"
)

// TestDirect speaks OpenAI's and Anthropic's own APIs.
func TestDirect(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two"})))
	key := string(s.NewKey(t, keys.DefaultAccount, keys.Bearer).Secret.Reveal())
	bearer := map[string]string{"Authorization": "Bearer " + key, "Content-Type": "application/json"}
	t.Run("chat completion", func(t *testing.T) {
		t.Parallel()
		resp, body := send(t, s, "POST", chatPath, `{"model":"openai.gpt-oss-20b-1:0","messages":[{"role":"user","content":"Hello"}]}`, bearer)
		var out struct {
			Object, Model string
			Choices       []struct{ Message struct{ Content string } }
			Usage         struct {
				Total int `json:"total_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(body), &out); err != nil || resp.StatusCode != 200 || out.Object != "chat.completion" ||
			out.Choices[0].Message.Content != "one two" || out.Usage.Total == 0 || resp.Header.Get("X-Outcrop-Served-By") == "" {
			t.Errorf("%d %v: %s", resp.StatusCode, err, body)
		}
	})
	t.Run("chat stream", func(t *testing.T) {
		t.Parallel()
		resp, body := send(t, s, "POST", chatPath,
			`{"model":"openai.gpt-oss-20b-1:0","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}`, bearer)
		names, data := events(t, body)
		text := ""
		for _, d := range data[:len(data)-1] {
			var c struct {
				Choices []struct{ Delta struct{ Content string } }
			}
			if err := json.Unmarshal([]byte(d), &c); err != nil || strings.Contains(d, "amazon") {
				t.Errorf("%v: %s", err, d)
			}
			if len(c.Choices) > 0 {
				text += c.Choices[0].Delta.Content
			}
		}
		if len(names) > 0 || data[len(data)-1] != "[DONE]" || text != "one two" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			t.Errorf("%q by %v", text, data)
		}
		if !strings.Contains(data[len(data)-2], `"usage":{`) {
			t.Errorf("no usage in %s", data[len(data)-2])
		}
	})
	t.Run("models", func(t *testing.T) {
		t.Parallel()
		resp, body := send(t, s, "GET", "/openai/v1/models", "", bearer)
		if resp.StatusCode != 200 || !strings.Contains(body, `"id":"openai.gpt-oss-20b-1:0","object":"model"`) || strings.Contains(body, "embed") {
			t.Errorf("%d: %s", resp.StatusCode, body)
		}
	})
	t.Run("message", func(t *testing.T) {
		t.Parallel()
		for _, model := range []string{"anthropic.claude-3-haiku-20240307-v1:0", "claude-3-5-haiku-20241022"} {
			resp, body := send(t, s, "POST", messagesPath, `{"model":"`+model+`","max_tokens":50,"messages":[{"role":"user","content":"Hello"}]}`,
				map[string]string{"X-Api-Key": key, "Anthropic-Version": "2023-06-01"})
			if resp.StatusCode != 200 || !strings.Contains(body, `"model":"`+model+`"`) || !strings.Contains(body, `{"type":"text","text":"one two"}`) {
				t.Errorf("%s: %d: %s", model, resp.StatusCode, body)
			}
		}
	})
	t.Run("message stream", func(t *testing.T) {
		t.Parallel()
		_, body := send(t, s, "POST", messagesPath, `{"model":"anthropic.claude-3-haiku-20240307-v1:0","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"Hello"}]}`, bearer)
		names, data := events(t, body)
		want := "message_start content_block_start content_block_delta content_block_delta content_block_stop message_delta message_stop"
		if strings.Join(names, " ") != want || strings.Contains(body, "amazon") || len(data) != len(names) {
			t.Errorf("%v: %s", names, body)
		}
	})
}

// TestDirectRefusals checks that errors have the form and status of their API.
func TestDirectRefusals(t *testing.T) {
	t.Parallel()
	failing := scripted.New(scripted.Reply{Text: "one two three", Err: apierr.ModelStreamError("The model failed."), After: 2})
	s := apptest.Start(t, apptest.Engine(failing))
	key := string(s.NewKey(t, keys.DefaultAccount, keys.Bearer).Secret.Reveal())
	good := map[string]string{"Authorization": "Bearer " + key}
	const hello = `"messages":[{"role":"user","content":"Hello"}]`
	for name, c := range map[string]struct {
		path, body string
		headers    map[string]string
		status     int
		want       string
	}{
		"no key":             {chatPath, `{}`, nil, 401, `"type":"authentication_error"`},
		"no key, Anthropic":  {messagesPath, `{}`, nil, 401, `{"error":{"message":"No API key was sent.`},
		"bad key":            {chatPath, `{}`, map[string]string{"Authorization": "Bearer ABSKnothing"}, 401, `"type":"authentication_error"`},
		"key header, OpenAI": {chatPath, `{}`, map[string]string{"X-Api-Key": key}, 401, `"error"`},
		"no model":           {chatPath, `{` + hello + `}`, good, 400, `"type":"invalid_request_error"`},
		"unknown model":      {chatPath, `{"model":"nobody.nothing-v1:0",` + hello + `}`, good, 400, `The provided model identifier is invalid.`},
		"embedding model":    {chatPath, `{"model":"amazon.titan-embed-text-v1",` + hello + `}`, good, 400, `conversations`},
		"bad value":          {chatPath, `{"model":"openai.gpt-oss-20b-1:0","temperature":9,` + hello + `}`, good, 400, `temperature`},
		"no max_tokens":      {messagesPath, `{"model":"anthropic.claude-3-haiku-20240307-v1:0",` + hello + `}`, good, 400, `max_tokens`},
		"engine":             {chatPath, `{"model":"openai.gpt-oss-20b-1:0",` + hello + `}`, good, 424, `The model failed.`},
		"engine in a stream": {messagesPath, `{"model":"anthropic.claude-3-haiku-20240307-v1:0","max_tokens":9,"stream":true,` + hello + `}`, good, 200, "event: error\ndata: {\"error\":{\"message\":\"The model failed.\""},
	} {
		resp, body := send(t, s, "POST", c.path, c.body, c.headers)
		if resp.StatusCode != c.status || !strings.Contains(body, c.want) || resp.Header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: %d %s, want %d %s", name, resp.StatusCode, body, c.status, c.want)
		}
	}
	if resp, _ := send(t, s, "GET", chatPath, "", good); resp.StatusCode/100 != 4 {
		t.Errorf("GET %s: %d", chatPath, resp.StatusCode)
	}
}

// TestDirectWithoutAccess: an account without access to a model gets it through
// none of the providers' APIs, and one without a permission neither.
func TestDirectWithoutAccess(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one two"})))
	key := string(s.NewKey(t, "111122223333", keys.Bearer).Secret.Reveal())
	bearer := map[string]string{"Authorization": "Bearer " + key, "Content-Type": "application/json"}
	messages := `"messages":[{"role":"user","content":"Hello"}]}`
	gone := "arn:aws:bedrock:us-east-1:444455556666:application-inference-profile/abcdefghij12"
	for name, tc := range map[string]struct {
		path, body, want string
		status           int
	}{
		"OpenAI":                    {chatPath, `{"model":"openai.gpt-oss-20b-1:0",` + messages, "You don't have access to the model", 403},
		"OpenAI, stream":            {chatPath, `{"model":"openai.gpt-oss-20b-1:0","stream":true,` + messages, "You don't have access to the model", 403},
		"Anthropic":                 {messagesPath, `{"model":"claude-3-haiku-20240307-v1:0","max_tokens":9,` + messages, "You don't have access to the model", 403},
		"Amazon":                    {chatPath, `{"model":"amazon.nova-lite-v1:0",` + messages, "one two", 200},
		"another account's profile": {chatPath, `{"model":"` + gone + `",` + messages, "perform: bedrock:InvokeModel on resource: " + gone, 403},
		"no model":                  {chatPath, `{"model":"acme.model",` + messages, "identifier is invalid", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if resp, body := send(t, s, "POST", tc.path, tc.body, bearer); resp.StatusCode != tc.status || !strings.Contains(body, tc.want) {
				t.Errorf("%d: %s, want %d with %q", resp.StatusCode, body, tc.status, tc.want)
			}
		})
	}
}
