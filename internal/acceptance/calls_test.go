package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// settings are those of a greedy reply.
type settings struct {
	max   int // tokens
	stops []string
}

// answer is what a client is told.
type answer struct {
	input, output int // tokens
	text          string
	reason        string // "end_turn", "max_tokens" or "stop_sequence"
	stop          string // the stop text, where the body tells it
}

// operation is one way to ask.
type operation struct {
	name  string
	means func(prompt) conversation
	// builtin is the stop text that the body's family adds.
	builtin string
	call    func(context.Context, *client, prompt, settings) (answer, error)
}

const claudeStop = "\n\nHuman:"

// unstreamed is how many of the operations come before the streams of native
// bodies.
const unstreamed = 5

// operations are all ways to ask for text.
func operations() []operation {
	claudeBody := native{claudeText, func(p prompt, s settings) any {
		return map[string]any{"prompt": p.claudeText(), "max_tokens_to_sample": s.max, "temperature": 0, "stop_sequences": s.list()}
	}, readClaudeText}
	messagesBody := native{claudeChat, claudeMessages, readClaudeMessages}
	titanBody := native{titanText, func(p prompt, s settings) any {
		return map[string]any{"inputText": p.titanText(), "textGenerationConfig": map[string]any{
			"maxTokenCount": s.max, "temperature": 0, "stopSequences": s.list(),
		}}
	}, readTitan}
	return []operation{
		{"Converse", prompt.conversation, "", converse},
		{"ConverseStream", prompt.conversation, "", converseStream},
		{"InvokeModel Claude text", prompt.claudeTextMeans, claudeStop, claudeBody.invoke},
		{"InvokeModel Claude messages", prompt.conversation, "", messagesBody.invoke},
		{"InvokeModel Titan", prompt.titanTextMeans, "", titanBody.invoke},
		{"InvokeModelWithResponseStream Claude text", prompt.claudeTextMeans, claudeStop, claudeBody.stream},
		{"InvokeModelWithResponseStream Claude messages", prompt.conversation, "", messagesBody.stream},
		{"InvokeModelWithResponseStream Titan", prompt.titanTextMeans, "", titanBody.stream},
	}
}

// list is never nil: JSON null is not a list.
func (s settings) list() []string { return append([]string{}, s.stops...) }

func converseParts(p prompt, s settings) ([]types.SystemContentBlock, []types.Message, *types.InferenceConfiguration) {
	var system []types.SystemContentBlock
	for _, b := range p.System {
		system = append(system, &types.SystemContentBlockMemberText{Value: b.String()})
	}
	var messages []types.Message
	for i, blocks := range p.Turns {
		m := types.Message{Role: types.ConversationRole(role(i))}
		for _, b := range blocks {
			m.Content = append(m.Content, &types.ContentBlockMemberText{Value: b.String()})
		}
		messages = append(messages, m)
	}
	return system, messages, &types.InferenceConfiguration{
		MaxTokens: aws.Int32(int32(s.max)), Temperature: aws.Float32(0), StopSequences: s.stops, // small
	}
}

func converse(ctx context.Context, c *client, p prompt, s settings) (answer, error) {
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(smollm)}
	in.System, in.Messages, in.InferenceConfig = converseParts(p, s)
	out, err := c.Converse(ctx, in)
	if err != nil {
		return answer{}, err
	}
	a := answer{reason: string(out.StopReason)}
	if m, ok := out.Output.(*types.ConverseOutputMemberMessage); ok {
		for _, b := range m.Value.Content {
			if t, ok := b.(*types.ContentBlockMemberText); ok {
				a.text += t.Value
			}
		}
	}
	return a, a.usage(out.Usage)
}

func (a *answer) usage(u *types.TokenUsage) error {
	if u == nil {
		return errors.New("no usage")
	}
	a.input, a.output = int(aws.ToInt32(u.InputTokens)), int(aws.ToInt32(u.OutputTokens))
	if total := int(aws.ToInt32(u.TotalTokens)); total != a.input+a.output {
		return fmt.Errorf("totalTokens %d is not %d + %d", total, a.input, a.output)
	}
	return nil
}

