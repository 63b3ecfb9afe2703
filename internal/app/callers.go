package app

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// rootCallers knows the owners of keys: roots of their accounts.
type rootCallers struct{ keys *keys.Service }

// SigV4 implements gateway.Callers.
func (c rootCallers) SigV4(ctx context.Context, id, token string) (call.Principal, secret.Value, error) {
	if token != "" {
		return call.Principal{}, secret.Value{}, sigv4.Unrecognized()
	}
	return c.keys.SigV4(ctx, id)
}

// Bearer implements gateway.Callers.
func (c rootCallers) Bearer(ctx context.Context, token secret.Value) (call.Principal, string, error) {
	g, err := c.keys.VerifyBearer(ctx, token)
	if err != nil {
		return call.Principal{}, "", err
	}
	return g.Principal(), g.Region, nil
}
