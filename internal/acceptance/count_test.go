package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// countCase is a request that is counted first and sent then.
type countCase struct {
	name  string
	model string
	body  []byte                        // of InvokeModel, or
	in    *bedrockruntime.ConverseInput // of Converse
}

// counts are what a call told of its input.
type counts struct{ input, read, write int }

// countMaker makes requests.
type countMaker struct {
	schemaMaker
	long bool // the next one has a prefix that a cache point caches
}

func (m *countMaker) words(n int) string {
	of := strings.Fields("the keeper counts ships before he lights lamp in 東京 naïve café rain, snow; wind! 3.14 <b>bold</b> \"quoted\" {\"k\":1} <|im_start|> </s> 🪨 Ünal's end.")
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(" \n"[m.r.IntN(12)/11])
		}
		b.WriteString(of[m.r.IntN(len(of))])
	}
	return b.String()
}

// turns is an odd number of texts, the first by the user.
func (m *countMaker) turns() []string {
	out := make([]string, 1+2*m.r.IntN(3))
	for i := range out {
		out[i] = m.words(1 + m.r.IntN(40))
	}
	return out
}

// countCases are n requests over all families.
func countCases(t testing.TB, n int) []countCase {
	all := make([]countCase, n)
	for i := range all {
		m := &countMaker{schemaMaker: schemaMaker{rand.New(rand.NewPCG(uint64(i), 5))}, long: i%100 == 7}
		makers := []func() countCase{m.text, m.tools, m.documents, m.toolTurns, m.claude, m.native}
		if m.long {
			makers = []func() countCase{m.text, m.claude}
		}
		c := makers[(i/2)%len(makers)]()
		c.name = fmt.Sprintf("request %d, %s", i, c.name)
		all[i] = c
	}
	return all
}

func (m *countMaker) base() *bedrockruntime.ConverseInput {
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(1), Temperature: aws.Float32(0)}}
	if m.long {
		in.System = []types.SystemContentBlock{
			&types.SystemContentBlockMemberText{Value: m.words(900)},
			&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}},
		}
	} else if m.yes(50) {
		in.System = []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: m.words(12)}}
	}
	return in
}

func (m *countMaker) conversation(in *bedrockruntime.ConverseInput) {
	for i, s := range m.turns() {
		in.Messages = append(in.Messages, types.Message{Role: types.ConversationRole(role(i)), Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "- " + s}}})
	}
}

func (m *countMaker) text() countCase {
	in := m.base()
	m.conversation(in)
	if m.yes(20) && !m.long { // a cache point that covers too little
		last := &in.Messages[len(in.Messages)-1]
		last.Content = append(last.Content, &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}})
	}
	return countCase{name: "Converse of text", model: smollm, in: in}
}

func (m *countMaker) config() *types.ToolConfiguration {
	c := toolCase{Tool: "search", Schema: m.top(), Named: m.yes(50), Others: map[string]map[string]any{}}
	if c.Named && m.yes(50) {
		c.Others["lookup"] = m.top()
	}
	cfg := c.config()
	if m.yes(50) {
		cfg.ToolChoice = nil
	}
	return cfg
}

func (m *countMaker) tools() countCase {
	in := m.base()
	m.conversation(in)
	in.ToolConfig = m.config()
	return countCase{name: "Converse with tools", model: smollm, in: in}
}

func (m *countMaker) toolTurns() countCase {
	in := m.base()
	in.ToolConfig = m.config()
	in.Messages = []types.Message{
		{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "x" + m.words(8)}}},
		{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{
			&types.ContentBlockMemberText{Value: "Let me see."},
			&types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{
				ToolUseId: aws.String("tooluse_1"), Name: aws.String("search"), Input: document.NewLazyDocument(map[string]any{"query": m.words(5), "n": 3}),
			}},
		}},
		{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
			ToolUseId: aws.String("tooluse_1"), Content: []types.ToolResultContentBlock{
				&types.ToolResultContentBlockMemberText{Value: m.words(20)},
				&types.ToolResultContentBlockMemberJson{Value: document.NewLazyDocument(map[string]any{"hits": []string{m.words(3), m.words(3)}})},
			},
		}}}},
	}
	return countCase{name: "Converse with a tool's answer", model: smollm, in: in}
}

