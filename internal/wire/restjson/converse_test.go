package restjson

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

const converseBody = `{
  "messages": [
    {"role": "user", "content": [{"text": "Was kostet \"das\" in €?\n"}]},
    {"role": "assistant", "content": [{"text": "a\u00e9\ud83d\ude00"}, {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"q": [1, 2.50, null]}}}]}
  ],
  "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
  "inferenceConfig": {"maxTokens": 64.0, "temperature": 0.5, "stopSequences": ["END", "\n\n"]},
  "requestMetadata": {"team": "a"},
  "additionalModelRequestFields": {"top_k": 50},
  "unknown": {"deep": [1, {"x": null}]},
  "guardrailConfig": null
}`

func decodeConverse(t testing.TB, c *Codec, body string) (*br.ConverseInput, error) {
	t.Helper()
	in := new(br.ConverseInput)
	err := c.Decode(&br.Model, br.OpConverse.Operation, Request{Labels: []string{"anthropic.claude-v2:1"}, Body: []byte(body)}, in)
	return in, err
}

func TestDecodeConverse(t *testing.T) {
	t.Parallel()
	in, err := decodeConverse(t, New(), converseBody)
	if err != nil {
		t.Fatal(err)
	}
	want := &br.ConverseInput{
		ModelId: new("anthropic.claude-v2:1"),
		Messages: []br.Message{
			{Role: new(br.ConversationRoleUser), Content: []br.ContentBlock{{Text: new("Was kostet \"das\" in €?\n")}}},
			{Role: new(br.ConversationRoleAssistant), Content: []br.ContentBlock{{Text: new("aé😀")}, {ToolUse: &br.ToolUseBlock{ToolUseId: new("t1"), Name: new("look"), Input: awsapi.Document(`{"q": [1, 2.50, null]}`)}}}},
		},
		System: []br.SystemContentBlock{{Text: new("Be brief.")}, {CachePoint: &br.CachePointBlock{Type: new(br.CachePointTypeDefault)}}},
		InferenceConfig: &br.InferenceConfiguration{
			MaxTokens: new(int32(64)), Temperature: new(float32(0.5)), StopSequences: []string{"END", "\n\n"},
		},
		RequestMetadata:              map[string]string{"team": "a"},
		AdditionalModelRequestFields: awsapi.Document(`{"top_k": 50}`),
	}
	if d := cmp.Diff(want, in); d != "" {
		t.Error(d)
	}
	if err := New().Validate(&br.Model, br.OpConverse.Operation, in); err != nil {
		t.Error(err)
	}
}

func TestDecodeInvokeModelKeepsTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(`{"not": "looked at`)
	in := new(br.InvokeModelInput)
	h := http.Header{"Content-Type": {"application/json"}, "X-Amzn-Bedrock-Trace": {"ENABLED"}, "Accept": {""}}
	if err := New().Decode(&br.Model, br.OpInvokeModel.Operation, Request{Labels: []string{"m"}, Header: h, Body: body}, in); err != nil {
		t.Fatal(err)
	}
	if &in.Body[0] != &body[0] || len(in.Body) != len(body) {
		t.Error("the body was copied")
	}
	if *in.ContentType != "application/json" || *in.Trace != br.TraceEnabled || in.Accept != nil {
		t.Errorf("headers: %+v", in)
	}
}

