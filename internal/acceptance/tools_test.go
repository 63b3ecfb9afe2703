package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// called is what came back from a request that must end in a call.
type called struct {
	tool, id, reason string
	input            []byte // nil when the call is not whole
	deltas           int
	output           int // tokens
}

func (c toolCase) config() *types.ToolConfiguration {
	spec := func(name string, schema map[string]any) types.Tool {
		return &types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name: aws.String(name), Description: aws.String("Use it for what is asked for."),
			InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(schema)},
		}}
	}
	cfg := &types.ToolConfiguration{Tools: []types.Tool{spec(c.Tool, c.Schema)}, ToolChoice: &types.ToolChoiceMemberAny{}}
	if c.Named {
		cfg.ToolChoice = &types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: aws.String(c.Tool)}}
	}
	for name, schema := range c.Others {
		cfg.Tools = append(cfg.Tools, spec(name, schema))
	}
	slices.SortFunc(cfg.Tools, func(a, b types.Tool) int { // maps have no order
		return strings.Compare(toolName(a), toolName(b))
	})
	return cfg
}

func toolName(t types.Tool) string {
	if s, ok := t.(*types.ToolMemberToolSpec); ok {
		return aws.ToString(s.Value.Name)
	}
	return ""
}

func (c toolCase) messages() []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: c.Prompt}}}}
}

var toolLimits = &types.InferenceConfiguration{MaxTokens: aws.Int32(512), Temperature: aws.Float32(0)}

func (c toolCase) ask(ctx context.Context, cl *client) (called, error) {
	out, err := cl.Converse(ctx, &bedrockruntime.ConverseInput{
		ModelId: aws.String(smollm), Messages: c.messages(), ToolConfig: c.config(), InferenceConfig: toolLimits,
	})
	if err != nil {
		return called{}, err
	}
	got := called{reason: string(out.StopReason), output: int(aws.ToInt32(out.Usage.OutputTokens))}
	m, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok {
		return got, fmt.Errorf("output %T", out.Output)
	}
	for _, b := range m.Value.Content {
		u, ok := b.(*types.ContentBlockMemberToolUse)
		if !ok || got.tool != "" {
			return got, fmt.Errorf("a block %T too many", b)
		}
		got.tool, got.id = aws.ToString(u.Value.Name), aws.ToString(u.Value.ToolUseId)
		if got.input, err = u.Value.Input.MarshalSmithyDocument(); err != nil {
			return got, err
		}
	}
	return got, nil
}

func (c toolCase) stream(ctx context.Context, cl *client) (called, error) {
	out, err := cl.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String(smollm), Messages: c.messages(), ToolConfig: c.config(), InferenceConfig: toolLimits,
	})
	if err != nil {
		return called{}, err
	}
	stream := out.GetStream()
	defer stream.Close() // read only
	var got called
	for ev := range stream.Events() {
		switch ev := ev.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			u, ok := ev.Value.Start.(*types.ContentBlockStartMemberToolUse)
			if !ok || got.tool != "" {
				return got, fmt.Errorf("a block %T too many", ev.Value.Start)
			}
			got.tool, got.id = aws.ToString(u.Value.Name), aws.ToString(u.Value.ToolUseId)
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			d, ok := ev.Value.Delta.(*types.ContentBlockDeltaMemberToolUse)
			if !ok {
				return got, fmt.Errorf("a delta %T", ev.Value.Delta)
			}
			got.input = append(got.input, aws.ToString(d.Value.Input)...)
			got.deltas++
		case *types.ConverseStreamOutputMemberMessageStop:
			got.reason = string(ev.Value.StopReason)
		case *types.ConverseStreamOutputMemberMetadata:
			got.output = int(aws.ToInt32(ev.Value.Usage.OutputTokens))
		}
	}
	return got, stream.Err()
}

var toolUseID = regexp.MustCompile(`^tooluse_[A-Za-z0-9_-]{22}$`)

// check holds a whole call against the tool's schema as it was given.
func (c toolCase) check(got called, s *validator.Schema) (any, error) {
	if got.reason != string(types.StopReasonToolUse) || got.tool != c.Tool || !toolUseID.MatchString(got.id) {
		return nil, fmt.Errorf("stop reason %s, tool %q, id %q", got.reason, got.tool, got.id)
	}
	v, err := validator.UnmarshalJSON(bytes.NewReader(got.input))
	if err != nil {
		return nil, fmt.Errorf("input %q: %w", got.input, err)
	}
	if err := s.Validate(v); err != nil {
		return nil, fmt.Errorf("input %s: %w", got.input, err)
	}
	return v, nil
}

// TestToolChoice: a choice of any or of one tool ends in a call of that tool,
// with an input that fits its schema, whatever the schema; the deltas of a
// stream join to the same input.
func TestToolChoice(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	cases := some(toolCases(200), 8)
	calls, whole, cut, deltas, most := 0, 0, 0, 0, 0
	for _, c := range cases {
		cl := p.account(t)
		s := oracle(t, c.Schema)
		p.one.Lock()
		one, err := c.ask(t.Context(), cl)
		two, streamErr := called{}, error(nil)
		if err == nil {
			two, streamErr = c.stream(t.Context(), p.account(t))
		}
		p.one.Unlock()
		schema, _ := json.Marshal(c.Schema)
		if err != nil || streamErr != nil {
			t.Errorf("%s: %v, streamed %v\nschema %s", c.Name, err, streamErr, schema)
			continue
		}
		calls += 2
		most, deltas = max(most, one.output), deltas+two.deltas
		if one.reason != two.reason {
			t.Errorf("%s: %s, streamed %s", c.Name, one.reason, two.reason)
		}
		if one.reason == string(types.StopReasonMaxTokens) {
			t.Logf("%s: cut at %d tokens: %s\nschema %s", c.Name, one.output, two.input, schema)
			cut += 2
			continue
		}
		v, err := c.check(one, s)
		w, streamErr := c.check(two, s)
		if err != nil || streamErr != nil {
			t.Errorf("%s: %v\nstreamed: %v\nschema %s", c.Name, err, streamErr, schema)
			continue
		}
		if !reflect.DeepEqual(v, w) {
			t.Errorf("%s: %s, streamed %s", c.Name, one.input, two.input)
			continue
		}
		whole += 2
	}
	t.Logf("%d tools, %d calls: %d of the tool that was asked for with an input that fits, %d cut at 512 tokens; at most %d tokens, %.1f deltas a stream",
		len(cases), calls, whole, cut, most, float64(deltas)/float64(max(1, len(cases))))
	if allowed := max(2, calls*2/100); cut > allowed {
		t.Errorf("%d calls were cut, at most %d may be", cut, allowed)
	}
}
