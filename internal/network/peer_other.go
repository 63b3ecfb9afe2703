//go:build !linux && !darwin && !freebsd

package network

import "net"

// sameUser cannot tell here; the socket lies in a private folder.
func sameUser(*net.UnixConn) error { return nil }
