package converse

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// messages reads the turns: the user speaks first, then the roles alternate, and
// the results of tools follow the calls.
func (rd *reader) messages(in *rt.ConverseInput) error {
	turns := in.Messages
	if len(turns) == 0 || role(&turns[0]) == llm.Assistant {
		return apierr.Validation("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
	}
	if in.ToolConfig == nil && usesTools(turns) {
		return apierr.Validation("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
	}
	rd.req.Messages = make([]llm.Message, len(turns))
	for i := range turns {
		r := role(&turns[i])
		if r != llm.User && r != llm.Assistant {
			return apierr.Validation("The role at messages.%d is not supported by this model. Use user or assistant, and the system field for system prompts.", i)
		}
		if i > 0 && rd.req.Messages[i-1].Role == r {
			return apierr.Validation("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
		}
		blocks, err := rd.content(turns[i].Content, r, i)
		if err != nil {
			return err
		}
		rd.req.Messages[i] = llm.Message{Role: r, Content: blocks}
		if err := rd.pairs(i); err != nil {
			return err
		}
	}
	return nil
}

func role(m *rt.Message) llm.Role {
	if m.Role == nil {
		return ""
	}
	return llm.Role(*m.Role)
}

func usesTools(turns []rt.Message) bool {
	for i := range turns {
		for j := range turns[i].Content {
			if b := &turns[i].Content[j]; b.ToolUse != nil || b.ToolResult != nil {
				return true
			}
		}
	}
	return false
}

// content reads the blocks of turn i.
func (rd *reader) content(in []rt.ContentBlock, r llm.Role, i int) ([]llm.Block, error) {
	out := make([]llm.Block, 0, len(in))
	documents, texts := false, false
	for j := range in {
		b := &in[j]
		if b.Text != nil && blockName(b) == "" && b.CachePoint == nil && !blank(b.Text) { // nearly every block; no need to name its place
			texts = true
			out = append(out, llm.Block{Kind: llm.Text, Text: *b.Text})
			continue
		}
		place := fmt.Sprintf("messages.%d.content.%d", i, j)
		if b.CachePoint != nil {
			if err := rd.cache(b.CachePoint, llm.Mark{Message: i, Block: len(out)}, place); err != nil {
				return nil, err
			}
			continue
		}
		if err := ofRole(b, r, place); err != nil {
			return nil, err
		}
		block, err := rd.block(b, place)
		if err != nil {
			return nil, err
		}
		documents = documents || block.Kind == llm.Document
		texts = texts || block.Kind == llm.Text
		out = append(out, block)
	}
	switch {
	case len(out) == 0:
		return nil, apierr.Validation("The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
	case documents && !texts:
		return nil, apierr.Validation("A text block must be included when using documents. Add a text block and retry your request.")
	}
	return out, nil
}

// ofRole refuses blocks that only the other role can have.
func ofRole(b *rt.ContentBlock, r llm.Role, place string) error {
	name := blockName(b)
	switch name {
	case "toolUse", "reasoningContent", "citationsContent":
		if r == llm.User {
			return apierr.Validation("User messages can't contain %s content blocks. Remove the content block at %s and try again.", name, place)
		}
	case "image", "document", "toolResult", "searchResult", "guardContent":
		if r == llm.Assistant && (b.GuardContent == nil || b.GuardContent.Image != nil) {
			return apierr.Validation("Assistant messages can't contain %s content blocks. Remove the content block at %s and try again.", name, place)
		}
	}
	return nil
}

// block reads one block that is no cache point.
func (rd *reader) block(b *rt.ContentBlock, place string) (llm.Block, error) {
	switch {
	case b.Text != nil:
		return rd.text(b.Text, "ContentBlock", place)
	case b.Image != nil:
		return rd.image(b.Image, place)
	case b.Document != nil:
		return rd.document(b.Document, place)
	case b.ToolUse != nil:
		return rd.toolUse(b.ToolUse, place)
	case b.ToolResult != nil:
		return rd.toolResult(b.ToolResult, place)
	case b.GuardContent != nil:
		return rd.guarded(b.GuardContent, place)
	case b.ReasoningContent != nil:
		return reasoning(b.ReasoningContent, place)
	case b.CitationsContent != nil:
		return citations(b.CitationsContent, place)
	case b.SearchResult != nil:
		return searchResult(b.SearchResult, place)
	}
	if name := blockName(b); name != "" {
		return llm.Block{}, unsupported(name, place)
	}
	return llm.Block{}, apierr.Validation("The ContentBlock object at %s must set one of its keys.", place)
}

// blockName is the key of a block that is not text, "" for an empty block.
func blockName(b *rt.ContentBlock) string {
	switch {
	case b.Image != nil:
		return "image"
	case b.Document != nil:
		return "document"
	case b.Video != nil:
		return "video"
	case b.Audio != nil:
		return "audio"
	case b.ToolUse != nil:
		return "toolUse"
	case b.ToolResult != nil:
		return "toolResult"
	case b.GuardContent != nil:
		return "guardContent"
	case b.ReasoningContent != nil:
		return "reasoningContent"
	case b.CitationsContent != nil:
		return "citationsContent"
	case b.SearchResult != nil:
		return "searchResult"
	case b.ToolAddition != nil:
		return "toolAddition"
	case b.ToolRemoval != nil:
		return "toolRemoval"
	}
	return ""
}

// text makes a block of a text that must not be blank. object is the API's name
// of what holds it.
func (rd *reader) text(s *string, object, place string) (llm.Block, error) {
	if blank(s) {
		return llm.Block{}, apierr.Validation("The text field in the %s object at %s is blank. Add text to the text field, and try again.", object, place)
	}
	return llm.Block{Kind: llm.Text, Text: *s}, nil
}

func (rd *reader) guarded(g *rt.GuardrailConverseContentBlock, place string) (llm.Block, error) {
	switch {
	case g.Text != nil:
		return rd.text(g.Text.Text, "ContentBlock", place)
	case g.Image != nil:
		img := &rt.ImageBlock{}
		if f := g.Image.Format; f != nil {
			img.Format = new(rt.ImageFormat(*f))
		}
		if s := g.Image.Source; s != nil {
			img.Source = &rt.ImageSource{Bytes: s.Bytes}
		}
		return rd.image(img, place+".guardContent")
	}
	return llm.Block{}, mustSet("GuardrailConverseContentBlock", place+".guardContent", "text, image")
}

// mustSet refuses a union without a member.
func mustSet(object, place, keys string) error {
	return apierr.Validation("The %s object at %s must set one of the following keys: %s.", object, place, keys)
}

func reasoning(r *rt.ReasoningContentBlock, place string) (llm.Block, error) {
	b := llm.Block{Kind: llm.Reasoning}
	switch {
	case r.ReasoningText != nil && r.ReasoningText.Text != nil:
		b.Text, b.Signature = *r.ReasoningText.Text, text(r.ReasoningText.Signature)
	case len(r.RedactedContent) > 0:
		b.Redacted = r.RedactedContent
	default:
		return b, mustSet("ReasoningContentBlock", place+".reasoningContent", "reasoningText, redactedContent")
	}
	return b, nil
}

// citations is the text of a reply that had citations; where they point to says
// nothing to the weights.
func citations(c *rt.CitationsContentBlock, place string) (llm.Block, error) {
	var s strings.Builder
	for i := range c.Content {
		s.WriteString(text(c.Content[i].Text))
	}
	if strings.TrimSpace(s.String()) == "" {
		return llm.Block{}, apierr.Validation("The content field in the citationsContent object at %s is blank. Add text to the content field, and try again.", place)
	}
	return llm.Block{Kind: llm.Text, Text: s.String()}, nil
}

// searchResult is a search result as text, with what it says of itself in front.
func searchResult(r *rt.SearchResultBlock, place string) (llm.Block, error) {
	var s strings.Builder
	for i := range r.Content {
		if i > 0 {
			s.WriteByte('\n')
		}
		s.WriteString(text(r.Content[i].Text))
	}
	if strings.TrimSpace(s.String()) == "" {
		return llm.Block{}, apierr.Validation("The content field in the searchResult object at %s is blank. Add text to the content field, and try again.", place)
	}
	return llm.Block{Kind: llm.Text, Text: "Search result: " + text(r.Title) + "\nSource: " + text(r.Source) + "\n\n" + s.String()}, nil
}

// pairs checks that turn i answers the calls of the turn before it: each once,
// and no others.
func (rd *reader) pairs(i int) error {
	m := &rd.req.Messages[i]
	if m.Role == llm.Assistant {
		return rd.unique(m, i)
	}
	var calls []string
	if i > 0 {
		calls = idsOf(rd.req.Messages[i-1].Content)
	}
	results := idsOf(m.Content)
	if id := repeated(results); id != "" {
		return apierr.Validation("The toolResult blocks at messages.%d.content contain duplicate Ids: %s", i, clip(id))
	}
	if len(results) > len(calls) {
		return apierr.Validation("The number of toolResult blocks at messages.%d.content exceeds the number of toolUse blocks of previous turn.", i)
	}
	return missing(calls, results, i)
}

// missing refuses turn i when it leaves calls without an answer.
func missing(calls, results []string, i int) error {
	const most = 40 // ids that one message names
	answered := make(map[string]bool, len(results))
	for _, id := range results {
		answered[id] = true
	}
	var open []string
	for _, id := range calls {
		if !answered[id] {
			open = append(open, clip(id))
		}
	}
	if len(open) == 0 {
		return nil
	}
	more := ""
	if n := len(open) - most; n > 0 {
		open, more = open[:most], " and "+strconv.Itoa(n)+" more"
	}
	return apierr.Validation("Expected toolResult blocks at messages.%d.content for the following Ids: %s%s", i, strings.Join(open, ", "), more)
}

// unique checks that no id of a call comes twice: in turn i, and in all of them.
func (rd *reader) unique(m *llm.Message, i int) error {
	ids := idsOf(m.Content)
	if id := repeated(ids); id != "" {
		return apierr.Validation("The toolUse blocks at messages.%d.content contain duplicate Ids: %s", i, clip(id))
	}
	for _, id := range ids {
		if rd.callIDs[id] {
			return apierr.Validation("The toolUse blocks at messages.%d.content contain Ids of a previous turn: %s", i, clip(id))
		}
		if rd.callIDs == nil {
			rd.callIDs = map[string]bool{}
		}
		rd.callIDs[id] = true
	}
	return nil
}

// idsOf lists the ids of a turn's calls or results; it cannot have both.
func idsOf(blocks []llm.Block) []string {
	var ids []string
	for i := range blocks {
		switch b := &blocks[i]; b.Kind {
		case llm.ToolCall:
			ids = append(ids, b.Call.ID)
		case llm.ToolResult:
			ids = append(ids, b.Result.CallID)
		}
	}
	return ids
}

// repeated is the first id that stands twice, "" when none does.
func repeated(ids []string) string {
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			return id
		}
		seen[id] = true
	}
	return ""
}

// clip keeps an id or name that no table has checked fit for a message.
func clip(s string) string {
	const most = 64
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// ending checks the last turn. One of the assistant is the start of the reply, so
// it must be text that can go on.
func (rd *reader) ending(*rt.ConverseInput) error {
	n := len(rd.req.Messages) - 1
	last := &rd.req.Messages[n]
	if last.Role != llm.Assistant || rd.resume {
		return nil
	}
	if calls := idsOf(last.Content); len(calls) > 0 {
		return missing(calls, nil, n+1)
	}
	end := last.Content[len(last.Content)-1]
	if end.Kind != llm.Text {
		return apierr.Validation("The last assistant message at messages.%d must end with a text block, which the reply continues.", n)
	}
	if strings.HasPrefix(rd.model.ID, "anthropic.") && strings.TrimRight(end.Text, " \t\r\n") != end.Text {
		return apierr.Validation("The model returned the following errors: messages: final assistant content cannot end with trailing whitespace")
	}
	return nil
}
