package anthropic

import (
	"bytes"

	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/body"
)

// Direct is a Messages body in the form of Anthropic's own API: it names its
// model and whether it streams, and needs no anthropic_version.
type Direct struct {
	Model  string // as the caller wrote it
	Stream bool   // the reply is wanted as events

	family Family
	root   *body.Value
}

// Direct reads the model and the form of the reply. What else is wrong with the
// body is told by Text.
//
// Errors: ValidationException, as Parse.
func (f Family) Direct(data []byte) (*Direct, error) {
	root, err := body.Parse(data)
	if err != nil {
		return nil, err
	}
	root.Require("model")
	d := &Direct{family: f, root: root, Model: root.Get("model").Text(body.Length{Min: 1, Max: 2048})}
	if stream := present(root.Get("stream")).Bool(); stream != nil {
		d.Stream = *stream
	}
	if err := root.Err(); err != nil {
		return nil, err
	}
	return d, nil
}

// Text reads the conversation for m, the model behind d.Model. It is called
// once. Replies name the model as the caller did; their streams end without
// Bedrock's metrics.
func (d *Direct) Text(m family.Model) (family.Text, error) {
	t, err := d.family.parseMessages(m, d.root, true)
	if err != nil {
		return nil, err
	}
	t.model = d.Model
	return t, nil
}

// EventName is the type of a chunk of Messages, which is also the name of its
// event in Anthropic's own API: "message_start", "content_block_delta", ...
func EventName(chunk []byte) string {
	_, rest, _ := bytes.Cut(chunk, []byte(`"type":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(name)
}
