package openai_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/enginetest"
	"github.com/outcrop/outcrop/internal/engine/enginetest/tinyvision"
	"github.com/outcrop/outcrop/internal/engine/openai"
	"github.com/outcrop/outcrop/internal/secret"
)

const key = "key-of-the-peer"

// TestConformance runs the suite of all engines against real servers.
func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		i := enginetest.Installed(t)
		template, err := os.ReadFile(filepath.Join("..", "llamacpp", "testdata", "tools.jinja"))
		if err != nil {
			t.Fatal(err)
		}
		seeing, projector, err := tinyvision.Write(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		chat := startPeer(t, peerConfig{Model: i.Files[chatWeights], Key: key})
		up := func(p *peer, m engine.Mode) openai.Upstream {
			return openai.Upstream{URL: p.url(), Mode: m, Concurrent: 2, Key: secret.NewString(p.cfg.Key), Idle: 20 * time.Second}
		}
		c := openai.Config{QueueWait: time.Minute, Upstreams: map[string]openai.Upstream{
			"chat":   up(chat, engine.Chat),
			"tools":  up(startPeer(t, peerConfig{Model: i.Files[chatWeights], Template: string(template)}), engine.Chat),
			"vision": up(startPeer(t, peerConfig{Model: seeing, Projector: projector}), engine.Chat),
			"embed":  up(startPeer(t, peerConfig{Model: i.Files[embedWeights], Embedding: true, Context: 512, Slots: 1}), engine.Embed), // one at a time: the same vectors to the last bit
		}}
		e := begin(t, c)
		enginetest.Start(t, e)
		return enginetest.Subject{
			Engine: e, Slots: 2,
			Chat:    engine.Target{Weights: "chat", Mode: engine.Chat},
			Embed:   engine.Target{Weights: "embed", Mode: engine.Embed, Scope: "e"},
			Tools:   engine.Target{Weights: "tools", Mode: engine.Chat},
			Images:  engine.Target{Weights: "vision", Mode: engine.Chat},
			Missing: engine.Target{Weights: "no-such-weights", Mode: engine.Chat},
			Kill: func(t *testing.T) {
				chat.kill()
				chat.begin(t)
			},
		}
	})
}
