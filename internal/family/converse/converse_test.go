package converse

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

// input reads the JSON of a request as the server does. What the tables of the API
// refuse already is read without them, so that the codec sees it too.
func input(t testing.TB, s string) *rt.ConverseInput {
	t.Helper()
	in := &rt.ConverseInput{}
	err := restjson.New().Decode(&rt.Model, rt.OpConverse.Operation, restjson.Request{Labels: []string{"m"}, Body: []byte(s)}, in)
	if err != nil {
		in = &rt.ConverseInput{}
		err = json.Unmarshal([]byte(s), in)
	}
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func say(role llm.Role, texts ...string) llm.Message {
	m := llm.Message{Role: role}
	for _, s := range texts {
		m.Content = append(m.Content, llm.Block{Kind: llm.Text, Text: s})
	}
	return m
}

const hello = `"messages":[{"role":"user","content":[{"text":"Hello"}]}]`

func TestRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in         string
		additional string
		want       llm.Request
	}{
		"one turn": {in: `{` + hello + `}`, want: llm.Request{Messages: []llm.Message{say(llm.User, "Hello")}}},
		"everything": {
			in: `{"system":[{"text":"Be brief."},{"cachePoint":{"type":"default"}},{"guardContent":{"text":{"text":"Be kind."}}}],
				"messages":[
					{"role":"user","content":[{"text":" One "},{"cachePoint":{"type":"default"}},{"guardContent":{"text":{"text":"Two","qualifiers":["query"]}}}]},
					{"role":"assistant","content":[{"text":"Three"}]},
					{"role":"user","content":[{"text":"Four"}]},
					{"role":"assistant","content":[{"text":"Five is"}]}],
				"inferenceConfig":{"maxTokens":300,"temperature":0.7,"topP":0.9,"stopSequences":["—","END"]},
				"requestMetadata":{"a":"b"},"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"default"},
				"promptVariables":{"x":{"text":"y"}},"additionalModelResponseFieldPaths":["/stop_sequence","/a~1b/0"],
				"guardrailConfig":{"trace":"enabled"}}`,
			additional: `{"top_k":40,"seed":7,"anthropic_beta":["x"],"anthropic_version":"bedrock-2023-05-31","thinking":{"type":"disabled"}}`,
			want: llm.Request{
				System:   []string{"Be brief.", "Be kind."},
				Cache:    &llm.Mark{Message: 0, Block: 1},
				Thinking: &llm.Thinking{Off: true},
				Messages: []llm.Message{
					say(llm.User, " One ", "Two"), say(llm.Assistant, "Three"), say(llm.User, "Four"), say(llm.Assistant, "Five is"),
				},
				Params: llm.Params{
					MaxTokens: new(300), Temperature: new(0.7), TopP: new(0.9), TopK: new(40), Stop: []string{"—", "END"}, Seed: new(int64(7)),
				},
			},
		},
		"greedy": {in: `{` + hello + `,"inferenceConfig":{"temperature":0,"topP":1}}`, want: llm.Request{
			Messages: []llm.Message{say(llm.User, "Hello")}, Params: llm.Params{Temperature: new(0.0), TopP: new(1.0)},
		}},
		"Cohere's top k": {in: `{` + hello + `}`, additional: `{"k":5}`, want: llm.Request{
			Messages: []llm.Message{say(llm.User, "Hello")}, Params: llm.Params{TopK: new(5)},
		}},
		"Nova's top k": {in: `{` + hello + `}`, additional: `{"inferenceConfig":{"topK":20}}`, want: llm.Request{
			Messages: []llm.Message{say(llm.User, "Hello")}, Params: llm.Params{TopK: new(20)},
		}},
		"no additional field": {in: `{` + hello + `}`, additional: `{}`, want: llm.Request{Messages: []llm.Message{say(llm.User, "Hello")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(t, c.in)
			in.AdditionalModelRequestFields = awsapi.Document(c.additional)
			got, err := Codec{}.ConverseRequest(family.Model{MaxOutput: 300}, in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			streamed, err := Codec{}.ConverseStreamRequest(family.Model{}, streaming(in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, streamed); d != "" {
				t.Errorf("the streaming operation means something else:\n%s", d)
			}
		})
	}
}

// streaming copies a request field by field into the streaming operation's type.
func streaming(in *rt.ConverseInput) *rt.ConverseStreamInput {
	out := &rt.ConverseStreamInput{}
	from, to := reflect.ValueOf(in).Elem(), reflect.ValueOf(out).Elem()
	for i := range from.NumField() {
		if name := from.Type().Field(i).Name; name != "GuardrailConfig" {
			to.FieldByName(name).Set(from.Field(i))
		}
	}
	if g := in.GuardrailConfig; g != nil {
		out.GuardrailConfig = &rt.GuardrailStreamConfiguration{
			GuardrailIdentifier: g.GuardrailIdentifier, GuardrailVersion: g.GuardrailVersion, Trace: g.Trace,
		}
	}
	return out
}

// TestUnstreamedLosesNothing fails when the API gets a member that unstreamed
// does not know.
func TestUnstreamedLosesNothing(t *testing.T) {
	t.Parallel()
	in := input(t, `{"modelId":"m","messages":[{}],"system":[{}],"inferenceConfig":{},"toolConfig":{},
		"guardrailConfig":{"guardrailIdentifier":"g","guardrailVersion":"1","trace":"enabled"},"promptVariables":{"a":{}},
		"additionalModelResponseFieldPaths":["/a"],"requestMetadata":{"a":"b"},"performanceConfig":{},"serviceTier":{},"outputConfig":{}}`)
	in.AdditionalModelRequestFields = awsapi.Document("{}")
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("this test sets no %s", v.Type().Field(i).Name)
		}
	}
	if d := cmp.Diff(in, unstreamed(streaming(in))); d != "" {
		t.Errorf("-in +out:\n%s", d)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	user := func(block string) string { return `{"messages":[{"role":"user","content":[` + block + `]}]}` }
	for name, c := range map[string]struct{ in, additional, want string }{
		"no messages":     {in: `{}`, want: "A conversation must start with a user message. Try again with a conversation that starts with a user message."},
		"assistant first": {in: `{"messages":[{"role":"assistant","content":[{"text":"a"}]}]}`, want: "A conversation must start with a user message. Try again with a conversation that starts with a user message."},
		"same role":       {in: `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, want: "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again."},
		"system role":     {in: `{"messages":[{"role":"system","content":[{"text":"a"}]}]}`, want: "The role at messages.0 is not supported by this model. Use user or assistant, and the system field for system prompts."},
		"blank text":      {in: user(`{"text":"a"},{"text":" \n"}`), want: "The text field in the ContentBlock object at messages.0.content.1 is blank. Add text to the text field, and try again."},
		"blank guarded":   {in: user(`{"guardContent":{"text":{"text":""}}}`), want: "The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to the text field, and try again."},
		"blank system":    {in: `{"system":[{"text":"a"},{"text":" "}],` + hello + `}`, want: "The text field in the SystemContentBlock object at system.1 is blank. Add text to the text field, and try again."},
		"empty system":    {in: `{"system":[{}],` + hello + `}`, want: "The SystemContentBlock object at system.0 must set one of the following keys: text, guardContent, cachePoint."},
		"system image":    {in: `{"system":[{"guardContent":{"image":{}}}],` + hello + `}`, want: "This model doesn't support the guardContent.image content block that you provided at system.0. Remove the content block and try again."},
		"no content":      {in: user(``), want: "The content field in the Message object at messages.0 is empty. Add a ContentBlock object to the content field and try again."},
		"only a cache":    {in: user(`{"cachePoint":{"type":"default"}}`), want: "The content field in the Message object at messages.0 is empty. Add a ContentBlock object to the content field and try again."},
		"empty block":     {in: user(`{}`), want: "The ContentBlock object at messages.0.content.0 must set one of its keys."},
		"guardrail":       {in: `{` + hello + `,"guardrailConfig":{"guardrailIdentifier":"abc","guardrailVersion":"1"}}`, want: "The guardrail identifier or version provided in the request does not exist."},
		"no version":      {in: `{` + hello + `,"guardrailConfig":{"guardrailIdentifier":"abc"}}`, want: "guardrailConfig.guardrailVersion is required when guardrailConfig.guardrailIdentifier is provided."},
		"no identifier":   {in: `{` + hello + `,"guardrailConfig":{"guardrailVersion":"1"}}`, want: "guardrailConfig.guardrailIdentifier is required when guardrailConfig.guardrailVersion is provided."},
		"no schema":       {in: `{` + hello + `,"outputConfig":{"textFormat":{}}}`, want: "outputConfig.textFormat.structure.jsonSchema.schema is required when outputConfig.textFormat is provided."},
		"bad schema":      {in: `{` + hello + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"[]"}}}}}`, want: "The value at outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object. Provide a JSON schema and try again."},
		"effort":          {in: `{` + hello + `,"outputConfig":{"effort":"lots"}}`, want: "The value at outputConfig.effort must be one of the following: low, medium, high, xhigh, max."},
		"pointer":         {in: `{` + hello + `,"additionalModelResponseFieldPaths":["/a","b"]}`, want: "additionalModelResponseFieldPaths.1 is not a valid JSON Pointer."},
		"pointer escape":  {in: `{` + hello + `,"additionalModelResponseFieldPaths":["/a~2"]}`, want: "additionalModelResponseFieldPaths.0 is not a valid JSON Pointer."},
		"too many tokens": {in: `{` + hello + `,"inferenceConfig":{"maxTokens":4097}}`, want: "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096."},
		"empty stop":      {in: `{` + hello + `,"inferenceConfig":{"stopSequences":["a",""]}}`, want: "The value at inferenceConfig.stopSequences.1 is empty. Add text to the stop sequence, and try again."},
		"unknown field":   {in: `{` + hello + `}`, additional: `{"logit_bias":{}}`, want: "The model returned the following errors: Malformed input request: #: extraneous key [logit_bias] is not permitted, please reformat your input and try again."},
		"no object":       {in: `{` + hello + `}`, additional: `[]`, want: "The model returned the following errors: Malformed input request: #: expected type: JSONObject, found: JSONArray, please reformat your input and try again."},
		"range":           {in: `{` + hello + `}`, additional: `{"top_k":501}`, want: "The model returned the following errors: Malformed input request: #/top_k: 501 is not less or equal to 500, please reformat your input and try again."},
		"Nova key":        {in: `{` + hello + `}`, additional: `{"inferenceConfig":{"topP":1}}`, want: "The model returned the following errors: Malformed input request: #/inferenceConfig: extraneous key [topP] is not permitted, please reformat your input and try again."},
		"thinking":        {in: `{` + hello + `}`, additional: `{"thinking":{"type":"enabled"}}`, want: "The model returned the following errors: Malformed input request: #/thinking: required key [budget_tokens] not found, please reformat your input and try again."},
		"conflict":        {in: `{` + hello + `}`, additional: `{"system":"x"}`, want: "The additional field system conflicts with an existing field."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(t, c.in)
			in.AdditionalModelRequestFields = awsapi.Document(c.additional)
			_, err := Codec{}.ConverseRequest(family.Model{MaxOutput: 4096}, in)
			checkError(t, err, c.want)
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != apierr.CodeValidation || e.HTTPStatus() != 400 {
		t.Fatalf("got %v, want a ValidationException", err)
	}
	if e.Message != want {
		t.Errorf("got  %s\nwant %s", e.Message, want)
	}
}

// TestEveryBlockIsNamed fails when the API gets a block that is neither taken
// nor refused by name.
func TestEveryBlockIsNamed(t *testing.T) {
	t.Parallel()
	for i, typ := 0, reflect.TypeFor[rt.ContentBlock](); i < typ.NumField(); i++ {
		name := typ.Field(i).Name
		if name == "Text" || name == "CachePoint" {
			continue
		}
		var b rt.ContentBlock
		v := reflect.ValueOf(&b).Elem().Field(i)
		v.Set(reflect.New(v.Type().Elem()))
		for _, r := range []llm.Role{llm.User, llm.Assistant} {
			rd := reader{req: &llm.Request{}}
			_, err := rd.content([]rt.ContentBlock{b}, r, 3) // the block lacks all that it needs
			if err == nil {
				t.Errorf("%s: accepted", name)
				continue
			}
			want := strings.ToLower(name[:1]) + name[1:]
			if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "messages.3.content.0") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
