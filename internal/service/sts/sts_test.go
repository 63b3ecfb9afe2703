package sts_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/sts"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
	"github.com/outcrop/outcrop/internal/wire/restjson"
)

const (
	home  = "111122223333"
	other = "444455556666"
)

// world is STS over a real directory, real sessions and real decisions, with a
// clock that tests move. Its time begins in the middle of a second.
type world struct {
	*identity.Directory
	keys     *keys.Service
	sessions *session.Service
	access   *access.Authorizer
	callers  identity.Callers
	service  *sts.Service
	routes   map[string]service.Route
	codec    *restjson.Codec
	now      time.Time
}

func newWorld(t testing.TB, tokens sts.Tokens) *world {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	must(t, err)
	w := &world{now: time.Date(2026, 5, 6, 7, 8, 9, 5e8, time.UTC), codec: restjson.New(), routes: map[string]service.Route{}}
	clock := func() time.Time { return w.now }
	records := new(recordtest.Store)
	w.keys = keys.New(keys.Config{Store: new(keystest.Store), Root: root, Now: clock})
	w.Directory, err = identity.Open(t.Context(), identity.Config{Records: records, Keys: w.keys, Root: root, Now: clock, Management: home})
	must(t, err)
	w.sessions, err = session.New(session.Config{Root: root, Now: clock})
	must(t, err)
	w.callers = identity.Callers{Keys: w.keys, Sessions: w.sessions, Directory: w.Directory}
	w.access = access.New(access.Config{
		Principals: w.Directory, Resources: map[string]access.Resources{"iam": w.Directory}, Now: clock,
		Seal: func(plain []byte) string { return "sealed:" + string(plain) },
	})
	w.service = sts.New(sts.Config{
		Directory: w.Directory, Sessions: w.sessions, Access: w.access, Keys: w.keys, Tokens: tokens, Now: clock,
		Unseal: func(text string) ([]byte, error) {
			if len(text) < 7 || text[:7] != "sealed:" {
				return nil, errors.New("not sealed")
			}
			return []byte(text[7:]), nil
		},
	})
	for _, r := range w.service.Routes() {
		w.routes[r.Operation.Name] = r
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do serves one call as the gateway does: resources, decision, constraints,
// handler.
func do[Out any](t testing.TB, w *world, p call.Principal, op string, in any) (*Out, error) {
	t.Helper()
	r, ok := w.routes[op]
	if !ok {
		t.Fatalf("%s is not bound", op)
	}
	c := &call.Call{Service: "sts", Operation: op, Action: r.Operation.Action, Region: "us-east-1", Partition: "aws", Principal: p}
	ctx := t.Context()
	var resources []string
	if r.Resources != nil {
		var err error
		if resources, err = r.Resources(ctx, c, in); err != nil {
			return nil, err
		}
	}
	if err := w.access.Authorize(ctx, c, call.Need{Action: c.Action, Resources: resources}); err != nil {
		return nil, err
	}
	if err := w.codec.Validate(r.Service, r.Operation, in); err != nil {
		return nil, err
	}
	out, err := r.Serve(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

func (w *world) assume(t testing.TB, p call.Principal, in *api.AssumeRoleInput) (*api.AssumeRoleOutput, error) {
	t.Helper()
	if in.RoleSessionName == nil {
		in.RoleSessionName = new("run-7")
	}
	return do[api.AssumeRoleOutput](t, w, p, "AssumeRole", in)
}

// become opens credentials as a request with them would.
func (w *world) become(t testing.TB, c *api.Credentials) call.Principal {
	t.Helper()
	p, sec, err := w.callers.SigV4(t.Context(), *c.AccessKeyId, *c.SessionToken)
	must(t, err)
	if string(sec.Reveal()) != *c.SecretAccessKey {
		t.Fatal("another secret than the one that was given")
	}
	return p
}

// may asks whether a principal is allowed an action.
func (w *world) may(t testing.TB, p call.Principal, action string, resources ...string) bool {
	t.Helper()
	c := &call.Call{Region: "us-east-1", Partition: "aws", Principal: p}
	err := w.access.Authorize(t.Context(), c, call.Need{Action: action, Resources: resources})
	if _, refused := errors.AsType[*apierr.Error](err); err != nil && !refused {
		t.Fatal(err)
	}
	return err == nil
}

// user makes a user with an access key and, unless text is "", a policy.
func (w *world) user(t testing.TB, acct, name, text string) call.Principal {
	t.Helper()
	ctx := t.Context()
	_, err := w.CreateUser(ctx, acct, identity.NewUser{Name: name})
	must(t, err)
	if text != "" {
		must(t, w.PutInline(ctx, acct, identity.TypeUser, name, "rights", text))
	}
	k, err := w.CreateAccessKey(ctx, acct, name, "")
	must(t, err)
	p, _, err := w.callers.SigV4(ctx, k.ID, "")
	must(t, err)
	return p
}

func (w *world) root(t testing.TB, acct string) call.Principal {
	t.Helper()
	k, err := w.keys.Create(t.Context(), keys.CreateInput{Account: acct})
	must(t, err)
	p, _, err := w.callers.SigV4(t.Context(), k.ID, "")
	must(t, err)
	return p
}

// role makes a role with a trust policy and, unless text is "", a policy.
func (w *world) role(t testing.TB, acct, name, trust, text string, longest time.Duration) *identity.Role {
	t.Helper()
	r, err := w.CreateRole(t.Context(), acct, identity.NewRole{Name: name, Trust: trust, MaxSession: longest})
	must(t, err)
	if text != "" {
		must(t, w.PutInline(t.Context(), acct, identity.TypeRole, name, "rights", text))
	}
	return r
}

// policyOf is a policy of one statement. rest are its members besides Effect and
// Action, as JSON.
func policyOf(effect, action, rest string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":` + action + `,` + rest + `}]}`
}

const (
	assumeAny = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}]}`
	allowAll  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// trusting is a trust policy for an AWS principal, with all that AssumeRole asks.
func trusting(principal string) string {
	return policyOf("Allow", `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, `"Principal":{"AWS":"`+principal+`"}`)
}

