package nova

import (
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
)

// tools reads toolConfig.
func (rd *reader) tools(c *body.Value) {
	if c == nil {
		return
	}
	c.Require("tools")
	names := map[string]bool{}
	for _, item := range c.Get("tools").Items(body.Length{Min: 1}) {
		switch v, kind := rd.union(item, "toolSpec", "cachePoint", "systemTool"); kind {
		case "toolSpec":
			rd.tool(v, names)
		case "cachePoint":
			rd.cache(v, llm.Mark{})
		case "systemTool":
			v.Object().SkipAll()
			rd.fail("%s: The systemTool is run by AWS and not supported here. Remove the systemTool and try again.", item.Dotted())
		}
	}
	rd.choice(c.Get("toolChoice"))
	c.Close()
}

// tool reads a toolSpec. names are those of the tools before it.
func (rd *reader) tool(v *body.Value, names map[string]bool) {
	if v.Object() == nil {
		return
	}
	v.Require("name", "inputSchema")
	t := llm.Tool{Name: name(v.Get("name")), Description: v.Get("description").Text(body.Length{Min: 1})}
	if s := v.Get("inputSchema").Object(); s != nil {
		s.Require("json")
		if j := s.Get("json").Object(); j != nil {
			t.Schema = j.JSON()
		}
		s.Close()
	}
	if strict := v.Get("strict").Bool(); strict != nil {
		t.Strict = *strict
	}
	v.Close()
	if names[t.Name] {
		rd.fail("The toolConfig.tools field has more than one toolSpec with the name %s.", body.Show(t.Name))
	}
	names[t.Name] = true
	rd.req.Tools = append(rd.req.Tools, t)
}

func name(v *body.Value) string { return matching(v, "_-", `^[a-zA-Z0-9_-]+$`) }

func id(v *body.Value) string { return matching(v, "_.:-", `^[a-zA-Z0-9_.:-]+$`) }

// matching reads a name of at most 64 letters, digits and characters of extra,
// which pattern says too.
func matching(v *body.Value, extra, pattern string) string {
	s := v.Text(body.Length{Min: 1, Max: 64})
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(extra, c) >= 0 {
			continue
		}
		v.Violate("string [" + body.Show(s) + "] does not match pattern " + pattern)
		break
	}
	return s
}

func (rd *reader) choice(v *body.Value) {
	if v == nil {
		return
	}
	member, kind := rd.union(v, "auto", "any", "tool")
	if kind == "" || member.Object() == nil {
		return
	}
	switch kind {
	case "any":
		rd.req.Choice = llm.Choice{Kind: llm.ChooseAny}
	case "tool":
		member.Require("name")
		n := member.Get("name").Text(body.Length{Min: 1, Max: 64})
		rd.req.Choice = llm.Choice{Kind: llm.ChooseNamed, Name: n}
		if !slices.ContainsFunc(rd.req.Tools, func(t llm.Tool) bool { return t.Name == n }) {
			rd.fail("The toolConfig.toolChoice.tool.name field is %s, which no toolSpec has.", body.Show(n))
		}
	}
	member.Close()
	if rd.req.Tools == nil {
		rd.fail("The toolConfig.tools field has no toolSpec to choose.")
	}
}

// toolUse reads a call of an earlier turn.
func (rd *reader) toolUse(v *body.Value) *llm.Block {
	if v.Object() == nil {
		return nil
	}
	v.Require("toolUseId", "name", "input")
	c := &llm.Call{ID: id(v.Get("toolUseId")), Name: name(v.Get("name"))}
	if in := v.Get("input").Object(); in != nil {
		c.Input = in.JSON()
	}
	v.Close()
	if c.ID == "" || c.Name == "" || c.Input == nil {
		return nil
	}
	return &llm.Block{Kind: llm.ToolCall, Call: c}
}

// toolResult reads what a tool answered; a JSON value becomes its text.
func (rd *reader) toolResult(v *body.Value) *llm.Block {
	if v.Object() == nil {
		return nil
	}
	v.Require("toolUseId", "content")
	r := &llm.Result{CallID: id(v.Get("toolUseId")), Failed: v.Get("status").Enum("success", "error") == "error"}
	for _, item := range v.Get("content").Items(body.Length{}) {
		value, kind := rd.union(item, "json", "text", "image", "document", "video")
		switch kind {
		case "":
		case "json":
			r.Content = append(r.Content, llm.Block{Kind: llm.Text, Text: string(value.JSON())})
		default:
			if b := rd.shown(item, value, kind); b != nil {
				r.Content = append(r.Content, *b)
			}
		}
	}
	v.Close()
	if r.CallID == "" {
		return nil
	}
	return &llm.Block{Kind: llm.ToolResult, Result: r}
}
