package llama

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/llm"
)

// The forms of prompt, as the catalogue calls them.
const (
	llama2 = "llama2"
	llama3 = "llama3"
	llama4 = "llama4"
)

const (
	bos       = "<|begin_of_text|>"
	imageMark = "<|image|>"
)

// markers are the control tokens of a form with headers.
type markers struct {
	open, shut string   // around the role
	ends       []string // of a turn
}

func markersOf(form string) markers {
	if form == llama4 {
		return markers{"<|header_start|>", "<|header_end|>", []string{"<|eot|>", "<|eom|>"}}
	}
	return markers{"<|start_header_id|>", "<|end_header_id|>", []string{"<|eot_id|>", "<|eom_id|>"}}
}

// formOf tells the form of a prompt, "" when it has none.
func formOf(prompt string) string {
	switch {
	case strings.Contains(prompt, markersOf(llama3).open):
		return llama3
	case strings.Contains(prompt, markersOf(llama4).open):
		return llama4
	case chat.HasInst(prompt):
		return llama2
	}
	return ""
}

// parsePrompt turns a prompt into a conversation, or passes it on as it is when
// it has the form that the weights read themselves. Under strict parity such
// weights get every prompt as it is, as on Bedrock. A prompt of no form is one
// user turn. Pictures go in front of the last user turn.
func parsePrompt(prompt string, m family.Model, images []llm.Block) *llm.Request {
	form := formOf(prompt)
	if len(images) == 0 && m.Prompt != "" && (form == m.Prompt || form == "" && m.StrictParity) {
		return &llm.Request{Raw: prompt}
	}
	req := &llm.Request{}
	switch form {
	case llama3, llama4:
		headers(req, prompt, markersOf(form))
	case llama2:
		chat.Inst(req, prompt)
	default:
		chat.Add(req, llm.User, chat.Text(prompt))
	}
	if len(req.Messages) == 0 || req.Messages[0].Role != llm.User {
		// Only an assistant or the system has spoken: the text as it is.
		*req = llm.Request{}
		chat.Add(req, llm.User, chat.Text(prompt))
	}
	if len(images) > 0 {
		show(req, images)
	}
	return req
}

// show puts pictures in front of the last user turn. The marks that stand for
// pictures in prompts go.
func show(req *llm.Request, images []llm.Block) {
	last := 0
	for i := range req.Messages {
		if t := &req.Messages[i]; t.Role == llm.User {
			t.Content[0].Text = strings.ReplaceAll(t.Content[0].Text, imageMark, "")
			last = i
		}
	}
	t := &req.Messages[last]
	t.Content = append(images, t.Content...)
}

// headers reads a prompt whose turns begin with a header:
//
//	<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\ntext<|eot_id|>
//
// Text before the first header is system text. A turn of the assistant without
// an end token is the start of the reply.
func headers(req *llm.Request, prompt string, mk markers) {
	head, rest, ok := strings.Cut(prompt, mk.open)
	if head = strings.TrimSpace(strings.ReplaceAll(head, bos, "")); head != "" {
		req.System = append(req.System, head)
	}
	var turns chat.Turns
	for ok {
		var turn string
		turn, rest, ok = strings.Cut(rest, mk.open)
		role, text, _ := strings.Cut(turn, mk.shut)
		for _, end := range mk.ends {
			text, _, _ = strings.Cut(text, end)
		}
		text = strings.TrimPrefix(strings.TrimPrefix(text, "\n"), "\n")
		switch role = strings.TrimSpace(role); {
		case role == "system":
			if strings.TrimSpace(text) != "" {
				req.System = append(req.System, text)
			}
		case role == "assistant":
			if strings.TrimSpace(text) != "" {
				turns.Add(llm.Assistant, text)
			}
		default: // user, and what tools answered: ipython, tool
			turns.Add(llm.User, text)
		}
	}
	turns.Into(req)
}
