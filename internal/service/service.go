// Package service binds API operations to the methods that serve them.
//
// Each AWS service is one folder below this one. Its Routes method lists the
// bound operations; everything else of the API answers 501 in AWS form.
package service

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// Route is a bound operation.
type Route struct {
	Service   *awsapi.Service
	Operation *awsapi.Operation
	NewInput  func() any // pointer to a zero input struct
	// Serve answers one decoded, authorised and validated request. in is what
	// NewInput made; the result is a pointer to the operation's output struct. It
	// may clear what it needs no longer of in, so that large parts are let go.
	Serve func(ctx context.Context, c *call.Call, in any) (any, error)
	// Resources names the ARNs that the caller must be allowed to use, and fills
	// the call's model facts. nil means "*".
	Resources func(ctx context.Context, c *call.Call, in any) ([]string, error)
}

// Bind ties an operation to its handler.
func Bind[In, Out any](op awsapi.Op[In, Out], h func(context.Context, *call.Call, *In) (*Out, error)) Route {
	return Route{
		Service:   op.Service,
		Operation: op.Operation,
		NewInput:  func() any { return new(In) },
		Serve: func(ctx context.Context, c *call.Call, in any) (any, error) {
			out, err := h(ctx, c, in.(*In))
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}

// BindResource is Bind for an operation that acts on named resources.
func BindResource[In, Out any](op awsapi.Op[In, Out], resources func(context.Context, *call.Call, *In) ([]string, error), h func(context.Context, *call.Call, *In) (*Out, error)) Route {
	r := Bind(op, h)
	r.Resources = func(ctx context.Context, c *call.Call, in any) ([]string, error) {
		return resources(ctx, c, in.(*In))
	}
	return r
}
