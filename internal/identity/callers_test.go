package identity_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
)

// elevations are the approvals that run.
type elevations map[string]bool

// Running implements identity.Elevations.
func (e elevations) Running(account, id string) bool { return e[account+" "+id] }

// newCallers is the whole of authentication over a world.
func newCallers(t *testing.T, w *world) identity.Callers {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	must(t, err)
	s, err := session.New(session.Config{Root: root, Now: func() time.Time { return w.now }})
	must(t, err)
	return identity.Callers{Keys: w.keys, Sessions: s, Directory: w.Directory}
}

func TestCallersOfLongTermKeys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	c := newCallers(t, w)
	root, err := w.keys.Create(ctx, keys.CreateInput{Account: acctA})
	must(t, err)
	u := w.user(t, acctA, "ana")
	own, err := w.CreateAccessKey(ctx, acctA, "ana", "")
	must(t, err)
	for _, test := range []struct {
		key  keys.Created
		want call.Principal
	}{
		{root, call.Principal{Type: call.Root, Account: acctA, AccessKeyID: root.ID, ARN: "arn:aws:iam::" + acctA + ":root", UserID: acctA}},
		{own, call.Principal{Type: call.User, Account: acctA, AccessKeyID: own.ID, ARN: "arn:aws:iam::" + acctA + ":user/ana", UserID: u.ID, Name: "ana"}},
	} {
		p, sec, err := c.SigV4(ctx, test.key.ID, "")
		if err != nil || p != test.want || string(sec.Reveal()) != string(test.key.Secret.Reveal()) {
			t.Errorf("principal %+v, %v; want %+v", p, err, test.want)
		}
		if _, _, err := c.SigV4(ctx, test.key.ID, "token"); code(t, err) != "UnrecognizedClientException" {
			t.Errorf("a long-term key with a session token: %v", err)
		}
	}
	must(t, w.SetAccessKeyStatus(ctx, acctA, "ana", own.ID, keys.Inactive))
	if _, _, err := c.SigV4(ctx, own.ID, ""); code(t, err) != "UnrecognizedClientException" {
		t.Errorf("a disabled key: %v", err)
	}
}

// A bearer key has the rights of its user, until it ends or its user goes.
func TestCallersOfBearerKeys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	c := newCallers(t, w)
	u := w.user(t, acctA, "ana")
	end := w.now.Add(24 * time.Hour)
	k, err := w.keys.Create(ctx, keys.CreateInput{Account: acctA, Kind: keys.Bearer, Owner: u.ID, Name: "ana-at-" + acctA, Expires: end})
	must(t, err)
	ofRoot, err := w.keys.Create(ctx, keys.CreateInput{Account: acctA, Kind: keys.Bearer})
	must(t, err)
	p, region, err := c.Bearer(ctx, k.Secret)
	if err != nil || region != "" || !p.Bearer || p.BearerType != "LONG_TERM" || p.Type != call.User || p.UserID != u.ID || p.AccessKeyID != k.ID {
		t.Errorf("principal %+v in %q, %v", p, region, err)
	}
	if p, _, err := c.Bearer(ctx, ofRoot.Secret); err != nil || p.Type != call.Root || p.BearerType != "LONG_TERM" {
		t.Errorf("principal %+v, %v", p, err)
	}
	w.now = end
	if _, _, err := c.Bearer(ctx, k.Secret); err != nil {
		t.Errorf("at its last instant: %v", err)
	}
	w.now = end.Add(time.Second)
	if _, _, err := c.Bearer(ctx, k.Secret); code(t, err) != "AccessDeniedException" {
		t.Errorf("past its end: %v", err)
	}
	w.now = end
	must(t, w.keys.Delete(ctx, k.ID))
	gone, err := w.keys.Create(ctx, keys.CreateInput{Account: acctA, Kind: keys.Bearer, Owner: "AIDANOBODY", Name: "x-at-" + acctA})
	must(t, err)
	if _, _, err := c.Bearer(ctx, gone.Secret); code(t, err) != "AccessDeniedException" {
		t.Errorf("of a user that is gone: %v", err)
	}
	for _, bad := range []string{"", "ABSKx", "bedrock-api-key-x"} {
		if _, _, err := c.Bearer(ctx, secret.NewString(bad)); code(t, err) != "AccessDeniedException" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A session that somebody approved ends when the approval does.
func TestCallersOfElevatedSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newCallers(t, w)
	u := w.user(t, acctA, "ana")
	p := call.Principal{Type: call.User, Account: acctA, ARN: u.ARN(), UserID: u.ID, Name: "ana", Session: &call.Session{
		Issued: w.now.Truncate(time.Second), Expires: w.now.Truncate(time.Second).Add(time.Hour), Elevation: "req-1",
	}}
	cred, err := c.Sessions.Issue(p)
	must(t, err)
	good := func() bool {
		_, _, err := c.SigV4(t.Context(), cred.AccessKeyID, cred.Token)
		return err == nil
	}
	if good() {
		t.Error("an elevated session is good though nobody knows of approvals")
	}
	running := elevations{acctA + " req-1": true}
	c.Elevations = running
	if !good() {
		t.Error("an approved session is refused")
	}
	delete(running, acctA+" req-1")
	if good() {
		t.Error("an approval that ended is good")
	}
}

