package body

import (
	"slices"
	"testing"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	v := parse(t, `{"b":{"z":1,"":2},"a":[]}`)
	if got := v.Keys(); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("keys %q", got)
	}
	if got := v.Get("b").Keys(); !slices.Equal(got, []string{"z", ""}) {
		t.Errorf("keys %q", got)
	}
	if v.Get("a").Keys() != nil || v.Get("none").Keys() != nil {
		t.Error("a value that is no object has keys")
	}
}
