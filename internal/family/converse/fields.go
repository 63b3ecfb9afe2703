package converse

import (
	"crypto/rand"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// isPointer reports whether s is a JSON Pointer (RFC 6901) to a member.
func isPointer(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}

// field is one member of the response that a model would have made natively: a
// JSON text, or an object of further members.
type field struct {
	name string
	json []byte
	kids []field
}

// fields is additionalModelResponseFields: what the paths of the request point to
// in the model's own response, nested as there. What it lacks is left out; nil when
// nothing is left.
//
// The response is that of Claude's Messages without its content, which Converse
// has already: id, type, role, model, stop_reason, stop_sequence and usage.
func (c Codec) fields(m family.Model, in *rt.ConverseInput, reason llm.StopReason, stop string, u llm.Usage, cached bool) awsapi.Document {
	if len(in.AdditionalModelResponseFieldPaths) == 0 {
		return nil
	}
	root := c.native(m, reason, stop, u, cached)
	var out field
	for _, path := range in.AdditionalModelResponseFieldPaths {
		if isPointer(path) {
			pick(&out, &root, strings.Split(path[1:], "/"))
		}
	}
	if len(out.kids) == 0 {
		return nil
	}
	return out.append(nil)
}

func (c Codec) native(m family.Model, reason llm.StopReason, stop string, u llm.Usage, cached bool) field {
	id := c.NewID
	if id == nil {
		id = func() string { return "msg_bdrk_" + rand.Text() }
	}
	if reason == "" {
		reason = llm.EndTurn
	}
	str := func(name, s string) field { return field{name: name, json: body.AppendString(nil, s)} }
	num := func(name string, n int) field { return field{name: name, json: body.AppendInt(nil, n)} }
	tokens := field{name: "usage", kids: []field{num("input_tokens", u.Uncached()), num("output_tokens", u.OutputTokens)}}
	if cached {
		tokens.kids = append(tokens.kids, num("cache_creation_input_tokens", u.CacheWrite), num("cache_read_input_tokens", u.CacheRead))
	}
	return field{kids: []field{
		str("id", id()), str("type", "message"), str("role", string(llm.Assistant)), str("model", m.ID),
		str("stop_reason", string(reason)), {name: "stop_sequence", json: body.AppendStringOrNull(nil, stop)}, tokens,
	}}
}

// pick copies the member that the steps of a pointer lead to.
func pick(to, from *field, steps []string) {
	if len(steps) == 0 {
		to.json, to.kids = from.json, from.kids
		return
	}
	name := strings.ReplaceAll(strings.ReplaceAll(steps[0], "~1", "/"), "~0", "~")
	at := func(f field) bool { return f.name == name }
	i := slices.IndexFunc(from.kids, at)
	if i < 0 || len(steps) > 1 && !leads(&from.kids[i], steps[1:]) {
		return
	}
	j := slices.IndexFunc(to.kids, at)
	if j < 0 {
		j = len(to.kids)
		to.kids = append(slices.Clip(to.kids), field{name: name})
	}
	pick(&to.kids[j], &from.kids[i], steps[1:])
}

// leads reports whether there is a member at the end of steps.
func leads(from *field, steps []string) bool {
	for _, s := range steps {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
		i := slices.IndexFunc(from.kids, func(f field) bool { return f.name == s })
		if i < 0 {
			return false
		}
		from = &from.kids[i]
	}
	return true
}

func (f *field) append(dst []byte) []byte {
	if f.json != nil {
		return append(dst, f.json...)
	}
	dst = append(dst, '{')
	for i := range f.kids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(body.AppendString(dst, f.kids[i].name), ':')
		dst = f.kids[i].append(dst)
	}
	return append(dst, '}')
}
