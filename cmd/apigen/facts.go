package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// facts is one file of api/models: what a model says about one API, without a
// word of its prose.
type facts struct {
	Service      string      `json:"service"`
	APIVersion   string      `json:"apiVersion"`
	ServiceID    string      `json:"serviceId"`
	SigningName  string      `json:"signingName"`
	Protocol     string      `json:"protocol"`
	TargetPrefix string      `json:"targetPrefix,omitempty"`
	JSONVersion  string      `json:"jsonVersion,omitempty"`
	XMLNamespace string      `json:"xmlNamespace,omitempty"`
	Auth         []string    `json:"auth,omitempty"`
	Operations   []operation `json:"operations"`
	Shapes       []shape     `json:"shapes"`
}

// operation is one operation of an API.
type operation struct {
	Name       string      `json:"name"`
	Method     string      `json:"method"`
	URI        string      `json:"uri"`
	Status     int         `json:"status"`
	Input      string      `json:"input,omitempty"`
	Output     string      `json:"output,omitempty"`
	Errors     []string    `json:"errors,omitempty"`
	Auth       []string    `json:"auth,omitempty"`
	Pagination *pagination `json:"pagination,omitempty"`

	void bool // no output is modelled; build gives it an empty one
}

// pagination names the members that page an operation.
type pagination struct {
	InputToken  string `json:"inputToken"`
	OutputToken string `json:"outputToken"`
	MoreResults string `json:"moreResults,omitempty"`
	LimitKey    string `json:"limitKey,omitempty"`
	ResultKey   string `json:"resultKey,omitempty"` // comma-separated where there are several
}

// shape is one type of an API.
type shape struct {
	Name            string      `json:"name"`
	Type            string      `json:"type"`
	Members         []member    `json:"members,omitempty"`
	Payload         string      `json:"payload,omitempty"`
	Elem            string      `json:"elem,omitempty"`
	Key             string      `json:"key,omitempty"`
	Min             *float64    `json:"min,omitempty"`
	Max             *float64    `json:"max,omitempty"`
	Pattern         string      `json:"pattern,omitempty"`
	Enum            []string    `json:"enum,omitempty"`
	TimestampFormat string      `json:"timestampFormat,omitempty"`
	Union           bool        `json:"union,omitempty"`
	Document        bool        `json:"document,omitempty"`
	EventStream     bool        `json:"eventStream,omitempty"`
	Sensitive       bool        `json:"sensitive,omitempty"`
	Error           *shapeError `json:"error,omitempty"`
}

// shapeError marks a structure as an exception.
type shapeError struct {
	Status    int    `json:"status"`
	Code      string `json:"code,omitempty"`
	Sender    bool   `json:"sender,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`
}

// member is one member of a structure.
type member struct {
	Name             string `json:"name"`
	Shape            string `json:"shape"`
	Location         string `json:"location,omitempty"`
	LocationName     string `json:"locationName,omitempty"`
	Required         bool   `json:"required,omitempty"`
	IdempotencyToken bool   `json:"idempotencyToken,omitempty"`
	TimestampFormat  string `json:"timestampFormat,omitempty"`
}

// encode renders f as JSON with one operation or shape per line, sorted by
// name, so that the change between two releases reads well. Members keep the
// order of the model.
func (f *facts) encode() ([]byte, error) {
	head := *f
	head.Operations, head.Shapes = nil, nil
	hb, err := marshal(head)
	if err != nil {
		return nil, err
	}
	// The head ends in `"operations":null,"shapes":null}`: cut it open there.
	cut := bytes.Index(hb, []byte(`"operations":null`))
	if cut < 0 {
		return nil, fmt.Errorf("%s: head lacks its operations", f.Service)
	}
	var b bytes.Buffer
	b.Write(hb[:cut])
	if err := encodeLines(&b, "operations", f.Operations); err != nil {
		return nil, err
	}
	b.WriteString(",\n")
	if err := encodeLines(&b, "shapes", f.Shapes); err != nil {
		return nil, err
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// encodeLines writes one JSON array with one item per line.
func encodeLines[T any](b *bytes.Buffer, key string, items []T) error {
	fmt.Fprintf(b, "%q:[", key)
	for i, it := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		line, err := marshal(it)
		if err != nil {
			return err
		}
		b.Write(line)
	}
	b.WriteString("\n]")
	return nil
}

// marshal is json.Marshal that leaves <, > and & alone: patterns hold them.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// decodeFacts reads a file that encode wrote. An unknown key is an error.
func decodeFacts(data []byte) (*facts, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	f := new(facts)
	if err := d.Decode(f); err != nil {
		return nil, err
	}
	return f, nil
}

// sort puts operations and shapes in the order of their names.
func (f *facts) sort() {
	slices.SortFunc(f.Operations, func(a, b operation) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Shapes, func(a, b shape) int { return strings.Compare(a.Name, b.Name) })
}
