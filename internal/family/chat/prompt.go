package chat

import (
	"strings"

	"github.com/outcrop/outcrop/internal/llm"
)

// Markers of prompts for Mistral and Llama 2.
const (
	instOpen  = "[INST]"
	instClose = "[/INST]"
	sysOpen   = "<<SYS>>"
	sysClose  = "<</SYS>>"
	bos       = "<s>"
	eos       = "</s>"
)

// HasInst reports whether a prompt has an [INST] marker.
func HasInst(prompt string) bool { return strings.Contains(prompt, instOpen) }

// Inst reads a prompt with [INST] markers into req:
//
//	<s>[INST] <<SYS>>\nsystem\n<</SYS>>\n\nuser [/INST] assistant </s><s>[INST] user [/INST]
//
// One space beside a marker belongs to it, as do the line breaks around the
// system text; everything else stays as it is. Text behind the last marker is
// the start of the reply. Text before the first is system text.
func Inst(req *llm.Request, prompt string) {
	head, rest, ok := strings.Cut(prompt, instOpen)
	if head = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(head), bos)); head != "" && ok {
		req.System = append(req.System, head)
	}
	if !ok {
		Add(req, llm.User, Text(prompt))
		return
	}
	var turns Turns
	for ok {
		var user, reply string
		user, rest, _ = strings.Cut(rest, instClose)
		reply, rest, ok = strings.Cut(rest, instOpen)
		user = instUser(req, user)
		turns.Add(llm.User, user)
		if reply = instReply(reply, ok); strings.TrimSpace(reply) != "" {
			turns.Add(llm.Assistant, reply)
		}
	}
	turns.Into(req)
}

// instUser is the text of a user's turn; its system text goes to req.
func instUser(req *llm.Request, s string) string {
	s = trimSpace(s)
	before, rest, ok := strings.Cut(s, sysOpen)
	if !ok || strings.TrimSpace(before) != "" {
		return s
	}
	system, after, ok := strings.Cut(rest, sysClose)
	if !ok {
		return s
	}
	if system = strings.TrimSpace(system); system != "" {
		req.System = append(req.System, system)
	}
	return strings.TrimPrefix(strings.TrimPrefix(after, "\n"), "\n")
}

// instReply is the text of a reply. ended tells that another turn follows.
func instReply(s string, ended bool) string {
	s = strings.TrimPrefix(s, " ")
	if !ended && !strings.Contains(s, eos) {
		return s
	}
	s = strings.TrimSuffix(strings.TrimRight(s, " \t\r\n"), bos)
	s = strings.TrimSuffix(strings.TrimRight(s, " \t\r\n"), eos)
	return strings.TrimSuffix(s, " ")
}

// trimSpace takes one space from each end.
func trimSpace(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(s, " "), " ")
}

// Turns gathers the turns of a prompt. Texts of one role in a row become one,
// with an empty line between.
type Turns struct {
	roles []llm.Role
	texts [][]string
}

// Add appends a text.
func (t *Turns) Add(role llm.Role, s string) {
	if n := len(t.roles); n > 0 && t.roles[n-1] == role {
		t.texts[n-1] = append(t.texts[n-1], s)
		return
	}
	t.roles, t.texts = append(t.roles, role), append(t.texts, []string{s})
}

// Into appends the turns to a conversation.
func (t *Turns) Into(req *llm.Request) {
	for i, role := range t.roles {
		Add(req, role, Text(strings.Join(t.texts[i], "\n\n")))
	}
}
