package enginetest

import (
	"testing"

	"github.com/outcrop/outcrop/internal/engine"
)

// lines runs a request and looks whether an engine whose requests take turns counted
// its slot. One over engines without lines has none to tell of.
func (s *suite) lines(t *testing.T) {
	l, ok := s.Engine.(engine.Liner)
	if !ok {
		return
	}
	granted := func() (n uint64) {
		for _, line := range l.Lines() {
			if line.Mode == s.Chat.Mode {
				n += line.Granted
			}
		}
		return n
	}
	before := granted()
	s.collect(t, Ask("Hi", 1))
	if after := granted(); after == before && len(l.Lines()) > 0 {
		t.Errorf("%d requests were granted a slot before this one, and %d with it", before, after)
	}
}
