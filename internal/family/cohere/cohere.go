// Package cohere speaks the native bodies of Cohere's models: Command (key
// "prompt"), Command R and R+ (key "message"), Embed v3 and v4, and Rerank,
// whose form Amazon Rerank shares.
//
// Source: Bedrock user guide, "Cohere models"; agents for Bedrock, "Rerank
// models".
package cohere

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
)

// Family is the codec of Cohere. The zero value works.
type Family struct {
	Rand io.Reader // makes the ids of replies; nil means crypto/rand
}

// Name is "cohere".
func (Family) Name() string { return "cohere" }

// Parse reads a body of the kind that the model's id tells: embeddings,
// rankings, Command, and Command R for all others. An id that is not Cohere's
// with vectors takes Embed v3's body.
func (f Family) Parse(m family.Model, data []byte) (family.Task, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.Contains(m.ID, "rerank"):
		return parseRanking(m, root)
	case strings.HasPrefix(m.ID, "cohere.embed-v4"):
		return f.parseEmbedV4(m, root)
	case strings.HasPrefix(m.ID, "cohere.embed-"), m.Dimensions > 0:
		return f.parseEmbedV3(m, root)
	case strings.HasPrefix(m.ID, "cohere.command-text"), strings.HasPrefix(m.ID, "cohere.command-light"),
		!strings.HasPrefix(m.ID, "cohere.") && root.Has("prompt"):
		return f.parseCommand(m, root)
	}
	return f.parseChat(m, root)
}

// newID makes a random UUID.
func (f Family) newID() (string, error) {
	src := f.Rand
	if src == nil {
		src = rand.Reader
	}
	var b [16]byte
	if _, err := io.ReadFull(src, b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

// limit is the largest output limit that a body may ask for.
func limit(m family.Model, own int) int {
	if m.MaxOutput > 0 {
		return m.MaxOutput
	}
	return own
}
