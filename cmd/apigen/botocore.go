package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The raw* types read botocore's service-2.json. They name every key that the
// models of our services use; a key that is not here makes fetch fail, so that
// no fact is lost unnoticed. Keys without meaning for a server are prose.

// prose swallows a value that is not kept.
type prose struct{}

// UnmarshalJSON accepts and drops any value.
func (*prose) UnmarshalJSON([]byte) error { return nil }

type rawModel struct {
	Version       prose                   `json:"version"`
	Documentation prose                   `json:"documentation"`
	Metadata      rawMetadata             `json:"metadata"`
	Operations    map[string]rawOperation `json:"operations"`
	Shapes        map[string]rawShape     `json:"shapes"`
}

type rawMetadata struct {
	APIVersion          string   `json:"apiVersion"`
	ServiceID           string   `json:"serviceId"`
	EndpointPrefix      string   `json:"endpointPrefix"`
	SigningName         string   `json:"signingName"`
	Protocol            string   `json:"protocol"`
	TargetPrefix        string   `json:"targetPrefix"`
	XMLNamespace        string   `json:"xmlNamespace"`
	Auth                []string `json:"auth"`
	SignatureVersion    string   `json:"signatureVersion"`
	JSONVersion         string   `json:"jsonVersion"`
	Protocols           prose    `json:"protocols"`
	ProtocolSettings    prose    `json:"protocolSettings"`
	ServiceFullName     prose    `json:"serviceFullName"`
	ServiceAbbreviation prose    `json:"serviceAbbreviation"`
	GlobalEndpoint      prose    `json:"globalEndpoint"`
	UID                 prose    `json:"uid"`
}

type rawOperation struct {
	Name string `json:"name"`
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input         *rawRef  `json:"input"`
	Output        *rawRef  `json:"output"`
	Errors        []rawRef `json:"errors"`
	Auth          []string `json:"auth"`
	AuthType      prose    `json:"authtype"`
	Documentation prose    `json:"documentation"`
	Idempotent    prose    `json:"idempotent"`
	ReadOnly      prose    `json:"readonly"`
}

type rawRef struct {
	Shape             string `json:"shape"`
	Location          string `json:"location"`
	LocationName      string `json:"locationName"`
	IdempotencyToken  bool   `json:"idempotencyToken"`
	TimestampFormat   string `json:"timestampFormat"`
	ResultWrapper     string `json:"resultWrapper"`
	Documentation     prose  `json:"documentation"`
	Box               prose  `json:"box"`
	JSONValue         prose  `json:"jsonvalue"` // JSON text inside a string: a string on the wire
	Deprecated        prose  `json:"deprecated"`
	DeprecatedMessage prose  `json:"deprecatedMessage"`
	DeprecatedSince   prose  `json:"deprecatedSince"`
}

type rawShape struct {
	Type            string     `json:"type"`
	Members         rawMembers `json:"members"`
	Required        []string   `json:"required"`
	Payload         string     `json:"payload"`
	Member          *rawRef    `json:"member"`
	Key             *rawRef    `json:"key"`
	Value           *rawRef    `json:"value"`
	Min             *float64   `json:"min"`
	Max             *float64   `json:"max"`
	Pattern         string     `json:"pattern"`
	Enum            []string   `json:"enum"`
	TimestampFormat string     `json:"timestampFormat"`
	Union           bool       `json:"union"`
	Document        bool       `json:"document"`
	EventStream     bool       `json:"eventstream"`
	Sensitive       bool       `json:"sensitive"`
	Exception       bool       `json:"exception"`
	Error           *struct {
		HTTPStatusCode int    `json:"httpStatusCode"`
		Code           string `json:"code"`
		SenderFault    bool   `json:"senderFault"`
	} `json:"error"`
	Fault         bool   `json:"fault"`
	Retryable     *prose `json:"retryable"`
	Event         prose  `json:"event"` // implied: a structure member of an event stream
	Box           prose  `json:"box"`
	Documentation prose  `json:"documentation"`
}

// rawMembers is a JSON object whose key order matters: it is the order of the
// fields of the Go struct.
type rawMembers []rawMember

type rawMember struct {
	name string
	rawRef
}

// UnmarshalJSON reads the object key by key.
func (m *rawMembers) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("members: want an object, got %v (%w)", t, err)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("members: want a key, got %v", t)
		}
		mem := rawMember{name: name}
		if err := d.Decode(&mem.rawRef); err != nil {
			return fmt.Errorf("member %s: %w", name, err)
		}
		*m = append(*m, mem)
	}
	return nil
}

// rawPaginators reads botocore's paginators-1.json.
type rawPaginators struct {
	Pagination map[string]struct {
		InputToken   string   `json:"input_token"`
		OutputToken  string   `json:"output_token"`
		MoreResults  string   `json:"more_results"`
		LimitKey     string   `json:"limit_key"`
		ResultKey    rawNames `json:"result_key"`
		NonAggregate prose    `json:"non_aggregate_keys"` // advice to clients
	} `json:"pagination"`
}

// rawNames is one name or a list of them.
type rawNames []string

// UnmarshalJSON reads either form.
func (n *rawNames) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(n))
	}
	*n = make([]string, 1)
	return json.Unmarshal(data, &(*n)[0])
}