func converseStream(ctx context.Context, c *client, p prompt, s settings) (answer, error) {
	in := &bedrockruntime.ConverseStreamInput{ModelId: aws.String(smollm)}
	in.System, in.Messages, in.InferenceConfig = converseParts(p, s)
	out, err := c.ConverseStream(ctx, in)
	if err != nil {
		return answer{}, err
	}
	stream := out.GetStream()
	defer stream.Close() // read only
	var a answer
	told := false
	for ev := range stream.Events() {
		switch ev := ev.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if d, ok := ev.Value.Delta.(*types.ContentBlockDeltaMemberText); ok {
				a.text += d.Value
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			a.reason = string(ev.Value.StopReason)
		case *types.ConverseStreamOutputMemberMetadata:
			told = true
			if err := a.usage(ev.Value.Usage); err != nil {
				return a, err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return a, err
	}
	if !told {
		return a, errors.New("the stream told no usage")
	}
	return a, nil
}

// native is a body of InvokeModel.
type native struct {
	model string
	body  func(prompt, settings) any
	// read takes in a whole reply or one chunk.
	read func(*answer, []byte) error
}

func (n native) invoke(ctx context.Context, c *client, p prompt, s settings) (answer, error) {
	var a answer
	body, err := json.Marshal(n.body(p, s))
	if err != nil {
		return a, err
	}
	out, err := c.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(n.model), ContentType: aws.String("application/json"), Body: body})
	if err != nil {
		return a, err
	}
	if err := n.read(&a, out.Body); err != nil {
		return a, err
	}
	told := a
	if a.input, err = header(out.ResultMetadata, "X-Amzn-Bedrock-Input-Token-Count"); err != nil {
		return a, err
	}
	if a.output, err = header(out.ResultMetadata, "X-Amzn-Bedrock-Output-Token-Count"); err != nil {
		return a, err
	}
	if told.input+told.output > 0 && (told.input != a.input || told.output != a.output) {
		return a, fmt.Errorf("the body tells %d and %d tokens, the headers %d and %d", told.input, told.output, a.input, a.output)
	}
	return a, nil
}

func header(m middleware.Metadata, name string) (int, error) {
	raw, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response)
	if !ok {
		return 0, errors.New("no raw response")
	}
	n, err := strconv.Atoi(raw.Header.Get(name))
	if err != nil {
		return 0, fmt.Errorf("header %s: %w", name, err)
	}
	return n, nil
}

func (n native) stream(ctx context.Context, c *client, p prompt, s settings) (answer, error) {
	var a answer
	body, err := json.Marshal(n.body(p, s))
	if err != nil {
		return a, err
	}
	out, err := c.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: aws.String(n.model), ContentType: aws.String("application/json"), Body: body,
	})
	if err != nil {
		return a, err
	}
	stream := out.GetStream()
	defer stream.Close() // read only
	var last struct {
		Metrics *struct {
			Input  int `json:"inputTokenCount"`
			Output int `json:"outputTokenCount"`
		} `json:"amazon-bedrock-invocationMetrics"`
	}
	for ev := range stream.Events() {
		chunk, ok := ev.(*types.ResponseStreamMemberChunk)
		if !ok {
			return a, fmt.Errorf("event %T", ev)
		}
		if err := n.read(&a, chunk.Value.Bytes); err != nil {
			return a, err
		}
		if err := json.Unmarshal(chunk.Value.Bytes, &last); err != nil {
			return a, err
		}
	}
	if err := stream.Err(); err != nil {
		return a, err
	}
	if last.Metrics == nil {
		return a, errors.New("the last chunk has no metrics")
	}
	if told := a; told.input > 0 && (told.input != last.Metrics.Input || told.output != last.Metrics.Output) {
		return a, fmt.Errorf("the chunks tell %d and %d tokens, the metrics %d and %d", told.input, told.output, last.Metrics.Input, last.Metrics.Output)
	}
	a.input, a.output = last.Metrics.Input, last.Metrics.Output
	return a, nil
}

