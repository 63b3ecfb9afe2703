package keys

import (
	"context"
	"fmt"
)

// NoteUse notes the last use of a key; it never makes it older. A key that is gone
// is no error.
func (s *Service) NoteUse(ctx context.Context, id string, u Use) error {
	if err := s.store.SetKeyUse(ctx, id, u); err != nil {
		return fmt.Errorf("key %s: %w", id, err)
	}
	return nil
}
