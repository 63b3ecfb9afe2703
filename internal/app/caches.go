package app

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// Caches spare models the work that was done before. Each part is off until
// accounts are named: ids of 12 digits, or "*" for all. Nothing is shared between
// accounts.
type Caches struct {
	Responses  ResponseCache  `yaml:"responses"`
	Coalesce   Coalesce       `yaml:"coalesce"`
	Semantic   SemanticCache  `yaml:"semantic"`
	EmbedBatch EmbeddingBatch `yaml:"embed_batch"`
}

// ResponseCache gives replies again to requests that are equal.
type ResponseCache struct {
	Accounts []string `yaml:"accounts"`
	// TTL is how long a reply is kept; default 1 h.
	TTL time.Duration `yaml:"ttl"`
	// Bytes is the memory for all replies that are kept, those of the semantic cache
	// included; default 64 MiB. With valkey they are kept there, and its own settings
	// bound them.
	Bytes int64 `yaml:"bytes"`
}

// Coalesce lets equal calls share the generation that is under way.
type Coalesce struct {
	Accounts []string `yaml:"accounts"`
}

// SemanticCache gives replies again to questions that are nearly the same, through
// application inference profiles whose tag outcrop:semantic-cache says how near.
type SemanticCache struct {
	Accounts []string `yaml:"accounts"`
	// Weights make the vectors that are compared; default all-minilm-l6-v2.
	Weights string `yaml:"weights"`
	// TTL is how long a reply is given for other questions; default 1 h.
	TTL time.Duration `yaml:"ttl"`
	// Questions is how many are held, of all accounts; default 4096.
	Questions int `yaml:"questions"`
}

// EmbeddingBatch lets embedding calls share a pass of the weights.
type EmbeddingBatch struct {
	Accounts []string `yaml:"accounts"`
	// Window is how long a call waits for others, at most 1 s; default 3 ms.
	Window time.Duration `yaml:"window"`
	// Max is how many texts one pass has at most, 2 to 1024; default 64.
	Max int `yaml:"max"`
}

// on reports whether anything is switched on.
func (c *Caches) on() bool {
	return len(c.Responses.Accounts)+len(c.Coalesce.Accounts)+len(c.Semantic.Accounts)+len(c.EmbedBatch.Accounts) > 0
}

// check refuses what cannot work.
func (c *Caches) check() error {
	for _, part := range []struct {
		name     string
		accounts []string
	}{
		{"responses", c.Responses.Accounts}, {"coalesce", c.Coalesce.Accounts}, {"semantic", c.Semantic.Accounts}, {"embed_batch", c.EmbedBatch.Accounts},
	} {
		for _, a := range part.accounts {
			if a != "*" && !arn.ValidAccount(a) {
				return fmt.Errorf(`caches: %s: accounts: %q is neither an account id of 12 digits nor "*"`, part.name, a)
			}
		}
	}
	switch {
	case c.Responses.TTL < 0 || c.Responses.Bytes < 0:
		return fmt.Errorf("caches: responses: ttl and bytes must not be negative")
	case c.Semantic.TTL < 0 || c.Semantic.Questions < 0:
		return fmt.Errorf("caches: semantic: ttl and questions must not be negative")
	case c.EmbedBatch.Window < 0 || c.EmbedBatch.Window > time.Second:
		return fmt.Errorf("caches: embed_batch: window must be at most 1s and not negative")
	case c.EmbedBatch.Max != 0 && (c.EmbedBatch.Max < 2 || c.EmbedBatch.Max > 1024):
		return fmt.Errorf("caches: embed_batch: max must be 2 to 1024")
	}
	return nil
}

// defaultSemanticWeights compare questions unless the configuration names others.
const defaultSemanticWeights = "all-minilm-l6-v2"

// cached puts the caches of the configuration before what runs models.
func (s *Server) cached(behind agreement.Inference) (agreement.Inference, error) {
	c := &s.cfg.Caches
	if !c.on() {
		return behind, nil
	}
	secret, err := s.state.root.Derive("caches")
	if err != nil {
		return nil, err
	}
	epoch, err := s.epoch()
	if err != nil {
		return nil, err
	}
	cfg := cache.Config{
		Inference: behind, Secret: secret, Files: s.files, Epoch: epoch, Store: s.shared.cache(c.Responses.Bytes),
		Responses: cache.Responses{Accounts: c.Responses.Accounts, TTL: c.Responses.TTL},
		Coalesce:  c.Coalesce.Accounts,
		Semantic:  cache.Semantic{Accounts: c.Semantic.Accounts, Tags: s.resources.Tags, TTL: c.Semantic.TTL, Questions: c.Semantic.Questions},
		Batch:     cache.Batch{Accounts: c.EmbedBatch.Accounts, Window: c.EmbedBatch.Window, Max: c.EmbedBatch.Max},
		Log:       s.log,
	}
	if len(c.Semantic.Accounts) > 0 {
		id, all := cmp.Or(c.Semantic.Weights, defaultSemanticWeights), s.state.catalog.Weights()
		i := slices.IndexFunc(all, func(w catalog.Weights) bool { return w.ID == id })
		if i < 0 || engine.Mode(all[i].Mode) != engine.Embed {
			return nil, fmt.Errorf("caches: semantic: weights: the catalogue has no weights %q that make embeddings", id)
		}
		cfg.Semantic.Weights = all[i]
	}
	if s.caches, err = cache.New(cfg); err != nil {
		return nil, err
	}
	return s.caches, nil
}

// files names the model files of some weights; each is named by the digest of its
// content. Weights on a server have none here: the configuration names their model.
// Nor do those of an engine that has no processes.
func (s *Server) files(w *catalog.Weights) ([]string, bool) {
	if w.Remote() {
		return nil, true
	}
	file, ok := s.state.weights.Path(w.ID)
	if !ok {
		return nil, reporter(s.engine) == nil
	}
	names := []string{filepath.Base(file)}
	if p, ok := s.state.weights.Projector(w.ID); ok {
		names = append(names, filepath.Base(p))
	}
	return names, true
}

// epoch names what replies depend on beside weights and requests: another build may
// tell models of tools and documents in other words. How much a machine does at a time
// is no part of it: servers that share a store need not be alike.
func (s *Server) epoch() (string, error) {
	v := Program{}.Version()
	b, err := json.Marshal(struct {
		Build      []string
		Command    string
		MaxContext int
		StandIns   *bool
		Upstreams  []Upstream
	}{[]string{v.Version, v.Commit, v.Engine}, s.cfg.Engine.Command, s.cfg.Engine.MaxContext, s.cfg.StandIns, s.cfg.Upstreams})
	if err != nil {
		return "", fmt.Errorf("name the settings of engines: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