func readClaudeText(a *answer, data []byte) error {
	var v struct {
		Completion string  `json:"completion"`
		Reason     *string `json:"stop_reason"`
		Stop       *string `json:"stop"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	a.text += v.Completion
	if v.Reason != nil {
		a.reason, a.stop = *v.Reason, aws.ToString(v.Stop)
		if a.stop == claudeStop { // the model's own end is told like this
			a.reason, a.stop = "end_turn", ""
		}
	}
	return nil
}

func claudeMessages(p prompt, s settings) any {
	block := func(b piece) any { return map[string]any{"type": "text", "text": b.String()} }
	body := map[string]any{"anthropic_version": "bedrock-2023-05-31", "max_tokens": s.max, "temperature": 0, "stop_sequences": s.list()}
	var system, messages []any
	for _, b := range p.System {
		system = append(system, block(b))
	}
	if len(system) > 0 {
		body["system"] = system
	}
	for i, blocks := range p.Turns {
		var content []any
		for _, b := range blocks {
			content = append(content, block(b))
		}
		messages = append(messages, map[string]any{"role": role(i), "content": content})
	}
	body["messages"] = messages
	return body
}

// readClaudeMessages reads a message and the events of a stream: their members
// have names of their own.
func readClaudeMessages(a *answer, data []byte) error {
	type usage struct {
		Input  int `json:"input_tokens"`
		Output int `json:"output_tokens"`
	}
	type end struct {
		Reason *string `json:"stop_reason"`
		Stop   *string `json:"stop_sequence"`
	}
	var v struct {
		end
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Usage   *usage `json:"usage"`
		Message *struct {
			Usage usage `json:"usage"`
		} `json:"message"`
		Delta *struct {
			end
			Text string `json:"text"`
		} `json:"delta"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	for _, b := range v.Content {
		a.text += b.Text
	}
	if v.Message != nil {
		a.input = v.Message.Usage.Input
	}
	if v.Usage != nil {
		a.output = v.Usage.Output
		if v.Usage.Input > 0 {
			a.input = v.Usage.Input
		}
	}
	ended := v.end
	if v.Delta != nil {
		a.text += v.Delta.Text
		ended = v.Delta.end
	}
	if ended.Reason != nil {
		a.reason, a.stop = *ended.Reason, aws.ToString(ended.Stop)
	}
	return nil
}

func readTitan(a *answer, data []byte) error {
	type result struct {
		Text   string  `json:"outputText"`
		Reason *string `json:"completionReason"`
		Tokens int     `json:"tokenCount"`
		Total  *int    `json:"totalOutputTextTokenCount"`
	}
	var v struct {
		result
		Input   *int     `json:"inputTextTokenCount"`
		Results []result `json:"results"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	for _, r := range append(v.Results, v.result) {
		a.text += r.Text
		a.output += r.Tokens
		if r.Total != nil {
			a.output = *r.Total
		}
		if r.Reason != nil {
			switch *r.Reason {
			case "LENGTH":
				a.reason = "max_tokens"
			case "STOP_CRITERIA_MET":
				a.reason = "stop_sequence"
			case "FINISH":
				a.reason = "end_turn"
			default:
				a.reason = *r.Reason
			}
		}
	}
	if v.Input != nil {
		a.input = *v.Input
	}
	return nil
}

// countInput asks how many tokens a conversation has without a reply to it:
// with the whole context as output limit it is refused, and the refusal tells
// what the product counted.
func countInput(ctx context.Context, c *client, p prompt) (int, error) {
	_, err := converse(ctx, c, p, settings{max: contextTokens})
	var refused *types.ValidationException
	if !errors.As(err, &refused) {
		return 0, fmt.Errorf("expected a refusal, got %w", err)
	}
	_, rest, found := strings.Cut(refused.ErrorMessage(), "The input has ")
	if !found {
		return 0, fmt.Errorf("no count in %q", refused.ErrorMessage())
	}
	number, _, _ := strings.Cut(rest, " ")
	return strconv.Atoi(number)
}
