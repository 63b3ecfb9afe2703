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
	k, sec, err := c.keys.LookupSigV4(ctx, id)
	if err != nil {
		return call.Principal{}, secret.Value{}, err
	}
	return k.Principal(), sec, nil
}

// Bearer implements gateway.Callers.
func (c rootCallers) Bearer(ctx context.Context, token secret.Value) (call.Principal, string, error) {
	if keys.TypeOf(token) == keys.ShortTerm {
		p, region, err := c.keys.VerifyShortTerm(ctx, token, c.SigV4)
		p.Bearer, p.BearerType = true, string(keys.ShortTerm)
		return p, region, err
	}
	k, err := c.keys.VerifyLongTerm(ctx, token)
	p := k.Principal()
	p.BearerType = string(keys.LongTerm)
	return p, "", err
}
