package app

import (
	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/anthropic"
	"github.com/outcrop/outcrop/internal/family/chat"
	"github.com/outcrop/outcrop/internal/family/openai"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/direct"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// directRoutes are the providers' own APIs.
func directRoutes(c *catalog.Catalog, infer agreement.Gate) []service.Direct {
	return direct.New(direct.Config{
		Catalog: c, Inference: infer, Access: infer.Agreements, OpenAI: readOpenAI, Anthropic: readAnthropic, EventName: anthropic.EventName,
	}).Routes()
}

// readOpenAI reads a Chat Completions body as far as its model.
func readOpenAI(body []byte) (direct.Body, error) {
	head, err := chat.ReadHead(body)
	if err != nil {
		return direct.Body{}, err
	}
	return direct.Body{Model: head.Model, Tier: head.Tier, Stream: head.Stream, Text: func(m family.Model) (family.Text, error) {
		task, err := openai.Family{}.Parse(m, body)
		if err != nil {
			return nil, err
		}
		text, ok := task.(family.Text)
		if !ok {
			return nil, apierr.Validation("The model %q does not hold conversations.", head.Model)
		}
		return text, nil
	}}, nil
}

// readAnthropic reads a Messages body as far as its model.
func readAnthropic(body []byte) (direct.Body, error) {
	d, err := anthropic.Family{}.Direct(body)
	if err != nil {
		return direct.Body{}, err
	}
	return direct.Body{Model: d.Model, Stream: d.Stream, Text: d.Text}, nil
}
