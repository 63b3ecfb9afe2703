package restjson

import (
	"crypto/sha256"
	"fmt"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// TokenOf returns the idempotency token of in, a pointer to op's input struct,
// and a hash of everything else in it: two inputs have equal hashes when they
// are equal but for the token. Free-form documents count as the bytes that came.
//
// ok is false when op has no such member or the caller sent none. An error means
// that in does not fit op.
func (c *Codec) TokenOf(svc *awsapi.Service, op *awsapi.Operation, in any) (token string, hash [sha256.Size]byte, ok bool, err error) {
	if op.Input == 0 {
		return "", hash, false, nil
	}
	ip, v, err := c.input(svc, op, in)
	if err != nil {
		return "", hash, false, err
	}
	if ip.token < 0 || v.Field(ip.token).IsNil() {
		return "", hash, false, nil
	}
	token = v.Field(ip.token).Elem().String()
	text, err := appendMembers([]byte(op.Name), ip.body, v, func(f *field) bool {
		return !f.member.IdempotencyToken && !f.shape.EventStream
	})
	if err != nil {
		return "", hash, false, fmt.Errorf("restjson: hash of %s: %w", op.Name, err)
	}
	return token, sha256.Sum256(text), true, nil
}
