package arn

import "strings"

// Kind says what a model identifier names.
type Kind uint8

// The kinds of model identifiers.
const (
	KindFoundationModel       Kind = iota + 1
	KindSystemProfile              // geography prefix and model id, e.g. "us.amazon.nova-lite-v1:0"
	KindApplicationProfile         // made by a user; 12 characters
	KindProvisionedModel           // 12 characters
	KindProvisionedName            // a bare word: could be the name of a provisioned model
	KindCustomModel                // base id and 12 characters
	KindCustomModelDeployment      // 12 characters
	KindImportedModel              // 12 characters
	KindPrompt                     // 10 characters and, maybe, a version
	KindPromptRouter               // 12 characters
	KindDefaultPromptRouter        // e.g. "anthropic.claude:1"
	KindSageMakerEndpoint          // the name of an endpoint
)

// String names the kind in words that fit into an error message.
func (k Kind) String() string {
	switch k {
	case KindFoundationModel:
		return "foundation model"
	case KindSystemProfile:
		return "inference profile"
	case KindApplicationProfile:
		return "application inference profile"
	case KindProvisionedModel, KindProvisionedName:
		return "provisioned model"
	case KindCustomModel:
		return "custom model"
	case KindCustomModelDeployment:
		return "custom model deployment"
	case KindImportedModel:
		return "imported model"
	case KindPrompt:
		return "prompt"
	case KindPromptRouter:
		return "prompt router"
	case KindDefaultPromptRouter:
		return "default prompt router"
	case KindSageMakerEndpoint:
		return "SageMaker endpoint"
	}
	return "model"
}

// The resource types that ARNs of models begin with.
const (
	resFoundationModel    = "foundation-model"
	resInferenceProfile   = "inference-profile"
	resApplicationProfile = "application-inference-profile"
	resProvisioned        = "provisioned-model"
	resCustom             = "custom-model"
	resDeployment         = "custom-model-deployment"
	resImported           = "imported-model"
	resPrompt             = "prompt"
	resRouter             = "prompt-router"
	resDefaultRouter      = "default-prompt-router"
	resEndpoint           = "endpoint"
)

// Model is a parsed model identifier.
type Model struct {
	Kind Kind
	// ID is the name without ARN and without geography prefix: the model id of a
	// foundation model or system profile, else what follows the resource type.
	ID string
	// Geo is the geography prefix of a system profile, e.g. "us"; else "".
	Geo string
	// ARN is set when the identifier was written as one; Partition is "" if not.
	ARN ARN
}

// IsARN reports whether the identifier was written as an ARN.
func (m *Model) IsARN() bool { return m.ARN.Partition != "" }

// Name is ID with its geography prefix: the id of a system profile.
func (m *Model) Name() string {
	if m.Geo == "" {
		return m.ID
	}
	return m.Geo + "." + m.ID
}

// Geographies are the prefixes of system inference profiles.
func Geographies() []string {
	return []string{"us", "eu", "apac", "jp", "au", "ca", "us-gov", "global"}
}

// ValidGeography reports whether s is a prefix of system inference profiles.
func ValidGeography(s string) bool {
	switch s {
	case "us", "eu", "apac", "jp", "au", "ca", "us-gov", "global":
		return true
	}
	return false
}

// ParseModel reads what a caller may write as a model: a bare id, a profile id,
// or an ARN of any kind. Only the form is judged. The error is ErrInvalid.
// Source: patterns of the bedrock-runtime operations.
func ParseModel(s string) (Model, error) {
	if s == "" || len(s) > maxLength {
		return Model{}, ErrInvalid
	}
	if strings.HasPrefix(s, "arn:") {
		return parseModelARN(s)
	}
	if strings.IndexByte(s, '.') > 0 {
		return parseDotted(s)
	}
	switch {
	case chars(s, 12, 12, isLowerNum):
		return Model{Kind: KindApplicationProfile, ID: s}, nil
	case validWord(s):
		return Model{Kind: KindProvisionedName, ID: s}, nil
	}
	return Model{}, ErrInvalid
}

