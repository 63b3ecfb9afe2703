package weights

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockPoll is how often a waiting process looks whether a lock is free.
const lockPoll = 200 * time.Millisecond

// lock takes the right to change one id, and waits for another process or
// goroutine that has it. The kernel frees the lock when its holder dies.
func (s *Store) lock(ctx context.Context, id string, p Progress) (func(), error) {
	return Lock(ctx, filepath.Join(s.c.Dir, ".locks", id+".lock"), "wait for another outcrop that installs "+id, p)
}

// Lock takes the lock file at path, across processes, and creates it with its
// folder. While another holder has it, waiting is shown on p. The returned
// function frees it.
func Lock(ctx context.Context, path, waiting string, p Progress) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", Explain(err, filepath.Dir(path)))
	}
	l := flock.New(path, flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err == nil && !ok {
		step := start(p, waiting, 0)
		ok, err = l.TryLockContext(ctx, lockPoll)
		step.Done(err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", filepath.Base(path), err)
	}
	if !ok {
		return nil, fmt.Errorf("lock %s: not granted", filepath.Base(path))
	}
	return func() { _ = l.Unlock() }, nil
}