func (m *countMaker) documents() countCase {
	in := m.base()
	content := []types.ContentBlock{&types.ContentBlockMemberText{Value: "Sum this up."}}
	for i := range 1 + m.r.IntN(2) {
		format, text := types.DocumentFormat(m.one("txt", "md", "csv", "html")), m.words(60)
		if format == types.DocumentFormatHtml {
			text = "<html><head><title>T</title></head><body><h1>" + m.words(4) + "</h1><p>" + m.words(30) + "</p></body></html>"
		}
		d := types.DocumentBlock{Format: format, Name: aws.String(fmt.Sprintf("report %d", i)), Source: &types.DocumentSourceMemberBytes{Value: []byte(text)}}
		if m.yes(30) {
			d.Context = aws.String(m.words(6))
		}
		content = append(content, &types.ContentBlockMemberDocument{Value: d})
	}
	in.Messages = []types.Message{{Role: types.ConversationRoleUser, Content: content}}
	return countCase{name: "Converse with documents", model: smollm, in: in}
}

// claude is a Messages body: text, tools, documents, cache points.
func (m *countMaker) claude() countCase {
	text := func(s string) map[string]any { return map[string]any{"type": "text", "text": "- " + s} }
	var messages []any
	for i, s := range m.turns() {
		messages = append(messages, map[string]any{"role": role(i), "content": []any{text(s)}})
	}
	body := map[string]any{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "temperature": 0, "messages": messages}
	switch {
	case m.long:
		system := text(m.words(900))
		system["cache_control"] = map[string]any{"type": "ephemeral"}
		body["system"] = []any{system}
	case m.yes(50):
		body["tools"] = []any{map[string]any{"name": "search", "description": "Finds things.", "input_schema": m.top()}}
		if m.yes(50) {
			body["tool_choice"] = map[string]any{"type": m.one("any", "auto")}
		}
	case m.yes(50):
		last := messages[len(messages)-1].(map[string]any)
		last["content"] = append(last["content"].([]any), map[string]any{
			"type": "document", "title": "report", "source": map[string]any{"type": "text", "media_type": "text/plain", "data": m.words(30)},
		})
	default:
		body["system"] = "s " + m.words(10)
	}
	return countCase{name: "Claude messages", model: claudeChat, body: marshalled(body)}
}

func marshalled(body any) []byte {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return b
}

// native is a body of another family.
func (m *countMaker) native() countCase {
	chat := func(contents func(string) any) []any {
		var out []any
		for i, s := range m.turns() {
			out = append(out, map[string]any{"role": role(i), "content": contents("- " + s)})
		}
		return out
	}
	plain := func(s string) any { return s }
	prompt := "x" + m.words(1+m.r.IntN(60))
	families := []countCase{
		{name: "Claude text", model: claudeText, body: marshalled(map[string]any{"prompt": "\n\nHuman: " + prompt + "\n\nAssistant:", "max_tokens_to_sample": 1})},
		{name: "Titan Text", model: titanText, body: marshalled(map[string]any{"inputText": "User: " + prompt + "\nBot:", "textGenerationConfig": map[string]any{"maxTokenCount": 1}})},
		{name: "Nova", model: "amazon.nova-lite-v1:0", body: marshalled(map[string]any{
			"schemaVersion": "messages-v1", "messages": chat(func(s string) any { return []any{map[string]any{"text": s}} }), "inferenceConfig": map[string]any{"maxTokens": 1},
		})},
		{name: "Llama", model: "meta.llama3-8b-instruct-v1:0", body: marshalled(map[string]any{
			"prompt":      "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n" + prompt + "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
			"max_gen_len": 1,
		})},
		{name: "Mistral", model: "mistral.mistral-7b-instruct-v0:2", body: marshalled(map[string]any{"prompt": "<s>[INST] " + prompt + " [/INST]", "max_tokens": 1})},
		{name: "Mistral chat", model: "mistral.mistral-large-2402-v1:0", body: marshalled(map[string]any{"messages": chat(plain), "max_tokens": 1})},
		{name: "Command", model: "cohere.command-text-v14", body: marshalled(map[string]any{"prompt": prompt, "max_tokens": 1})},
		{name: "Command R", model: "cohere.command-r-v1:0", body: marshalled(map[string]any{
			"message": prompt, "max_tokens": 1, "chat_history": []any{map[string]any{"role": "USER", "message": "Hi " + m.words(3)}, map[string]any{"role": "CHATBOT", "message": "Hello."}},
			"documents": []any{map[string]any{"title": "Ships", "snippet": m.words(15)}},
		})},
		{name: "Jurassic-2", model: "ai21.j2-mid-v1", body: marshalled(map[string]any{"prompt": prompt, "maxTokens": 1})},
		{name: "Jamba", model: "ai21.jamba-1-5-mini-v1:0", body: marshalled(map[string]any{"messages": chat(plain), "max_tokens": 1})},
		{name: "OpenAI", model: "openai.gpt-oss-20b-1:0", body: marshalled(map[string]any{"messages": chat(plain), "max_completion_tokens": 1})},
		{name: "DeepSeek", model: "deepseek.r1-v1:0", body: marshalled(map[string]any{"prompt": prompt, "max_tokens": 1})},
		{name: "Qwen", model: "qwen.qwen3-32b-v1:0", body: marshalled(map[string]any{"messages": chat(plain), "max_tokens": 1})},
	}
	return families[m.r.IntN(len(families))]
}

