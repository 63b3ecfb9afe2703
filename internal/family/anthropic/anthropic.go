// Package anthropic speaks Claude's two native bodies: Text Completions (key
// "prompt", the models claude-v2, claude-v2:1 and claude-instant-v1) and
// Messages (key "messages", every Claude).
//
// Source: Bedrock user guide, "Anthropic Claude models", parameters and
// responses of both APIs.
package anthropic

import (
	"io"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// Version is the value of "anthropic_version" that Bedrock documents. Anthropic's
// own clients send their API's version, a date of 2026 or later, since their
// second major one; it is accepted too. Older dates are refused, as by Bedrock.
const Version = "bedrock-2023-05-31"

// version reads "anthropic_version".
func version(v *body.Value) {
	s := v.Text(body.Length{})
	if v.Kind() != body.String || s == Version {
		return
	}
	if day, err := time.Parse(time.DateOnly, s); err != nil || day.Year() < 2026 {
		v.Violate(body.Show(s) + " is not a valid enum value")
	}
}

// Family is the codec of Claude. The zero value works.
type Family struct {
	Rand io.Reader // makes the ids of messages; nil means crypto/rand
}

// Name is "anthropic".
func (Family) Name() string { return "anthropic" }

// Parse reads a Text Completions or a Messages body. A body with "prompt"
// is the former, everything else the latter; Claude 3 and later refuse the
// former. A direct body is Messages.
func (f Family) Parse(m family.Model, data []byte) (family.Task, error) {
	if m.Direct {
		d, err := f.Direct(data)
		if err != nil {
			return nil, err
		}
		return d.Text(m)
	}
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	name := modelName(m.ID)
	if legacy(name) && !root.Has("messages") {
		return parseCompletion(m, root)
	}
	if root.Has("prompt") && !root.Has("messages") {
		return nil, apierr.Validation("%q is not supported on this API. Please use the Messages API instead.", name)
	}
	t, err := f.parseMessages(m, root, false)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// legacy reports whether a model also speaks Text Completions.
func legacy(name string) bool {
	return strings.HasPrefix(name, "claude-2") || strings.HasPrefix(name, "claude-instant") || strings.HasPrefix(name, "claude-1")
}

// modelName is the name that a reply gives its model: the id without provider
// and Bedrock's version, "claude-3-haiku-20240307" for
// "anthropic.claude-3-haiku-20240307-v1:0". The oldest ids have names of their
// own.
func modelName(id string) string {
	_, name, ok := strings.Cut(id, ".")
	if !ok {
		name = id
	}
	switch {
	case strings.HasPrefix(name, "claude-v2:1"):
		return "claude-2.1"
	case strings.HasPrefix(name, "claude-v2"):
		return "claude-2.0"
	case strings.HasPrefix(name, "claude-instant-v1"):
		return "claude-instant-1.2"
	case strings.HasPrefix(name, "claude-v1"):
		return "claude-1.3"
	}
	name, _, _ = strings.Cut(name, ":")
	if i := strings.LastIndex(name, "-v"); i > 0 && digits(name[i+2:]) {
		name = name[:i]
	}
	return name
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// maxOutput is the largest output limit that a Messages body may ask for when
// the catalogue sets none; 0 means that only the context bounds it.
func maxOutput(name string) int {
	switch {
	case strings.HasPrefix(name, "claude-3-5"):
		return 8192
	case strings.HasPrefix(name, "claude-3-7"):
		return 128_000
	case strings.HasPrefix(name, "claude-3"), legacy(name):
		return 4096
	}
	return 0
}

const (
	idPrefix = "msg_bdrk_01"
	idLength = 22
)

// newID makes the id of a message.
func (f Family) newID() (string, error) {
	id, err := body.NewID(f.Rand, idLength)
	return idPrefix + id, err
}
