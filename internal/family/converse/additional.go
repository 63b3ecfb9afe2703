package converse

import (
	"errors"
	"math"

	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// maxTopK is the largest top-k of the families.
const maxTopK = 500

// additional reads additionalModelRequestFields: what the models' native bodies
// have beyond inferenceConfig. Known are "top_k" (Claude, Mistral), "k"
// (Cohere), "inferenceConfig": {"topK"} (Nova), "seed" (Cohere), and, without
// effect, "anthropic_beta", "anthropic_version" and thinking that is switched
// off. Every other key is refused by name, as a model refuses it.
func additional(p *llm.Params, fields awsapi.Document) error {
	if len(fields) == 0 {
		return nil
	}
	root, err := body.Parse(fields)
	if err != nil {
		return fromModel(err)
	}
	for _, key := range [...]string{"messages", "system", "max_tokens", "temperature", "top_p", "stop_sequences"} {
		if root.Has(key) {
			return apierr.Validation("The additional field %s conflicts with an existing field.", key)
		}
	}
	k := body.Range{Max: maxTopK}
	topK(p, root.Get("top_k").Int(k))
	topK(p, root.Get("k").Int(k))
	if c := root.Get("inferenceConfig").Object(); c != nil {
		topK(p, c.Get("topK").Int(k))
		c.Close()
	}
	if n := root.Get("seed").Int(body.Range{Min: math.MinInt32, Max: math.MaxInt32}); n != nil {
		p.Seed = new(int64(*n))
	}
	root.Get("anthropic_beta").Texts(body.Length{})
	root.Get("anthropic_version").Text(body.Length{})
	if t := root.Get("thinking").Object(); t != nil {
		t.Require("type")
		t.Get("type").Enum("disabled")
		t.Close()
	}
	root.Close()
	if err := root.Err(); err != nil {
		return fromModel(err)
	}
	return nil
}

func topK(p *llm.Params, n *int) {
	if n != nil {
		p.TopK = n
	}
}

// fromModel marks a refusal as the model's own.
func fromModel(err error) error {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return apierr.Validation("The model returned the following errors: %s", e.Message)
	}
	return err
}
