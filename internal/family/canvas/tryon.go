package canvas

import (
	"strings"

	"github.com/outcrop/outcrop/internal/family/body"
)

// garments are the values of garmentClass.
func garments() []string {
	return []string{
		"UPPER_BODY", "LOWER_BODY", "FULL_BODY", "FOOTWEAR",
		"LONG_SLEEVE_SHIRT", "SHORT_SLEEVE_SHIRT", "NO_SLEEVE_SHIRT", "OTHER_UPPER_BODY",
		"LONG_PANTS", "SHORT_PANTS", "OTHER_LOWER_BODY",
		"LONG_DRESS", "SHORT_DRESS", "FULL_BODY_OUTFIT", "OTHER_FULL_BODY",
		"SHOES", "BOOTS", "OTHER_FOOTWEAR",
	}
}

// tryOn puts what the second picture shows into the first one. The mask is a
// picture, a description, or a kind of garment, which becomes a description.
//
// Source: Amazon Nova user guide, "Virtual try-on".
func (rd *reader) tryOn(p *body.Value) {
	p.Require("sourceImage", "referenceImage", "maskType")
	rd.addImage(p, "sourceImage")
	rd.addImage(p, "referenceImage")
	key := ""
	switch p.Get("maskType").Enum("IMAGE", "GARMENT", "PROMPT") {
	case "IMAGE":
		key = "imageBasedMask"
	case "GARMENT":
		key = "garmentBasedMask"
	case "PROMPT":
		key = "promptBasedMask"
	}
	if key != "" {
		p.Require(key)
	}
	rd.tryOnMask(p)
	p.Get("mergeStyle").Enum("BALANCED", "SEAMLESS", "DETAILED")
	p.Get("returnMask").Bool()
	if e := p.Get("maskExclusions").Object(); e != nil {
		for _, part := range [...]string{"preserveBodyPose", "preserveHands", "preserveFace"} {
			e.Get(part).Enum("ON", "OFF", "DEFAULT")
		}
		e.Close()
	}
}

func (rd *reader) tryOnMask(p *body.Value) {
	if m := p.Get("imageBasedMask").Object(); m != nil {
		m.Require("maskImage")
		rd.req.Mask = rd.image(m.Get("maskImage"))
		m.Close()
	}
	if m := p.Get("promptBasedMask").Object(); m != nil {
		m.Require("maskPrompt")
		maskShape(m)
		rd.req.MaskPrompt = m.Get("maskPrompt").Text(body.Length{Min: 1, Max: rd.rules.MaxText})
		m.Close()
	}
	if m := p.Get("garmentBasedMask").Object(); m != nil {
		m.Require("garmentClass")
		maskShape(m)
		class := m.Get("garmentClass").Enum(garments()...)
		rd.req.MaskPrompt = strings.ToLower(strings.ReplaceAll(class, "_", " "))
		garmentStyle(m.Get("garmentStyling").Object())
		m.Close()
	}
}

func maskShape(m *body.Value) { m.Get("maskShape").Enum("CONTOUR", "BOUNDING_BOX", "DEFAULT") }

func garmentStyle(s *body.Value) {
	if s == nil {
		return
	}
	s.Get("longSleeveStyle").Enum("SLEEVE_DOWN", "SLEEVE_UP")
	s.Get("tuckingStyle").Enum("UNTUCKED", "TUCKED")
	s.Get("outerLayerStyle").Enum("CLOSED", "OPEN")
	s.Close()
}