// count asks for the tokens of the case before it is sent.
func (c countCase) count(ctx context.Context, cl *client) (int, error) {
	in := &bedrockruntime.CountTokensInput{ModelId: aws.String(c.model)}
	if c.in != nil {
		in.Input = &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{
			Messages: c.in.Messages, System: c.in.System, ToolConfig: c.in.ToolConfig,
		}}
	} else {
		in.Input = &types.CountTokensInputMemberInvokeModel{Value: types.InvokeModelTokensRequest{Body: c.body}}
	}
	out, err := cl.CountTokens(ctx, in)
	if err != nil {
		return 0, err
	}
	return int(aws.ToInt32(out.InputTokens)), nil
}

// send runs the case.
func (c countCase) send(ctx context.Context, cl *client) (counts, error) {
	if c.in != nil {
		out, err := cl.Converse(ctx, c.in)
		if err != nil {
			return counts{}, err
		}
		return counts{int(aws.ToInt32(out.Usage.InputTokens)), int(aws.ToInt32(out.Usage.CacheReadInputTokens)), int(aws.ToInt32(out.Usage.CacheWriteInputTokens))}, nil
	}
	out, err := cl.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(c.model), ContentType: aws.String("application/json"), Body: c.body})
	if err != nil {
		return counts{}, err
	}
	return headerCounts(out.ResultMetadata)
}

func headerCounts(m middleware.Metadata) (counts, error) {
	raw, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response)
	if !ok {
		return counts{}, errors.New("no raw response")
	}
	n := func(name string) int {
		v, _ := strconv.Atoi(raw.Header.Get("X-Amzn-Bedrock-" + name)) // absent is 0
		return v
	}
	return counts{n("Input-Token-Count"), n("Cache-Read-Input-Token-Count"), n("Cache-Write-Input-Token-Count")}, nil
}

// TestCountTokens: what CountTokens tells is what the call then reports, of
// every family, with tools, documents, answers of tools and cache points.
func TestCountTokens(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	c := p.account(t)
	cases := some(countCases(t, 500), 15)
	right, tokens := 0, 0
	cached := 0
	kinds := map[string]int{}
	for _, cc := range cases {
		want, err := cc.count(t.Context(), c)
		if err != nil {
			t.Errorf("%s: count: %v", cc.name, err)
			continue
		}
		got, err := cc.send(t.Context(), c)
		if err != nil {
			t.Errorf("%s: %v", cc.name, err)
			continue
		}
		if sum := got.input + got.read + got.write; sum != want || got.input < 1 {
			t.Errorf("%s: counted %d, the call told %+v", cc.name, want, got)
			continue
		}
		if got.read+got.write > 0 {
			cached++
		}
		_, kind, _ := strings.Cut(cc.name, ", ")
		kinds[kind]++
		right, tokens = right+1, tokens+want
	}
	t.Logf("%d requests of %d kinds, %d tokens: %d counted as the call told, %d of them with a cached prefix; %v", len(cases), len(kinds), tokens, right, cached, kinds)
}
