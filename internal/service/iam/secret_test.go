package iam_test

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

// Whatever the API marks as sensitive, in IAM passwords, keys and seeds, is in no call
// that waits for an approval.
func TestSecretsAreNotHeld(t *testing.T) {
	t.Parallel()
	var sensitive func(id awsapi.ShapeID, seen map[awsapi.ShapeID]bool) bool
	sensitive = func(id awsapi.ShapeID, seen map[awsapi.ShapeID]bool) bool {
		if id == 0 || seen[id] {
			return false
		}
		seen[id] = true
		s := api.Model.Shapes[id]
		if s.Sensitive || sensitive(s.Elem, seen) || sensitive(s.Key, seen) {
			return true
		}
		for _, m := range s.Members {
			if m.Sensitive || sensitive(m.Shape, seen) {
				return true
			}
		}
		return false
	}
	found := 0
	for _, r := range newWorld(t).routes {
		op := r.Operation
		if strings.HasPrefix(op.Name, "List") { // it names a device, without its seed, and changes nothing
			continue
		}
		if !sensitive(op.Input, map[awsapi.ShapeID]bool{}) && !sensitive(op.Output, map[awsapi.ShapeID]bool{}) {
			continue
		}
		if found++; !approval.Secret(op.Action) {
			t.Errorf("a call of %s would be kept", op.Action)
		}
	}
	if found < 3 {
		t.Errorf("only %d operations have secrets", found)
	}
}
