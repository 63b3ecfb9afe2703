// Package ai21 speaks the native bodies of AI21 Labs' models: Jurassic-2 (key
// "prompt") and Jamba (key "messages").
//
// Source: Bedrock user guide, "AI21 Labs Jurassic-2 models" and "AI21 Labs Jamba
// models".
package ai21

import (
	"crypto/rand"
	"io"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
)

// Family is the codec of AI21. The zero value works.
type Family struct {
	Rand io.Reader // makes the ids of replies; nil means crypto/rand
}

// Name is "ai21".
func (Family) Name() string { return "ai21" }

// Parse reads a body of Jurassic-2 or Jamba, as the model is; of other models,
// as the body has "prompt" or "messages".
func (f Family) Parse(m family.Model, data []byte) (family.Task, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(m.ID, "ai21.j2-") || !strings.HasPrefix(m.ID, "ai21.") && root.Has("prompt") {
		return f.parseJurassic(m, root)
	}
	return f.parseJamba(m, root)
}

// maxStops bounds stop sequences, as Converse does.
const maxStops = 2500

// random fills b.
func (f Family) random(b []byte) error {
	src := f.Rand
	if src == nil {
		src = rand.Reader
	}
	_, err := io.ReadFull(src, b)
	return err
}

// limit is the largest output limit that a body may ask for.
func limit(m family.Model, own int) int {
	if m.MaxOutput > 0 {
		return m.MaxOutput
	}
	return own
}
