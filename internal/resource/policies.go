package resource

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/wire/arn"
)

// ErrNoPolicy says that a resource has no policy.
var ErrNoPolicy = errors.New("resource: no policy")

// Policy is the text of the policy of a resource; of an account-less one, the
// policy that caller put on it.
//
// Errors: ErrNoPolicy.
func (b *Book) Policy(name, caller string) (string, error) {
	a, err := arn.Parse(name)
	if err == nil {
		if f, ok := b.all.Get(keyOf(&a, caller, name)); ok && f.body.Policy != "" {
			return f.body.Policy, nil
		}
	}
	return "", ErrNoPolicy
}

// Policies yields the ARNs of all resources of an account that have a policy, with
// their policies, in no order. Policies that cannot be read are left out.
func (b *Book) Policies(account string) iter.Seq2[string, *policy.Document] {
	return func(yield func(string, *policy.Document) bool) {
		for e, f := range b.all.All() {
			if e.Account == account && f.policy != nil && !yield(e.Name, f.policy) {
				return
			}
		}
	}
}

// PutPolicy puts a policy on a resource, in the place of the one it had. On an
// account-less one it concerns the account of caller alone.
//
// Errors: *policy.Error when text is no resource-based policy, or is longer than
// policy.MaxResource characters.
func (b *Book) PutPolicy(ctx context.Context, name, caller, text string) error {
	if policy.Size([]byte(text), policy.Resource) > policy.MaxResource {
		return &policy.Error{Statement: -1, Reason: fmt.Sprintf("the policy is longer than %d characters", policy.MaxResource)}
	}
	if _, err := policy.Parse([]byte(text), policy.Resource); err != nil {
		return err
	}
	return b.change(ctx, name, caller, func(v *body) error {
		v.Policy = text
		return nil
	})
}

// DeletePolicy takes the policy off a resource.
//
// Errors: ErrNoPolicy.
func (b *Book) DeletePolicy(ctx context.Context, name, caller string) error {
	return b.change(ctx, name, caller, func(v *body) error {
		if v.Policy == "" {
			return ErrNoPolicy
		}
		v.Policy = ""
		return nil
	})
}
