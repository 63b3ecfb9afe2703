package converse

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

func decode(wire *restjson.Codec, data []byte) (*rt.ConverseInput, error) {
	in := &rt.ConverseInput{}
	return in, wire.Decode(&rt.Model, rt.OpConverse.Operation, restjson.Request{Labels: []string{"m"}, Body: data}, in)
}

// FuzzRequest reads any body, also one that the tables would refuse after it is
// decoded. No request panics, refusals are ValidationException in one short line,
// and an accepted request is one that the pipeline can rely on.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		hello,
		hello + `,"additionalModelRequestFields":{"top_k":1,"thinking":{"type":"enabled","budget_tokens":2000},"outcrop_resume":{"text":" a"}}`,
		hello + `,"additionalModelRequestFields":{"inferenceConfig":{"topK":1,"reasoningConfig":{"type":"enabled"}},"tool_choice":{"type":"none"}},"outputConfig":{"effort":"low","textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}`,
		`"system":[{"text":"a"},{"cachePoint":{"type":"default","ttl":"1h"}}],` + turns(`{"guardContent":{"text":{"text":"a"}}},{"cachePoint":{"type":"default"}}`) + `,"inferenceConfig":{"temperature":1e-40}`,
		turns(`{"text":"a"},{"image":{"format":"png","source":{"bytes":"AQ=="}}},{"document":{"name":"d","format":"pdf","source":{"s3Location":{"uri":"s3://bucket/k"}}}}`, use("a")+`,{"text":"b"},`+use("b"), result("b")+`,`+result("a")) + `,` + tools,
		turns(`{"searchResult":{"source":"s","title":"t","content":[{"text":"c"}]}},{"document":{"name":"d","source":{"content":[{"text":"x"}]}}}`,
			`{"reasoningContent":{"reasoningText":{"text":"h","signature":"s"}}},{"reasoningContent":{"redactedContent":"AQ=="}},{"citationsContent":{"content":[{"text":"c"}]}}`),
		turns(`{"video":{"format":"mp4","source":{"bytes":"AQ=="}}}`),
		turns(`{"text":"a"}`, use("a"), `{"toolResult":{"toolUseId":"a","status":"error","content":[{"json":{"a":1}},{"image":{"format":"gif","source":{"bytes":"AQ=="}}}]}}`) + `,"toolConfig":{"tools":[` + clock + `,{"cachePoint":{"type":"default"}}],"toolChoice":{"any":{}}}`,
	} {
		f.Add([]byte(`{` + s + `}`))
	}
	wire := restjson.New()
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := decode(wire, data)
		if err != nil {
			return
		}
		req, err := Codec{}.ConverseRequest(family.Model{ID: "anthropic.claude-x"}, in)
		if err != nil {
			e, ok := errors.AsType[*apierr.Error](err)
			if !ok || e.Code != apierr.CodeValidation || len(e.Message) > 4096 || strings.ContainsAny(e.Message, "\r\n") {
				t.Fatalf("got %v", err)
			}
			return
		}
		sound(t, req)
		again(t, wire, req)
	})
}

// sound checks what the pipeline relies on.
func sound(t *testing.T, req *llm.Request) {
	t.Helper()
	if len(req.Messages) == 0 || req.Messages[0].Role != llm.User {
		t.Fatalf("bad conversation: %+v", req.Messages)
	}
	for i, m := range req.Messages {
		if len(m.Content) == 0 || i > 0 && req.Messages[i-1].Role == m.Role {
			t.Fatalf("turn %d is empty, or of the same role as the one before", i)
		}
		for _, b := range m.Content {
			if b.Kind == llm.ToolCall && (b.Call.ID == "" || !isObject(b.Call.Input)) {
				t.Fatalf("bad call: %+v", b.Call)
			}
			if b.Media != nil {
				set := 0
				for _, has := range []bool{b.Media.Data != nil, b.Media.URI != "", b.Media.Text != ""} {
					if has {
						set++
					}
				}
				if set != 1 || b.Media.Format == "" || b.Media.Place == "" {
					t.Fatalf("bad media: %+v", b.Media)
				}
			}
		}
	}
	for _, tool := range req.Tools {
		if tool.Name == "" || !isObject(tool.Schema) {
			t.Fatalf("bad tool: %+v", tool)
		}
	}
	if c := req.Cache; c != nil && (c.Message >= len(req.Messages) || c.Block > len(req.Messages[c.Message].Content)) {
		t.Fatalf("cache point outside of the conversation: %+v", c)
	}
}

func isObject(data []byte) bool {
	var v map[string]any
	return json.Unmarshal(data, &v) == nil && v != nil
}

// again writes each of the assistant's turns as a reply, reads that as a client
// would send it back, and checks that nothing changed.
func again(t *testing.T, wire *restjson.Codec, req *llm.Request) {
	t.Helper()
	for _, m := range req.Messages {
		if m.Role != llm.Assistant {
			continue
		}
		resp, err := wire.AppendOutput(nil, &rt.Model, rt.OpConverse.Operation, Codec{}.ConverseResponse(family.Model{}, &rt.ConverseInput{}, &llm.Response{Content: m.Content}))
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			Output struct{ Message json.RawMessage }
		}
		if err := json.Unmarshal(resp.Body, &out); err != nil {
			t.Fatal(err)
		}
		in, err := decode(wire, []byte(`{"messages":[`+string(out.Output.Message)+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		rd := reader{req: &llm.Request{}}
		blocks, err := rd.content(in.Messages[0].Content, llm.Assistant, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m.Content, blocks, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("-sent +came back:\n%s", d)
		}
	}
}
