// Package restjson turns HTTP requests of the restJson1 protocol into the
// generated input structs and generated output structs into responses.
//
// It walks the tables of package awsapi, so nothing here knows a single
// operation. Three steps stand apart because authorisation runs between them:
// Decode reads the syntax, Validate checks the constraints of the model, and
// AppendOutput and AppendEvent write the answer.
package restjson

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// HeaderErrorType is the response header that carries an error's code, in the
// canonical spelling of net/http.
const HeaderErrorType = "X-Amzn-Errortype"

// ContentType is the media type of JSON bodies.
const ContentType = "application/json"

// Codec reads and writes the operations of any number of services. It remembers
// what it has learned about each Go type, so a process should keep one. Safe
// for concurrent use.
type Codec struct {
	inputs  sync.Map // *awsapi.Operation -> *inputPlan
	outputs sync.Map // *awsapi.Operation -> *outputPlan
	streams sync.Map // streamKey -> *streamPlan

	mu       sync.Mutex // guards the building of plans
	plans    map[planKey]*plan
	patterns map[string]*pattern

	decoders   sync.Pool // *decoder
	validators sync.Pool // *validator
}

// New returns a codec. Plans are built when an operation is first used.
func New() *Codec {
	return &Codec{
		plans:      make(map[planKey]*plan),
		patterns:   make(map[string]*pattern),
		decoders:   sync.Pool{New: func() any { return new(decoder) }},
		validators: sync.Pool{New: func() any { return new(validator) }},
	}
}

// input returns the plan of op's input and the struct that in points to.
func (c *Codec) input(svc *awsapi.Service, op *awsapi.Operation, in any) (*inputPlan, reflect.Value, error) {
	v, err := structOf(in)
	if err != nil {
		return nil, v, fmt.Errorf("restjson: input of %s: %w", op.Name, err)
	}
	if p, ok := c.inputs.Load(op); ok {
		ip := p.(*inputPlan)
		if ip.body.typ != v.Type() {
			return nil, v, fmt.Errorf("restjson: input of %s is %s, not %s", op.Name, ip.body.typ, v.Type())
		}
		return ip, v, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ip, err := c.buildInput(svc, op, v.Type())
	if err != nil {
		return nil, v, fmt.Errorf("restjson: input of %s: %w", op.Name, err)
	}
	c.inputs.Store(op, ip)
	return ip, v, nil
}

// output is input for op's output.
func (c *Codec) output(svc *awsapi.Service, op *awsapi.Operation, out any) (*outputPlan, reflect.Value, error) {
	v, err := structOf(out)
	if err != nil {
		return nil, v, fmt.Errorf("restjson: output of %s: %w", op.Name, err)
	}
	if p, ok := c.outputs.Load(op); ok {
		o := p.(*outputPlan)
		if o.body.typ != v.Type() {
			return nil, v, fmt.Errorf("restjson: output of %s is %s, not %s", op.Name, o.body.typ, v.Type())
		}
		return o, v, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.buildOutput(svc, op, v.Type())
	if err != nil {
		return nil, v, fmt.Errorf("restjson: output of %s: %w", op.Name, err)
	}
	c.outputs.Store(op, o)
	return o, v, nil
}

// structOf returns the struct that ptr points to.
func structOf(ptr any) (reflect.Value, error) {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("%T is not a pointer to a struct", ptr)
	}
	return v.Elem(), nil
}