// strip turns one botocore model and its paginators into facts.
func strip(name string, model, paginators []byte) (*facts, error) {
	var m rawModel
	if err := decodeStrict(model, &m); err != nil {
		return nil, fmt.Errorf("%s: service-2.json: %w", name, err)
	}
	var p rawPaginators
	if err := decodeStrict(paginators, &p); err != nil {
		return nil, fmt.Errorf("%s: paginators-1.json: %w", name, err)
	}
	if m.Metadata.SignatureVersion != "v4" {
		return nil, fmt.Errorf("%s: signature version %q", name, m.Metadata.SignatureVersion)
	}
	f := &facts{
		Service:      name,
		APIVersion:   m.Metadata.APIVersion,
		ServiceID:    m.Metadata.ServiceID,
		SigningName:  m.Metadata.SigningName,
		Protocol:     m.Metadata.Protocol,
		TargetPrefix: m.Metadata.TargetPrefix,
		JSONVersion:  m.Metadata.JSONVersion,
		XMLNamespace: m.Metadata.XMLNamespace,
		Auth:         m.Metadata.Auth,
	}
	if f.Protocol != "json" { // some models of other protocols name one too
		f.JSONVersion = ""
	}
	if f.SigningName == "" {
		f.SigningName = m.Metadata.EndpointPrefix
	}
	for key, ro := range m.Operations {
		o, err := stripOperation(ro)
		if err != nil {
			return nil, fmt.Errorf("%s: operation %s: %w", name, key, err)
		}
		if pg, ok := p.Pagination[key]; ok {
			o.Pagination = &pagination{
				InputToken: pg.InputToken, OutputToken: pg.OutputToken, MoreResults: pg.MoreResults,
				LimitKey: pg.LimitKey, ResultKey: strings.Join(pg.ResultKey, ","),
			}
		}
		f.Operations = append(f.Operations, o)
	}
	for key, rs := range m.Shapes {
		s, err := stripShape(key, &rs)
		if err != nil {
			return nil, fmt.Errorf("%s: shape %s: %w", name, key, err)
		}
		f.Shapes = append(f.Shapes, s)
	}
	f.sort()
	return f, nil
}

func stripOperation(ro rawOperation) (operation, error) {
	o := operation{
		Name:   ro.Name,
		Method: ro.HTTP.Method,
		URI:    ro.HTTP.RequestURI,
		Status: ro.HTTP.ResponseCode,
		Auth:   ro.Auth,
	}
	if o.Status == 0 {
		o.Status = 200
	}
	if ro.Input != nil {
		o.Input = ro.Input.Shape
	}
	if ro.Output != nil {
		o.Output = ro.Output.Shape
		// The query codec derives the wrapper from the operation's name.
		if w := ro.Output.ResultWrapper; w != "" && w != ro.Name+"Result" {
			return o, fmt.Errorf("result wrapper %q is not %sResult", w, ro.Name)
		}
	}
	for _, e := range ro.Errors {
		o.Errors = append(o.Errors, e.Shape)
	}
	slices.Sort(o.Errors)
	return o, nil
}

func stripShape(name string, rs *rawShape) (shape, error) {
	s := shape{
		Name: name, Type: rs.Type, Payload: rs.Payload, Min: rs.Min, Max: rs.Max,
		Pattern: rs.Pattern, Enum: rs.Enum, TimestampFormat: rs.TimestampFormat,
		Union: rs.Union, Document: rs.Document, EventStream: rs.EventStream, Sensitive: rs.Sensitive,
	}
	switch {
	case !rs.Exception && rs.Error != nil:
		return s, errors.New("error facts, but no exception")
	case rs.Exception && rs.Error == nil:
		// JSON and query models leave out what their protocols set: 500 for a
		// fault of the server, 400 for all others.
		s.Error = &shapeError{Status: 400, Sender: true, Retryable: rs.Retryable != nil}
		if rs.Fault {
			s.Error.Status, s.Error.Sender = 500, false
		}
	case rs.Error != nil:
		s.Error = &shapeError{
			Status: rs.Error.HTTPStatusCode, Code: rs.Error.Code,
			Sender: rs.Error.SenderFault, Retryable: rs.Retryable != nil,
		}
	}
	if rs.Key != nil {
		s.Key = rs.Key.Shape
	}
	for _, r := range []*rawRef{rs.Member, rs.Value} {
		if r != nil {
			s.Elem = r.Shape
			if r.LocationName != "" {
				return s, fmt.Errorf("element with the wire name %q", r.LocationName)
			}
		}
	}
	known := map[string]bool{}
	for _, m := range rs.Members {
		known[m.name] = true
		s.Members = append(s.Members, member{
			Name: m.name, Shape: m.Shape, Location: m.Location, LocationName: m.LocationName,
			Required:         slices.Contains(rs.Required, m.name),
			IdempotencyToken: m.IdempotencyToken, TimestampFormat: m.TimestampFormat,
		})
	}
	for _, r := range rs.Required {
		if !known[r] {
			return s, fmt.Errorf("requires the unknown member %q", r)
		}
	}
	return s, nil
}

// decodeStrict is json.Unmarshal that refuses keys the target lacks.
func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
