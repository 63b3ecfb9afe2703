//go:build !unix

package h1

// watcher cannot look at connections on this platform.
type watcher struct{}

func (*watcher) init(any) {}

func (*watcher) silent() bool { return true }
