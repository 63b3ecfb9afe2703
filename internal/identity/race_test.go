package identity_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/record"
)

// However many reset a credential at once, one key is left: none outlives the
// others unseen.
func TestResetRaces(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	u := w.user(t, acctA, "ana")
	for range 20 {
		c, _, err := w.CreateCredential(ctx, acctA, "ana", identity.BedrockService, 0, "us-east-1")
		must(t, err)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				_, _, err := w.ResetCredential(ctx, acctA, "ana", c.ID, "us-east-1")
				if got := code(t, err); got != "" && got != "ConcurrentModification" && got != "NoSuchEntity" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		list, err := w.Credentials(ctx, u)
		must(t, err)
		if len(list) > 1 {
			t.Fatalf("%d keys live under the credentials %v", len(list), list)
		}
		for _, c := range list {
			must(t, w.DeleteCredential(ctx, acctA, "ana", c.ID))
		}
		if list, err = w.Credentials(ctx, u); err != nil || len(list) != 0 {
			t.Fatalf("%v are left, %v", list, err)
		}
	}
}

// Who may make devices fills no memory with them.
func TestMFADeviceQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	most := identity.AccountQuotas().Users
	_, _, err := w.CreateMFADevice(t.Context(), acctA, "", "first", nil)
	must(t, err)
	changes := make([]record.Change, most-1)
	for i := range changes {
		name := "d" + strconv.Itoa(i)
		c, err := record.Put(record.Key{Account: acctA, Kind: "iam/mfa", Name: name}, record.Any, identity.MFADevice{ID: name, Account: acctA, Path: "/", Name: name})
		must(t, err)
		changes[i] = c
	}
	must(t, w.records.ApplyRecords(t.Context(), w.now, changes...))
	w.Directory = w.open(t)
	if n := len(w.MFADevices(acctA)); n != most {
		t.Fatalf("%d devices", n)
	}
	if _, _, err := w.CreateMFADevice(t.Context(), acctA, "", "one-more", nil); code(t, err) != "LimitExceeded" {
		t.Errorf("device %d: %v", most+1, err)
	}
}
