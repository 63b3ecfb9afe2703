package restjson

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/google/go-cmp/cmp"

	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/route"
)

// capture is a transport that keeps the request and sends nothing.
type capture struct {
	req  *http.Request
	body []byte
}

var errCaptured = errors.New("captured")

func (c *capture) Do(r *http.Request) (*http.Response, error) {
	c.req = r
	if r.Body != nil {
		var err error
		if c.body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	return nil, errCaptured
}

func sdkClient() (*sdk.Client, *capture) {
	c := new(capture)
	return sdk.New(sdk.Options{
		Region: "us-east-1", HTTPClient: c, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}), c
}

// decodeCaptured routes and decodes what the SDK wanted to send.
func decodeCaptured(t *testing.T, c *Codec, got *capture, in any) *inputPlan {
	t.Helper()
	routes, err := route.New(&br.Model)
	if err != nil {
		t.Fatal(err)
	}
	m, err := routes.Match(got.req.Method, got.req.URL.EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	req := Request{Labels: m.Labels(), Query: got.req.URL.RawQuery, Header: got.req.Header, Body: got.body}
	if err := c.Decode(m.Service, m.Operation, req, in); err != nil {
		t.Fatalf("%v\n%s", err, got.body)
	}
	if err := c.Validate(m.Service, m.Operation, in); err != nil {
		t.Fatal(err)
	}
	ip, _, err := c.input(m.Service, m.Operation, in)
	if err != nil {
		t.Fatal(err)
	}
	return ip
}

func TestConverseFromTheSDK(t *testing.T) {
	t.Parallel()
	cl, got := sdkClient()
	_, err := cl.Converse(t.Context(), &sdk.ConverseInput{
		ModelId: aws.String("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1"),
		Messages: []types.Message{
			{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
				&types.ContentBlockMemberText{Value: "hi \"there\" \\ \u2028 <b>&😀\x01"},
				&types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberBytes{Value: []byte{0, 1, 2, 250, 251, 252, 253}}}},
				&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Format: types.DocumentFormatTxt, Name: aws.String("a b"), Source: &types.DocumentSourceMemberText{Value: "x"}}},
			}},
			{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{
				&types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{ToolUseId: aws.String("t"), Name: aws.String("n"), Input: document.NewLazyDocument(map[string]any{"a": []any{1, 2.5, "x", nil, true}})}},
				&types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberReasoningText{Value: types.ReasoningTextBlock{Text: aws.String("r"), Signature: aws.String("s")}}},
			}},
			{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
				&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: aws.String("t"), Status: types.ToolResultStatusError, Content: []types.ToolResultContentBlock{
					&types.ToolResultContentBlockMemberJson{Value: document.NewLazyDocument(map[string]any{"k": "v"})},
				}}},
			}},
		},
		System:          []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "s"}, &types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(7), Temperature: aws.Float32(0.1), TopP: aws.Float32(1), StopSequences: []string{"a", "\n"}},
		ToolConfig: &types.ToolConfiguration{
			Tools:      []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{Name: aws.String("n"), InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})}}}},
			ToolChoice: &types.ToolChoiceMemberAuto{},
		},
		GuardrailConfig:                   &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("g"), GuardrailVersion: aws.String("1"), Trace: types.GuardrailTraceEnabled},
		AdditionalModelRequestFields:      document.NewLazyDocument(map[string]any{"top_k": 5}),
		AdditionalModelResponseFieldPaths: []string{"/a"},
		RequestMetadata:                   map[string]string{"k": "v", "k2": ""},
		PromptVariables:                   map[string]types.PromptVariableValues{"v": &types.PromptVariableValuesMemberText{Value: "x"}},
		PerformanceConfig:                 &types.PerformanceConfiguration{Latency: types.PerformanceConfigLatencyOptimized},
	})
	if !errors.Is(err, errCaptured) {
		t.Fatal(err)
	}
	c := New()
	in := new(br.ConverseInput)
	ip := decodeCaptured(t, c, got, in)
	if *in.ModelId != "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1" {
		t.Errorf("model id %q", *in.ModelId)
	}
	back, err := appendMembers(nil, ip.body, reflect.ValueOf(in).Elem(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var want, have any
	if err := errors.Join(json.Unmarshal(got.body, &want), json.Unmarshal(back, &have)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("%s\n%s", d, got.body)
	}
}

func TestInvokeModelFromTheSDK(t *testing.T) {
	t.Parallel()
	cl, got := sdkClient()
	body := []byte(`{"prompt": "\n\nHuman: hi"}`)
	if _, err := cl.InvokeModel(t.Context(), &sdk.InvokeModelInput{
		ModelId: aws.String("anthropic.claude-v2:1"), Body: body, ContentType: aws.String("application/json"), Accept: aws.String("*/*"),
		Trace: types.TraceEnabledFull, GuardrailIdentifier: aws.String("gr1"), GuardrailVersion: aws.String("DRAFT"), PerformanceConfigLatency: types.PerformanceConfigLatencyStandard,
	}); !errors.Is(err, errCaptured) {
		t.Fatal(err)
	}
	in := new(br.InvokeModelInput)
	decodeCaptured(t, New(), got, in)
	want := &br.InvokeModelInput{
		ModelId: new("anthropic.claude-v2:1"), Body: body, ContentType: new("application/json"), Accept: new("*/*"),
		Trace: new(br.TraceEnabledFull), GuardrailIdentifier: new("gr1"), GuardrailVersion: new("DRAFT"), PerformanceConfigLatency: new(br.PerformanceConfigLatencyStandard),
	}
	if d := cmp.Diff(want, in); d != "" {
		t.Error(d)
	}
}

func TestStreamRequestFromTheSDK(t *testing.T) {
	t.Parallel()
	cl, got := sdkClient()
	if _, err := cl.InvokeModelWithResponseStream(t.Context(), &sdk.InvokeModelWithResponseStreamInput{
		ModelId: aws.String("m"), Body: []byte("{}"), Accept: aws.String("application/json"),
	}); !errors.Is(err, errCaptured) {
		t.Fatal(err)
	}
	in := new(br.InvokeModelWithResponseStreamInput)
	decodeCaptured(t, New(), got, in)
	if in.Accept == nil || *in.Accept != "application/json" {
		t.Errorf("Accept %v", in.Accept)
	}
}
