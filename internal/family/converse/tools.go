package converse

import (
	"strconv"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// tools reads toolConfig.
func (rd *reader) tools(in *rt.ConverseInput) error {
	c := in.ToolConfig
	if c == nil {
		return nil
	}
	known := map[string]bool{}
	for i := range c.Tools {
		t := &c.Tools[i]
		place := "toolConfig.tools." + strconv.Itoa(i)
		switch {
		case t.CachePoint != nil:
			if err := rd.cache(t.CachePoint, llm.Mark{}, place); err != nil {
				return err
			}
		case t.SystemTool != nil:
			return apierr.Validation("This model doesn't support the systemTool %s that you provided at %s. Remove it and try again.", clip(text(t.SystemTool.Name)), place)
		case t.ToolSpec == nil:
			return mustSet("Tool", place, "toolSpec, systemTool, cachePoint")
		default:
			tool, err := readTool(t.ToolSpec, place+".toolSpec")
			if err != nil {
				return err
			}
			if known[tool.Name] {
				return apierr.Validation("The tools at toolConfig.tools contain duplicate names: %s. Rename the tool at %s and try again.", clip(tool.Name), place)
			}
			known[tool.Name] = true
			rd.req.Tools = append(rd.req.Tools, tool)
		}
	}
	if len(rd.req.Tools) == 0 {
		return apierr.Validation("The tools field at toolConfig.tools has no toolSpec. Add a toolSpec and try again.")
	}
	return rd.choice(c.ToolChoice, known)
}

func readTool(in *rt.ToolSpecification, place string) (llm.Tool, error) {
	if in.Name == nil || *in.Name == "" || in.InputSchema == nil {
		return llm.Tool{}, apierr.Validation("The toolSpec at %s must have a name and an inputSchema.", place)
	}
	place += ".inputSchema.json"
	schema, ok := object(in.InputSchema.Json)
	if !ok {
		return llm.Tool{}, notObject(place)
	}
	if t := schema.Get("type"); t.Kind() != body.String || t.Text(body.Length{}) != "object" {
		return llm.Tool{}, apierr.Validation("The value at %s.type must be one of the following: object.", place)
	}
	return llm.Tool{
		Name: *in.Name, Description: text(in.Description), Schema: schema.JSON(), Strict: in.Strict != nil && *in.Strict,
	}, nil
}

// choice reads which of the known tools a reply uses.
func (rd *reader) choice(in *rt.ToolChoice, known map[string]bool) error {
	switch {
	case in == nil || in.Auto != nil:
	case in.Any != nil:
		rd.req.Choice.Kind = llm.ChooseAny
	case in.Tool != nil:
		name := text(in.Tool.Name)
		if !known[name] {
			return apierr.Validation("The tool choice %s at toolConfig.toolChoice.tool.name does not exist in the tools list. Choose a tool of toolConfig.tools and try again.", clip(name))
		}
		rd.req.Choice = llm.Choice{Kind: llm.ChooseNamed, Name: name}
	default:
		return mustSet("ToolChoice", "toolConfig.toolChoice", "auto, any, tool")
	}
	return nil
}

func (rd *reader) toolUse(in *rt.ToolUseBlock, place string) (llm.Block, error) {
	if text(in.ToolUseId) == "" || text(in.Name) == "" {
		return llm.Block{}, apierr.Validation("The toolUse content block at %s must have a toolUseId and a name.", place)
	}
	if in.Type != nil {
		return llm.Block{}, unsupported("toolUse of the type "+clip(string(*in.Type)), place)
	}
	input, ok := object(in.Input)
	if !ok {
		return llm.Block{}, notObject(place + ".toolUse.input")
	}
	return llm.Block{Kind: llm.ToolCall, Call: &llm.Call{ID: *in.ToolUseId, Name: *in.Name, Input: input.JSON()}}, nil
}

func (rd *reader) toolResult(in *rt.ToolResultBlock, place string) (llm.Block, error) {
	if text(in.ToolUseId) == "" {
		return llm.Block{}, apierr.Validation("The toolResult content block at %s must have a toolUseId.", place)
	}
	r := &llm.Result{CallID: *in.ToolUseId, Failed: in.Status != nil && *in.Status == rt.ToolResultStatusError}
	if r.Failed && len(in.Content) == 0 {
		return llm.Block{}, apierr.Validation("The content field at %s.toolResult cannot be empty when status value is error.", place)
	}
	var err error
	if r.Content, err = rd.results(in.Content, place); err != nil {
		return llm.Block{}, err
	}
	return llm.Block{Kind: llm.ToolResult, Result: r}, nil
}

// object reads free-form JSON that must be an object.
func object(doc []byte) (*body.Value, bool) {
	if doc == nil {
		return nil, false
	}
	v, err := body.Parse(doc)
	return v, err == nil
}

func notObject(place string) error {
	return apierr.Validation("The format of the value at %s is invalid. Provide a json object for the field and try again.", place)
}
