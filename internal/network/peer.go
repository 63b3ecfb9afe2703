package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// checkUser compares the user of a peer with ours.
func checkUser(peer int64, own int) error {
	if peer != int64(own) {
		return fmt.Errorf("it comes from a process of user %d", peer)
	}
	return nil
}

// ListenUnix makes a unix socket at path that its owner alone may use (mode
// 0600). A socket file that a dead server left is replaced; one that answers, and
// any other file, is an error. Closing the listener removes the file.
func ListenUnix(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("listen on unix:%s: a file that is no socket is there", path)
	default:
		if err := stale(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, errors.Join(err, l.Close()))
	}
	return l, nil
}

// stale removes a socket file behind which nobody listens.
func stale(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close() // it only had to answer
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen on unix:%s: another program listens there", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen on unix:%s: remove the socket of a dead server: %w", path, err)
	}
	return nil
}