func refused(t testing.TB, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code || message != "" && e.Message != message {
		t.Errorf("error %v, want %s: %s", err, code, message)
	}
}

func TestGetCallerIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	user := w.user(t, home, "ana", assumeAny)
	role := w.role(t, home, "app", trusting(user.ARN), "", 0)
	out, err := w.assume(t, user, &api.AssumeRoleInput{RoleArn: new(role.ARN())})
	must(t, err)
	for _, test := range []struct {
		p   call.Principal
		arn string
		id  string
	}{
		{w.root(t, home), "arn:aws:iam::111122223333:root", home},
		{user, "arn:aws:iam::111122223333:user/ana", user.UserID},
		{w.become(t, out.Credentials), "arn:aws:sts::111122223333:assumed-role/app/run-7", role.ID + ":run-7"},
	} {
		got, err := do[api.GetCallerIdentityOutput](t, w, test.p, "GetCallerIdentity", &api.GetCallerIdentityInput{})
		must(t, err)
		if *got.Arn != test.arn || *got.UserId != test.id || *got.Account != home {
			t.Errorf("identity %s %s %s, want %s %s", *got.Account, *got.Arn, *got.UserId, test.arn, test.id)
		}
	}
}

func TestGetAccessKeyInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	user := w.user(t, home, "ana", policyOf("Allow", `"sts:*"`, `"Resource":"*"`))
	theirs := w.root(t, other)
	out, err := do[api.GetSessionTokenOutput](t, w, user, "GetSessionToken", &api.GetSessionTokenInput{})
	must(t, err)
	for id, want := range map[string]string{user.AccessKeyID: home, theirs.AccessKeyID: other, *out.Credentials.AccessKeyId: home} {
		got, err := do[api.GetAccessKeyInfoOutput](t, w, user, "GetAccessKeyInfo", &api.GetAccessKeyInfoInput{AccessKeyId: new(id)})
		must(t, err)
		if *got.Account != want {
			t.Errorf("%s is of %s, want %s", id, *got.Account, want)
		}
	}
	bearer, err := w.keys.Create(t.Context(), keys.CreateInput{Account: home, Kind: keys.Bearer})
	must(t, err)
	for _, id := range []string{"AKIAAAAAAAAAAAAAAAAA", "ASIAAAAAAAAAAAAAAAAA", bearer.ID} {
		_, err := do[api.GetAccessKeyInfoOutput](t, w, user, "GetAccessKeyInfo", &api.GetAccessKeyInfoInput{AccessKeyId: new(id)})
		refused(t, err, apierr.CodeValidation, "")
	}
	poor := w.user(t, home, "poor", "")
	_, err = do[api.GetAccessKeyInfoOutput](t, w, poor, "GetAccessKeyInfo", &api.GetAccessKeyInfoInput{AccessKeyId: new(user.AccessKeyID)})
	refused(t, err, apierr.CodeAccessDenied, "")
}

func TestDecodeAuthorizationMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	poor := w.user(t, home, "poor", "")
	_, err := do[api.DecodeAuthorizationMessageOutput](t, w, poor, "DecodeAuthorizationMessage", &api.DecodeAuthorizationMessageInput{EncodedMessage: new("x")})
	refused(t, err, apierr.CodeAccessDenied, "")
	e, _ := errors.AsType[*apierr.Error](err)
	_, encoded, ok := strings.Cut(e.Message, "Encoded authorization failure message: ")
	if !ok {
		t.Fatalf("the refusal has no encoded reason: %s", e.Message)
	}
	in := &api.DecodeAuthorizationMessageInput{EncodedMessage: new(encoded)}
	out, err := do[api.DecodeAuthorizationMessageOutput](t, w, w.root(t, home), "DecodeAuthorizationMessage", in)
	must(t, err)
	if text := *out.DecodedMessage; !strings.Contains(text, `"allowed":false`) || !strings.Contains(text, poor.ARN) {
		t.Errorf("decoded %s", text)
	}
	_, err = do[api.DecodeAuthorizationMessageOutput](t, w, w.root(t, other), "DecodeAuthorizationMessage", in)
	refused(t, err, "InvalidAuthorizationMessageException", "")
	in.EncodedMessage = new("sealed nothing")
	_, err = do[api.DecodeAuthorizationMessageOutput](t, w, w.root(t, home), "DecodeAuthorizationMessage", in)
	refused(t, err, "InvalidAuthorizationMessageException", "")
}