// wantError checks code and text of an error that a client would see.
func wantError(t *testing.T, err error, code string, parts ...string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		t.Fatalf("got %v, want %s", err, code)
	}
	if e.Code != code || e.Status != http.StatusBadRequest {
		t.Errorf("got %s %d, want %s 400", e.Code, e.Status, code)
	}
	for _, p := range parts {
		if !strings.Contains(e.Message, p) {
			t.Errorf("message %q does not contain %q", e.Message, p)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for name, c := range map[string]struct{ body, code, text string }{
		"not an object":             {`[]`, apierr.CodeSerialization, "'body' must be an object, not an array"},
		"null":                      {`null`, apierr.CodeSerialization, "'body' must be an object, not null"},
		"cut short":                 {`{"messages":`, apierr.CodeSerialization, "'messages' is not valid JSON"},
		"trailing comma":            {`{"system":[],}`, apierr.CodeSerialization, "not valid JSON"},
		"trailing text":             {`{} {}`, apierr.CodeSerialization, "more text after"},
		"trailing NUL":              {"{}\x00", apierr.CodeSerialization, "more text after"},
		"leading comma":             {`{,"system":[]}`, apierr.CodeSerialization, "not valid JSON"},
		"missing colon":             {`{"system" []}`, apierr.CodeSerialization, "not valid JSON"},
		"bare word":                 {`{"system":yes}`, apierr.CodeSerialization, "'system' is not valid JSON"},
		"string for list":           {`{"messages":"x"}`, apierr.CodeSerialization, "'messages' must be an array, not a string"},
		"object for list":           {`{"messages":{}}`, apierr.CodeSerialization, "'messages' must be an array, not an object"},
		"number for string":         {`{"messages":[{"role":1}]}`, apierr.CodeSerialization, "'messages.1.member.role' must be a string, not a number"},
		"string for integer":        {`{"inferenceConfig":{"maxTokens":"5"}}`, apierr.CodeSerialization, "'inferenceConfig.maxTokens' must be an integer, not a string"},
		"fraction for integer":      {`{"inferenceConfig":{"maxTokens":5.5}}`, apierr.CodeSerialization, "'inferenceConfig.maxTokens' must be an integer, not a fraction"},
		"integer out of range":      {`{"inferenceConfig":{"maxTokens":2147483648}}`, apierr.CodeSerialization, "'inferenceConfig.maxTokens' must be between -2147483648 and 2147483647"},
		"huge exponent":             {`{"inferenceConfig":{"maxTokens":1e400}}`, apierr.CodeSerialization, "'inferenceConfig.maxTokens' must be between"},
		"float out of range":        {`{"inferenceConfig":{"temperature":1e39}}`, apierr.CodeSerialization, "'inferenceConfig.temperature' is a number out of range"},
		"string for float":          {`{"inferenceConfig":{"temperature":"hot"}}`, apierr.CodeSerialization, "'inferenceConfig.temperature' must be a number, not a string"},
		"leading zero":              {`{"inferenceConfig":{"maxTokens":05}}`, apierr.CodeSerialization, "not valid JSON"},
		"plus sign":                 {`{"inferenceConfig":{"maxTokens":+5}}`, apierr.CodeSerialization, "not valid JSON"},
		"no digits":                 {`{"inferenceConfig":{"maxTokens":-}}`, apierr.CodeSerialization, "malformed number"},
		"no fraction digits":        {`{"inferenceConfig":{"maxTokens":1.}}`, apierr.CodeSerialization, "malformed number"},
		"string for boolean":        {`{"toolConfig":{"tools":[{"toolSpec":{"strict":"true"}}]}}`, apierr.CodeSerialization, "'toolConfig.tools.1.member.toolSpec.strict' must be a boolean, not a string"},
		"not base64":                {`{"messages":[{"content":[{"image":{"source":{"bytes":"?"}}}]}]}`, apierr.CodeSerialization, "'messages.1.member.content.1.member.image.source.bytes' is not base64 text"},
		"null in list":              {`{"messages":[null]}`, apierr.CodeSerialization, "'messages.1.member' must not be null"},
		"null in map":               {`{"requestMetadata":{"k":null}}`, apierr.CodeSerialization, "'requestMetadata.k.member' must not be null"},
		"known key twice":           {`{"system":[],"system":[]}`, apierr.CodeSerialization, `has the key "system" twice`},
		"known key twice, as null":  {`{"system":null,"system":[]}`, apierr.CodeSerialization, `has the key "system" twice`},
		"known key twice, escaped":  {`{"system":[],"syst\u0065m":[]}`, apierr.CodeSerialization, `has the key "system" twice`},
		"unknown key twice":         {`{"a":1,"\u0061":2}`, apierr.CodeSerialization, "same key twice"},
		"map key twice":             {`{"requestMetadata":{"k":"1","k":"2"}}`, apierr.CodeSerialization, `has the key "k" twice`},
		"key twice in document":     {`{"additionalModelRequestFields":{"a":{"b":1,"b":2}}}`, apierr.CodeSerialization, "'additionalModelRequestFields' has the same key twice"},
		"too deep in document":      {`{"additionalModelRequestFields":` + deep + `}`, apierr.CodeSerialization, "nested too deeply"},
		"too deep in unknown":       {`{"x":` + deep + `}`, apierr.CodeSerialization, "nested too deeply"},
		"invalid UTF-8":             {"{\"x\":\"\xff\"}", apierr.CodeSerialization, "not valid UTF-8"},
		"lone surrogate":            {`{"x":"\ud800"}`, apierr.CodeSerialization, "malformed string"},
		"lone low surrogate":        {`{"x":"\udc00\ud800"}`, apierr.CodeSerialization, "malformed string"},
		"bad escape":                {`{"x":"\x"}`, apierr.CodeSerialization, "malformed string"},
		"short escape":              {`{"x":"\u00"}`, apierr.CodeSerialization, "malformed string"},
		"control character":         {"{\"x\":\"a\nb\"}", apierr.CodeSerialization, "malformed string"},
		"byte order mark":           {"\ufeff{}", apierr.CodeSerialization, "not valid JSON"},
		"union without member":      {`{"messages":[{"content":[{}]}]}`, apierr.CodeValidation, "'messages.1.member.content.1.member' must have exactly one member of [text, image"},
		"union with null member":    {`{"messages":[{"content":[{"text":null}]}]}`, apierr.CodeValidation, "exactly one member"},
		"union with unknown member": {`{"messages":[{"content":[{"txt":"x"}]}]}`, apierr.CodeValidation, "but has 0"},
		"union with two members":    {`{"messages":[{"content":[{"text":"x","cachePoint":{"type":"default"}}]}]}`, apierr.CodeValidation, "but has 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeConverse(t, New(), c.body)
			wantError(t, err, c.code, c.text)
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":                       "",
		"white space":                 " \r\n\t",
		"empty object":                "{}",
		"case of keys":                `{"Messages":5}`,
		"null members":                `{"messages":null,"inferenceConfig":{"maxTokens":null}}`,
		"integral exponent":           `{"inferenceConfig":{"maxTokens":1e2}}`,
		"negative zero":               `{"inferenceConfig":{"maxTokens":-0}}`,
		"union with null besides":     `{"messages":[{"content":[{"text":"x","image":null}]}]}`,
		"union with unknown besides":  `{"messages":[{"content":[{"text":"x","cacheControl":{}}]}]}`,
		"escaped slash in base64":     `{"messages":[{"content":[{"image":{"source":{"bytes":"\/\/8="}}}]}]}`,
		"100 levels":                  `{"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`,
		"document null":               `{"additionalModelRequestFields":null}`,
		"many keys":                   `{"x":{` + manyKeys(100) + `}}`,
		"same key in another object":  `{"x":{"a":{"b":1},"c":{"b":1}}}`,
		"escaped NUL":                 `{"system":[{"text":"\u0000"}]}`,
		"empty list, map and strings": `{"system":[],"requestMetadata":{},"additionalModelResponseFieldPaths":[""]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := decodeConverse(t, New(), body); err != nil {
				t.Error(err)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + strings.Repeat("k", i+1) + `":1`)
	}
	return b.String()
}

func TestDecodeFindsDuplicatesInLargeObjects(t *testing.T) {
	t.Parallel()
	_, err := decodeConverse(t, New(), `{"additionalModelRequestFields":{`+manyKeys(100)+`,"kkk":1}}`)
	wantError(t, err, apierr.CodeSerialization, "same key twice")
}

func TestDecodeBoundsKeys(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		string(hostileKeys(maxKeys + 1)),
		`{"x":` + string(hostileKeys(maxKeys/2)) + `,"additionalModelRequestFields":` + string(hostileKeys(maxKeys/2)) + `}`,
	} {
		_, err := decodeConverse(t, New(), body)
		wantError(t, err, apierr.CodeSerialization, "too many keys", "250000")
	}
	if _, err := decodeConverse(t, New(), string(hostileKeys(maxKeys))); err != nil {
		t.Error(err)
	}
}

func wantValidation(t *testing.T, err error) {
	t.Helper()
	wantError(t, err, apierr.CodeValidation)
}

// wantClientError fails unless err is a 400 that a client may see.
func wantClientError(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Status != http.StatusBadRequest {
		t.Fatalf("got %v, want a 400", err)
	}
}
