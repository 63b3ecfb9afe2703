package keys

import (
	"context"
	"fmt"
)

// Owned returns the keys of a user of an account, or of its root when owner is "",
// oldest first. It asks the store.
func (s *Service) Owned(ctx context.Context, account, owner string) ([]Key, error) {
	list, err := s.store.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var out []Key
	for _, st := range list {
		if st.Account == account && st.Owner == owner {
			out = append(out, public(st))
		}
	}
	return out, nil
}

// Get returns a key, active or not. It asks the store. Errors: ErrNotFound.
func (s *Service) Get(ctx context.Context, id string) (Key, error) {
	st, err := s.store.GetKey(ctx, id)
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", id, err)
	}
	return public(st), nil
}
