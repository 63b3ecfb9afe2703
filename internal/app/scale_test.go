package app

import (
	"strings"
	"testing"
)

func TestPinnedWeightsAreKnown(t *testing.T) {
	t.Parallel()
	known := func(id string) bool { return id == "there" }
	if err := (&Engine{Pin: []string{"there"}, Preload: []string{"there"}}).checkWeights(known); err != nil {
		t.Error(err)
	}
	for key, e := range map[string]Engine{"pin": {Pin: []string{"gone"}}, "preload": {Preload: []string{"there", "gone"}}} {
		if err := e.checkWeights(known); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "gone") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
