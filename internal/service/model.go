package service

import (
	"errors"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// The names of condition keys that calls to models have.
const (
	keyProfile   = "bedrock:inferenceprofilearn"
	keyGuardrail = "bedrock:guardrailidentifier"
	keyTier      = "bedrock:servicetier"
)

// Note writes the model that a call names into it: id as the caller wrote it, and what
// it led to.
func Note(c *call.Call, id string, t *catalog.Target) {
	c.ModelID, c.ModelARN, c.Legacy = id, t.ModelARN, t.Model.Lifecycle.Status == catalog.Legacy
}

// UseModel names what a call to a model must be allowed to use: the model, or the
// inference profile and, as a further need of the call, every model that it may
// lead to. These have the condition key bedrock:InferenceProfileArn.
//
// A prompt router needs itself and all of this of each of its models, with the
// condition key bedrock:PromptRouterArn.
//
// Refusals name what was asked for by modelID, as for an id that led nowhere.
//
// Source: Bedrock user guide, "Prerequisites for inference profiles".
func UseModel(c *call.Call, action, modelID string, t *catalog.Target) []string {
	if len(t.Resources) > 0 {
		SayModel(c, modelID, t.Resources[0])
	}
	if t.Router != nil {
		return useRouter(c, action, t.Router)
	}
	if t.ProfileARN != "" {
		c.Needs = append(c.Needs, destinations(action, t))
	}
	return t.Resources
}

// destinations is the permission for the models that a profile may lead to.
func destinations(action string, t *catalog.Target) call.Need {
	return call.Need{Action: action, Resources: t.Destinations, Keys: map[string][]string{keyProfile: {t.ProfileARN}}}
}

// modelNeeds are the permissions for a target that is not what the call itself names.
func modelNeeds(action string, t *catalog.Target) []call.Need {
	needs := []call.Need{{Action: action, Resources: t.Resources}}
	if t.ProfileARN != "" {
		needs = append(needs, destinations(action, t))
	}
	return needs
}

// Unresolved tells what to decide over when a model id led nowhere: what the id
// names by its form, as if it were there, so that nobody learns from the answer what
// there is who may not use it. ok is false for what is wrong with the form of an id,
// with its region or its account, and for trouble inside, all of which the caller may
// know at once.
func Unresolved(c *call.Call, modelID string, err error) (resources []string, ok bool) {
	e, is := errors.AsType[*apierr.Error](err)
	if !is || e.HTTPStatus() >= http.StatusInternalServerError {
		return nil, false
	}
	m, perr := arn.ParseModel(modelID)
	foreign := m.ARN.Account != "" && m.ARN.Account != c.Principal.Account
	if perr != nil || m.IsARN() && m.ARN.Region != c.Region || foreign && m.Kind != arn.KindApplicationProfile {
		return nil, false
	}
	name := modelID
	switch {
	case m.IsARN():
	case m.Kind == arn.KindFoundationModel:
		name = arn.FoundationModel(c.Region, modelID)
	case m.Kind == arn.KindSystemProfile:
		name = arn.InferenceProfile(c.Region, c.Principal.Account, modelID)
	case m.Kind == arn.KindApplicationProfile:
		name = arn.ApplicationInferenceProfile(c.Region, c.Principal.Account, modelID)
	default:
		name = arn.Bedrock(c.Region, c.Principal.Account, "provisioned-model", modelID)
	}
	if u, is := errors.AsType[*catalog.Unusable](err); is {
		name = u.ARN
	}
	SayModel(c, modelID, name)
	return []string{name}, true
}

// SayModel has refusals call a resource what its form tells of the id that the caller
// wrote: an ARN stays as it is, the id of a model or of a system profile becomes one,
// and a bare word, which may be of several kinds, stays a word.
func SayModel(c *call.Call, modelID, resource string) {
	if modelID == resource {
		return
	}
	if strings.HasPrefix(modelID, "arn:") || !strings.Contains(modelID, ".") {
		c.Says(resource, modelID)
		return
	}
	if name, ok := strings.CutSuffix(resource, modelID); ok && strings.HasSuffix(name, "/") {
		return
	}
	if m, err := arn.ParseModel(modelID); err == nil && m.Kind == arn.KindSystemProfile {
		c.Says(resource, arn.InferenceProfile(c.Region, c.Principal.Account, modelID))
		return
	}
	c.Says(resource, arn.FoundationModel(c.Region, modelID))
}

// UseGuardrail asks for the permission to apply a guardrail, whose identifier is an
// id or an ARN, and gives the call the condition key bedrock:GuardrailIdentifier:
// the ARN, with the version behind a colon unless it is the draft. It does nothing
// without an identifier.
//
// Source: Bedrock user guide, "Set up permissions to use guardrails for content
// filtering".
func UseGuardrail(c *call.Call, identifier, version *string) {
	if identifier == nil || *identifier == "" {
		return
	}
	name := *identifier
	if !strings.HasPrefix(name, "arn:") {
		name = arn.Bedrock(c.Region, c.Principal.Account, "guardrail", name)
	}
	c.Need("bedrock:ApplyGuardrail", name)
	if version != nil && *version != "" && *version != "DRAFT" {
		name += ":" + *version
	}
	c.SetKey(keyGuardrail, name)
}

// UseTier notes the service tier that a caller asks for, also as the condition key
// bedrock:ServiceTier; "" asks for none.
func UseTier(c *call.Call, tier string) {
	if tier != "" {
		c.Tier = tier
		c.SetKey(keyTier, tier)
	}
}