// parseDotted reads an id with a provider, with or without a geography.
func parseDotted(s string) (Model, error) {
	if geo, id, _ := strings.Cut(s, "."); ValidGeography(geo) && ValidModelID(id) {
		return Model{Kind: KindSystemProfile, ID: id, Geo: geo}, nil
	}
	if !ValidModelID(s) {
		return Model{}, ErrInvalid
	}
	return Model{Kind: KindFoundationModel, ID: s}, nil
}

func parseModelARN(s string) (Model, error) {
	a, err := Parse(s)
	if err != nil || a.Region == "" {
		return Model{}, ErrInvalid
	}
	kind, name := a.Split()
	m := Model{ARN: a, ID: name}
	if a.Service == "sagemaker" {
		if kind != resEndpoint || !ValidAccount(a.Account) || !chars(name, 1, 63, isAlnumHyphen) {
			return Model{}, ErrInvalid
		}
		m.Kind = KindSageMakerEndpoint
		return m, nil
	}
	if a.Service != "bedrock" {
		return Model{}, ErrInvalid
	}
	if kind == resFoundationModel {
		if a.Account != "" || !ValidModelID(name) {
			return Model{}, ErrInvalid
		}
		m.Kind = KindFoundationModel
		return m, nil
	}
	if !ValidAccount(a.Account) {
		return Model{}, ErrInvalid
	}
	ok := false
	switch kind {
	case resInferenceProfile:
		var d Model
		if d, err = parseDotted(name); err == nil && d.Kind == KindSystemProfile {
			m.Kind, m.ID, m.Geo, ok = KindSystemProfile, d.ID, d.Geo, true
		}
	case resApplicationProfile:
		m.Kind, ok = KindApplicationProfile, chars(name, 1, 64, isProfile)
	case resProvisioned:
		m.Kind, ok = KindProvisionedModel, validSuffix(name)
	case resCustom:
		base, suffix, found := strings.Cut(name, "/")
		m.Kind, ok = KindCustomModel, found && validSuffix(suffix) && (base == "imported" || ValidModelID(base))
	case resDeployment:
		m.Kind, ok = KindCustomModelDeployment, validSuffix(name)
	case resImported:
		m.Kind, ok = KindImportedModel, validSuffix(name)
	case resPrompt:
		id, version, found := strings.Cut(name, ":")
		m.Kind, ok = KindPrompt, chars(id, 10, 10, isAlnum) && (!found || chars(version, 1, 5, isDigit))
	case resRouter:
		m.Kind, ok = KindPromptRouter, chars(name, 1, 64, isProfile)
	case resDefaultRouter:
		m.Kind, ok = KindDefaultPromptRouter, chars(name, 1, 64, isProfile)
	}
	if !ok {
		return Model{}, ErrInvalid
	}
	return m, nil
}

// ValidModelID reports whether s has the form of a foundation model's id:
// a provider, a dot, one to three dotted parts, and at most two parts behind
// colons; each part 1 to 63 of a-z, 0-9 and '-'; at most 140 bytes in all.
// Example: "anthropic.claude-3-haiku-20240307-v1:0:48k".
func ValidModelID(s string) bool {
	if len(s) > 140 {
		return false
	}
	dots, colons, n := 0, 0, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isLabel(c):
			if n++; n > 63 {
				return false
			}
			continue
		case c == '.' && n > 0 && colons == 0:
			dots++
		case c == ':' && n > 0 && dots > 0:
			colons++
		default:
			return false
		}
		n = 0
	}
	return n > 0 && dots >= 1 && dots <= 3 && colons <= 2
}

// validSuffix reports whether s is the random id of a Bedrock resource.
func validSuffix(s string) bool { return chars(s, 12, 12, isLowerNum) }

// validWord reports whether s is ([0-9a-zA-Z][_-]?)+ : letters and digits, and
// between or after them single hyphens or underscores.
func validWord(s string) bool {
	last := byte('-')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isAlnum(c) && (c != '-' && c != '_' || !isAlnum(last)) {
			return false
		}
		last = c
	}
	return s != ""
}
