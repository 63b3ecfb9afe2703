package sts

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// callerIdentity answers every authenticated caller; it needs no permission.
func (s *Service) callerIdentity(_ context.Context, c *call.Call, _ *api.GetCallerIdentityInput) (*api.GetCallerIdentityOutput, error) {
	return &api.GetCallerIdentityOutput{
		UserId:  new(c.Principal.UserID),
		Account: new(c.Principal.Account),
		Arn:     new(c.Principal.ARN),
	}, nil
}

// accessKeyInfo tells which account an access key is of, also one of another
// account, and whether or not it still works. That is all it tells.
//
// Errors: ValidationError for a key that nobody has.
func (s *Service) accessKeyInfo(ctx context.Context, _ *call.Call, in *api.GetAccessKeyInfoInput) (*api.GetAccessKeyInfoOutput, error) {
	if account, ok := session.Account(*in.AccessKeyId); ok {
		return &api.GetAccessKeyInfoOutput{Account: new(account)}, nil
	}
	k, err := s.cfg.Keys.Get(ctx, *in.AccessKeyId)
	if errors.Is(err, keys.ErrNotFound) || err == nil && k.Kind != keys.SigV4 {
		return nil, apierr.Validation("AccessKeyId: there is no access key with this id")
	}
	if err != nil {
		return nil, err
	}
	return &api.GetAccessKeyInfoOutput{Account: new(k.Account)}, nil
}

// decodeMessage shows why a call of the caller's account was refused.
//
// Errors: InvalidAuthorizationMessageException for what is no such message, and for
// one of another account.
func (s *Service) decodeMessage(_ context.Context, c *call.Call, in *api.DecodeAuthorizationMessageInput) (*api.DecodeAuthorizationMessageOutput, error) {
	if s.cfg.Unseal != nil {
		if plain, err := s.cfg.Unseal(*in.EncodedMessage); err == nil {
			if text, err := access.DecodeReason(plain, c.Principal.Account); err == nil {
				return &api.DecodeAuthorizationMessageOutput{DecodedMessage: new(text)}, nil
			}
		}
	}
	return nil, badRequest("InvalidAuthorizationMessageException", "Message is not valid")
}
