package identity_test

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- the algorithm of RFC 6238
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/identity"
)

// authenticator is an authenticator app: it shows the code of a moment.
type authenticator []byte

func (a authenticator) at(t time.Time) string {
	mac := hmac.New(sha1.New, a)
	_ = binary.Write(mac, binary.BigEndian, t.Unix()/30)
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1000000)
}

// device makes a device for a user and enables it with the codes of the step before
// and this one.
func (w *world) device(t testing.TB, acct, user, name string) (*identity.MFADevice, authenticator) {
	t.Helper()
	m, seed, err := w.CreateMFADevice(t.Context(), acct, "", name, nil)
	must(t, err)
	app := authenticator(seed)
	must(t, w.EnableMFADevice(t.Context(), acct, user, m.Serial(), app.at(w.now.Add(-30*time.Second)), app.at(w.now)))
	return m, app
}

func TestMFA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana, bob := w.user(t, acctA, "ana"), w.user(t, acctA, "bob")
	m, app := w.device(t, acctA, "ana", "phone")
	if m.Serial() != "arn:aws:iam::"+acctA+":mfa/phone" {
		t.Errorf("serial %s", m.Serial())
	}
	prove := func(shown string, u *identity.User) string {
		t.Helper()
		return code(t, w.ProveMFA(t.Context(), acctA, m.Serial(), shown, u.ID))
	}
	if got := prove(app.at(w.now), ana); got != "AccessDenied" {
		t.Errorf("a code that enabled the device: %q", got)
	}
	w.now = w.now.Add(30 * time.Second)
	if got := prove(app.at(w.now), bob); got != "AccessDenied" {
		t.Errorf("another user: %q", got)
	}
	if got := prove(app.at(w.now), ana); got != "" {
		t.Errorf("the right code: %q", got)
	}
	if got := prove(app.at(w.now), ana); got != "AccessDenied" {
		t.Errorf("the same code again: %q", got)
	}
	// Early by one step, then the step that was skipped is spent too.
	if got := prove(app.at(w.now.Add(30*time.Second)), ana); got != "" {
		t.Errorf("one step early: %q", got)
	}
	w.now = w.now.Add(60 * time.Second)
	if got := prove(app.at(w.now.Add(-30*time.Second)), ana); got != "AccessDenied" {
		t.Errorf("a step that an early code spent: %q", got)
	}
	w.now = w.now.Add(30 * time.Second)
	if got := prove(app.at(w.now.Add(-30*time.Second)), ana); got != "" {
		t.Errorf("one step late: %q", got)
	}
	// What is spent is spent for another process too.
	if err := w.open(t).ProveMFA(t.Context(), acctA, m.Serial(), app.at(w.now.Add(-30*time.Second)), ana.ID); err == nil {
		t.Error("another process takes a spent code")
	}
	for name, serial := range map[string]string{"none": "", "unknown": "arn:aws:iam::" + acctA + ":mfa/none", "other account": "arn:aws:iam::" + acctB + ":mfa/phone", "no ARN": "GAHT12345678"} {
		if got := code(t, w.ProveMFA(t.Context(), acctA, serial, app.at(w.now), ana.ID)); got != "AccessDenied" {
			t.Errorf("serial %s: %q", name, got)
		}
	}
	if got := code(t, w.DeleteUser(t.Context(), acctA, "ana")); got != "DeleteConflict" {
		t.Errorf("delete a user with a device: %q", got)
	}
	must(t, w.DeactivateMFADevice(t.Context(), acctA, "ana", m.Serial()))
	w.now = w.now.Add(time.Minute)
	if got := prove(app.at(w.now), ana); got != "AccessDenied" {
		t.Errorf("a deactivated device: %q", got)
	}
	must(t, w.DeleteMFADevice(t.Context(), acctA, m.Serial()))
	must(t, w.DeleteUser(t.Context(), acctA, "ana"))
}

// TestMFALock checks that wrong codes lock a device, durably and each time longer.
func TestMFALock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	m, app := w.device(t, acctA, "ana", "phone")
	w.now = w.now.Add(time.Minute)
	wrong := func(n int) {
		t.Helper()
		for range n {
			if w.ProveMFA(t.Context(), acctA, m.Serial(), "000000", ana.ID) == nil {
				t.Fatal("000000 was right")
			}
		}
	}
	right := func(d *identity.Directory) bool {
		return d.ProveMFA(t.Context(), acctA, m.Serial(), app.at(w.now), ana.ID) == nil
	}
	wrong(4)
	if !right(w.Directory) {
		t.Fatal("four wrong codes lock")
	}
	for i, lock := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour} {
		w.now = w.now.Add(time.Minute)
		wrong(5)
		if right(w.Directory) || right(w.open(t)) {
			t.Fatalf("lock %d: five wrong codes do not lock", i)
		}
		if got := code(t, w.ResyncMFADevice(t.Context(), acctA, "ana", m.Serial(), app.at(w.now), app.at(w.now.Add(30*time.Second)))); got != "EntityTemporarilyUnmodifiable" {
			t.Errorf("lock %d: resync of a locked device: %q", i, got)
		}
		w.now = w.now.Add(lock - time.Second)
		if right(w.Directory) {
			t.Fatalf("lock %d: open after less than %v", i, lock)
		}
		w.now = w.now.Add(time.Second)
	}
	if !right(w.Directory) {
		t.Fatal("the lock never ends")
	}
	// A right code starts from the shortest lock again.
	w.now = w.now.Add(time.Minute)
	wrong(5)
	w.now = w.now.Add(15 * time.Minute)
	if !right(w.Directory) {
		t.Error("a right code does not shorten the next lock")
	}
}

func TestMFAErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(t, acctA, "ana")
	w.user(t, acctA, "bob")
	w.user(t, acctB, "eve")
	m, app := w.device(t, acctA, "ana", "phone")
	spare, seed, err := w.CreateMFADevice(t.Context(), acctA, "/team/", "spare", identity.Tags{{Key: "a", Value: "b"}})
	must(t, err)
	other := authenticator(seed)
	ctx, now := t.Context(), w.now
	pair := func(a authenticator, offset time.Duration) [2]string {
		return [2]string{a.at(now.Add(offset)), a.at(now.Add(offset + 30*time.Second))}
	}
	for range 7 {
		w.device(t, acctA, "bob", fmt.Sprintf("bob%d", len(w.MFADevices(acctA))))
	}
	enable := func(user, serial string, c [2]string) error {
		return w.EnableMFADevice(ctx, acctA, user, serial, c[0], c[1])
	}
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"the same name", "EntityAlreadyExists", func() error { _, _, err := w.CreateMFADevice(ctx, acctA, "", "PHONE", nil); return err }()},
		{"a bad name", "ValidationError", func() error { _, _, err := w.CreateMFADevice(ctx, acctA, "", "a|b", nil); return err }()},
		{"a bad path", "ValidationError", func() error { _, _, err := w.CreateMFADevice(ctx, acctA, "x", "a", nil); return err }()},
		{"enable what is in use", "EntityAlreadyExists", enable("bob", m.Serial(), pair(app, time.Minute))},
		{"enable for nobody", "NoSuchEntity", enable("nobody", spare.Serial(), pair(other, 0))},
		{"enable nothing", "NoSuchEntity", enable("bob", "arn:aws:iam::"+acctA+":mfa/none", pair(other, 0))},
		{"another path", "NoSuchEntity", enable("bob", "arn:aws:iam::"+acctA+":mfa/spare", pair(other, 0))},
		{"enable for another account's user", "NoSuchEntity", w.EnableMFADevice(ctx, acctB, "eve", spare.Serial(), pair(other, 0)[0], pair(other, 0)[1])},
		{"codes the wrong way round", "InvalidAuthenticationCode", enable("bob", spare.Serial(), [2]string{pair(other, 0)[1], pair(other, 0)[0]})},
		{"the same code twice", "InvalidAuthenticationCode", enable("bob", spare.Serial(), [2]string{other.at(now), other.at(now)})},
		{"codes of long ago", "InvalidAuthenticationCode", enable("bob", spare.Serial(), pair(other, -12*time.Minute))},
		{"delete in use", "DeleteConflict", w.DeleteMFADevice(ctx, acctA, m.Serial())},
		{"delete nothing", "NoSuchEntity", w.DeleteMFADevice(ctx, acctA, "arn:aws:iam::"+acctA+":mfa/none")},
		{"delete of another account", "NoSuchEntity", w.DeleteMFADevice(ctx, acctB, spare.Serial())},
		{"deactivate another's", "NoSuchEntity", w.DeactivateMFADevice(ctx, acctA, "bob", m.Serial())},
		{"resync another's", "NoSuchEntity", w.ResyncMFADevice(ctx, acctA, "bob", m.Serial(), pair(app, time.Minute)[0], pair(app, time.Minute)[1])},
		{"tag nothing", "NoSuchEntity", w.TagMFADevice(ctx, acctA, "x", nil)},
	} {
		if got := code(t, c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	w.device(t, acctA, "bob", "eighth")
	if got := code(t, enable("bob", spare.Serial(), pair(other, 0))); got != "LimitExceeded" {
		t.Errorf("a ninth device: %q", got)
	}
}

// TestMFAResync checks that a device whose clock is minutes off can be brought into
// step, and is taken by its own clock from then on.
func TestMFAResync(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	m, app := w.device(t, acctA, "ana", "phone")
	const ahead = 6 * time.Minute
	w.now = w.now.Add(time.Minute)
	theirs := func() time.Time { return w.now.Add(ahead) }
	if err := w.ProveMFA(t.Context(), acctA, m.Serial(), app.at(theirs()), ana.ID); err == nil {
		t.Fatal("a code from 6 minutes ahead was taken")
	}
	must(t, w.ResyncMFADevice(t.Context(), acctA, "ana", m.Serial(), app.at(theirs().Add(-30*time.Second)), app.at(theirs())))
	w.now = w.now.Add(30 * time.Second)
	must(t, w.ProveMFA(t.Context(), acctA, m.Serial(), app.at(theirs()), ana.ID))
}

// TestMFASealed checks that no record holds the seed in the clear.
func TestMFASealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(t, acctA, "ana")
	m, app := w.device(t, acctA, "ana", "phone")
	stored := w.MFADevice(acctA, m.Serial())
	if strings.Contains(string(stored.Seed), string(app)) || len(stored.Seed) <= len(app) {
		t.Error("the seed is kept in the clear")
	}
	if len(app) != 40 {
		t.Errorf("a seed of %d bytes", len(app))
	}
}

// TestMFAOnce: of many who show the same code at the same time, to two processes,
// one gets in.
func TestMFAOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, acctA, "ana")
	m, app := w.device(t, acctA, "ana", "phone")
	w.now = w.now.Add(time.Minute)
	shown := app.at(w.now)
	directories := []*identity.Directory{w.Directory, w.open(t)}
	results := make(chan error)
	const callers = 8
	for i := range callers {
		go func() {
			results <- directories[i%2].ProveMFA(t.Context(), acctA, m.Serial(), shown, ana.ID)
		}()
	}
	in := 0
	for range callers {
		if err := <-results; err == nil {
			in++
		} else if got := code(t, err); got != "AccessDenied" && got != "ConcurrentModification" {
			t.Errorf("refused with %q", got)
		}
	}
	if in != 1 {
		t.Errorf("%d got in with one code", in)
	}
}
