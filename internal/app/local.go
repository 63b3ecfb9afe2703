package app

import (
	"log/slog"
	"strings"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/gguf"
)

// localWeights tells the catalogue of installed weights that it does not know:
// those that people imported. One whose file cannot be read or served is left
// out and named in the log.
func localWeights(store *weights.Store, known func(id string) bool, log *slog.Logger) ([]catalog.Local, error) {
	list, err := store.List()
	if err != nil {
		return nil, err
	}
	var local []catalog.Local
	for _, m := range list {
		if known(m.ID) {
			continue
		}
		d, err := store.Show(m.ID)
		if err != nil {
			log.Warn("local weights cannot be read and are not served", "weights", m.ID, "error", err)
			continue
		}
		l, ok := localModel(m.ID, d.Header)
		if !ok {
			log.Warn("local weights are of a kind that is not served", "weights", m.ID, "architecture", d.Header.Architecture)
			continue
		}
		l.Images = d.Projector != "" && l.Mode == string(engine.Chat)
		local = append(local, l)
	}
	return local, nil
}

// localModel reads from a header how its weights can be served; ok is false
// when they cannot be.
func localModel(id string, h *gguf.Header) (l catalog.Local, ok bool) {
	l = catalog.Local{ID: id, Name: h.Name, License: h.License, ContextTokens: h.ContextLength, Mode: string(engine.Completion)}
	switch {
	case h.Pooling == gguf.PoolingRank: // judges pairs of texts
		return l, false
	case embeds(h):
		l.Mode, l.Dimensions = string(engine.Embed), h.EmbeddingLength
		return l, h.EmbeddingLength > 0
	case h.ChatTemplate != "":
		l.Mode, l.TemplateBytes = string(engine.Chat), len(h.ChatTemplate)
	}
	return l, true
}

// embeds reports whether weights make vectors: their file names a pooling, or
// an architecture that can do nothing else.
func embeds(h *gguf.Header) bool {
	switch h.Pooling {
	case gguf.PoolingMean, gguf.PoolingCLS, gguf.PoolingLast:
		return true
	}
	return strings.Contains(h.Architecture, "bert") || strings.Contains(h.Architecture, "embed")
}
