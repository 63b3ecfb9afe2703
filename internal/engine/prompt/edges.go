package prompt

import "strings"

// Edges are the literals that a chat template puts around the content of each
// role, as far as they matter.
type Edges map[string]Edge

// of returns the edges of a role.
func (e Edges) of(role string) []Edge {
	var out []Edge
	for k, v := range e {
		if strings.HasPrefix(k, role+"\x00") {
			out = append(out, v)
		}
	}
	return out
}

// Form is a conversation that FindEdges asks a server to render.
type Form struct {
	Messages []Message `json:"messages"`
	Tools    []Tool    `json:"tools,omitempty"`
}

// FindEdges learns what a chat template puts around the content of each role,
// and around what is told of tools when it knows tools. render applies the
// template; false means that the template refuses the form, as generation will
// then. An error of render ends the search.
func FindEdges(g *Guard, tools bool, render func(Form) (string, bool, error)) (Edges, error) {
	const system, user, assistant, again, name, about, answer = "qv0z", "qv1z", "qv2z", "qv3z", "qv4z", "qv5z", "qv6z"
	turn := func(role, text string) Message { return Message{Role: role, Content: text} }
	forms := []Form{
		{Messages: []Message{turn("system", system), turn("user", user), turn("assistant", assistant), turn("user", again)}},
		{Messages: []Message{turn("user", user), turn("assistant", assistant), turn("user", again)}}, // templates without a system turn
		{Messages: []Message{turn("user", user), turn("assistant", assistant)}},                      // a prefill
	}
	if tools {
		call := turn("assistant", "")
		call.Calls = []Call{{ID: "call00001", Type: "function", Function: Called{Name: name, Arguments: "{}"}}}
		result := turn(roleTool, answer)
		result.CallID = "call00001"
		forms = append(forms, Form{
			Messages: []Message{turn("user", user), call, result},
			Tools:    []Tool{{Type: "function", Function: Function{Name: name, Description: about, Parameters: []byte("{}")}}},
		})
	}
	places := map[string]string{
		system: roleSystem, user: "user", assistant: "assistant", again: "user", name: placeName, about: placeTools, answer: roleTool,
	}
	edges := Edges{}
	for _, form := range forms {
		text, ok, err := render(form)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		for word, place := range places {
			for rest, n := text, 0; n >= 0; rest = rest[n:] { // a name stands in several places
				before, after, ok := strings.Cut(rest, word)
				if !ok {
					break
				}
				if e, ok := g.EdgeOf(before, after); ok {
					edges[place+"\x00"+e.Before+"\x00"+e.After] = e
				}
				n = len(before) + len(word)
			}
		}
	}
	return edges, nil
}
