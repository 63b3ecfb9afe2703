package catalog

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	localPrefix   = "local."
	localProvider = "Local"
	// localContext stands for a file that does not tell its context.
	localContext = 2048
	// localTokens is the output limit of local weights when the caller gives none:
	// a model of 7 billion parameters makes so many on a CPU within the 60 s after
	// which SDKs give up.
	localTokens = 256
)

// Local is a model file of the operator's own. It is served under an id made of
// "local." and its own id.
type Local struct {
	ID            string // of the weights, as the model store has it
	Name          string // what the file calls itself; "" means ID
	License       string // as the file says; "" means unknown
	Mode          string // chat, completion or embed
	ContextTokens int    // limit of the weights; 0 means 2048
	Dimensions    int    // embed only: length of a vector
	TemplateBytes int    // size of the chat template
	Images        bool   // chat only: a projector is installed with it
}

// weights is the entry of l.
func (l *Local) weights() Weights {
	w := Weights{
		ID: l.ID, Name: l.Name, License: l.License, Mode: l.Mode,
		ContextTokens: l.ContextTokens, Dimensions: l.Dimensions, TemplateBytes: l.TemplateBytes,
	}
	if w.Name == "" {
		w.Name = l.ID
	}
	if w.License == "" {
		w.License = "unknown"
	}
	if w.ContextTokens <= 0 {
		w.ContextTokens = localContext
	}
	if w.Mode != "embed" {
		w.DefaultTokens = min(localTokens, max(1, w.ContextTokens/2))
	}
	w.LicenseDigest = w.digest()
	return w
}

// model is the API's entry for the weights. A chat model takes OpenAI's native
// body; base and embedding models take Titan's.
func (l *Local) model(id string) Model {
	m := Model{
		ID: id, Name: brand(l.Name, l.ID), Provider: localProvider, Family: "titan", Weights: l.ID,
		Input: []string{"TEXT"}, Output: []string{"TEXT"}, Streaming: true,
		Inference: []string{"ON_DEMAND"}, Lifecycle: Lifecycle{Status: "ACTIVE"},
	}
	switch l.Mode {
	case "chat":
		m.Family = "openai"
		if l.Images {
			m.Input = []string{"TEXT", "IMAGE"}
		}
	case "embed":
		m.Output, m.Streaming, m.Dimensions = []string{"EMBEDDING"}, false, l.Dimensions
	}
	return m
}

// addLocal adds the weights that the catalogue does not know, each with a model.
func (c *Catalog) addLocal(list []Local) {
	for i := range list {
		l := &list[i]
		if _, known := c.byWeight[l.ID]; known {
			continue
		}
		c.byWeight[l.ID] = len(c.weights)
		c.weights = append(c.weights, l.weights())
		id := LocalID(l.ID)
		for n := 2; ; n++ {
			if _, taken := c.byID[id]; !taken {
				break
			}
			id = fmt.Sprintf("%s-%d", LocalID(l.ID), n)
		}
		c.byID[id] = len(c.models)
		c.models = append(c.models, l.model(id))
	}
}

// localID is the id of the API for weights: what a model id may not hold becomes
// a hyphen.
func LocalID(weights string) string {
	b := []byte(strings.ToLower(weights))
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			b[i] = '-'
		}
	}
	const most, least = 56, 2 // room for a number; the pattern of the API wants two characters
	if len(b) > most {
		b = b[:most]
	}
	for len(b) < least {
		b = append(b, '0')
	}
	return localPrefix + string(b)
}

// brand cuts a name to the length that the API allows.
func brand(name, id string) string {
	if name = strings.TrimSpace(name); name == "" || !utf8.ValidString(name) {
		name = id
	}
	if r := []rune(name); len(r) > maxName {
		name = strings.TrimSpace(string(r[:maxName]))
	}
	return name
}