// Sessions of an account end with it.
func TestLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, p := range map[string]*call.Principal{
		"nobody's user":      {Type: call.User, Account: acctA, UserID: "AIDANOBODY"},
		"nobody's federated": {Type: call.FederatedUser, Account: acctA, Session: &call.Session{Owner: "AIDANOBODY"}},
		"nobody's role":      {Type: call.AssumedRole, Account: acctA, Session: &call.Session{RoleID: "AROANOBODY"}},
		"a service":          {Type: call.AWSService, Account: acctA, Session: &call.Session{}},
		"nothing":            {Account: acctA, Session: &call.Session{}},
	} {
		if w.Lives(p) {
			t.Errorf("%s lives", name)
		}
	}
	for name, p := range map[string]*call.Principal{
		"the root":               {Type: call.Root, Account: acctA, Session: &call.Session{}},
		"somebody of the root's": {Type: call.FederatedUser, Account: acctA, Session: &call.Session{}},
	} {
		if !w.Lives(p) {
			t.Errorf("%s does not live", name)
		}
	}
}

// Nobody of a closed account is let in: neither its keys nor its sessions.
func TestCallersOfAClosedAccount(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	c := newCallers(t, w)
	_, err := w.CreateOrganization(ctx)
	must(t, err)
	dev := w.account(t, "dev")
	u := w.user(t, dev, "ana")
	k, err := w.CreateAccessKey(ctx, dev, "ana", "")
	must(t, err)
	bearer, err := w.keys.Create(ctx, keys.CreateInput{Account: dev, Kind: keys.Bearer, Owner: u.ID})
	must(t, err)
	p, _, err := c.SigV4(ctx, k.ID, "")
	must(t, err)
	p.Session = &call.Session{Issued: w.now.Truncate(time.Second), Expires: w.now.Truncate(time.Second).Add(time.Hour)}
	cred, err := c.Sessions.Issue(p)
	must(t, err)
	enter := func() (got []string) {
		_, _, err := c.SigV4(ctx, k.ID, "")
		got = append(got, code(t, err))
		_, _, err = c.SigV4(ctx, cred.AccessKeyID, cred.Token)
		got = append(got, code(t, err))
		_, _, err = c.Bearer(ctx, bearer.Secret)
		return append(got, code(t, err))
	}
	if got := enter(); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("an open account: %q", got)
	}
	must(t, w.CloseAccount(ctx, dev))
	if got := enter(); !slices.Equal(got, []string{"UnrecognizedClientException", "UnrecognizedClientException", "AccessDeniedException"}) {
		t.Errorf("a closed account: %q", got)
	}
}

// What somebody asked for a while ago is done only while he could still ask.
func TestStanding(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	c := newCallers(t, w)
	on := elevations{acctA + " req-1": true}
	c.Elevations = on
	u := w.user(t, acctA, "ana")
	key, err := w.CreateAccessKey(ctx, acctA, "ana", "")
	must(t, err)
	byKey, _, err := c.SigV4(ctx, key.ID, "")
	must(t, err)
	r, err := w.CreateRole(ctx, acctA, identity.NewRole{Name: "admin", Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`})
	must(t, err)
	elevated := call.Principal{Type: call.AssumedRole, Account: acctA, UserID: r.ID + ":req-1", Session: &call.Session{
		Issued: w.now, Expires: w.now.Add(time.Hour), RoleID: r.ID, Elevation: "req-1",
	}}
	ofUser := call.Principal{Type: call.User, Account: acctA, UserID: u.ID, Session: &call.Session{Issued: w.now, Expires: w.now.Add(time.Hour)}}
	stand := func(what string, p call.Principal, want string) {
		t.Helper()
		if err := c.Standing(ctx, &p); (err != nil || want != "") && code(t, err) != want {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	w.now = w.now.Add(24 * time.Hour)
	stand("a key", byKey, "")
	stand("a session that ended by itself", ofUser, "")
	stand("an elevation", elevated, "")
	delete(on, acctA+" req-1")
	stand("an elevation that ended", elevated, "UnrecognizedClientException")
	must(t, w.SetAccessKeyStatus(ctx, acctA, "ana", key.ID, keys.Inactive))
	stand("a disabled key", byKey, "UnrecognizedClientException")
	must(t, w.DeleteAccessKey(ctx, acctA, "ana", key.ID))
	stand("a deleted key", byKey, "UnrecognizedClientException")
	must(t, w.DeleteUser(ctx, acctA, "ana"))
	stand("a session of a user who is gone", ofUser, "UnrecognizedClientException")
}
