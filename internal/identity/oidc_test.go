package identity_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/identity"
)

func TestOIDCProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	thumb := strings.Repeat("A1", 20)
	p, err := w.CreateOIDCProvider(ctx, acctA, identity.NewOIDCProvider{
		URL: "https://oidc.example.com/id/ABC/", ClientIDs: []string{"sts.amazonaws.com", "sts.amazonaws.com"}, Thumbprints: []string{thumb},
	})
	must(t, err)
	if p.ARN() != "arn:aws:iam::"+acctA+":oidc-provider/oidc.example.com/id/ABC" || len(p.ClientIDs) != 1 || p.Thumbprints[0] != strings.ToLower(thumb) {
		t.Errorf("made %+v", p)
	}
	if w.OIDCProvider(acctA, "https://oidc.example.com/id/ABC") == nil || w.OIDCProvider(acctA, "oidc.example.com/id/ABC/") == nil {
		t.Error("not found by its issuer")
	}
	if w.OIDCProvider(acctB, p.Issuer) != nil || w.OIDCProviderByARN(acctB, p.ARN()) != nil || w.OIDCProvider(acctA, "oidc.example.com/id/abc") != nil {
		t.Error("found where it is not")
	}
	must(t, w.AddOIDCClientID(ctx, acctA, p.ARN(), "app"))
	must(t, w.AddOIDCClientID(ctx, acctA, p.ARN(), "app"))
	must(t, w.RemoveOIDCClientID(ctx, acctA, p.ARN(), "sts.amazonaws.com"))
	must(t, w.SetOIDCThumbprints(ctx, acctA, p.ARN(), nil))
	must(t, w.TagOIDCProvider(ctx, acctA, p.ARN(), identity.Tags{{Key: "a", Value: "b"}, {Key: "c"}}))
	must(t, w.UntagOIDCProvider(ctx, acctA, p.ARN(), []string{"c"}))
	got := w.open(t).OIDCProviderByARN(acctA, p.ARN())
	if got == nil || len(got.ClientIDs) != 1 || got.ClientIDs[0] != "app" || len(got.Thumbprints) != 0 || len(got.Tags) != 1 {
		t.Errorf("kept %+v", got)
	}
	create := func(in identity.NewOIDCProvider) error {
		_, err := w.CreateOIDCProvider(ctx, acctA, in)
		return err
	}
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprint("client", i))
	}
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"twice", "EntityAlreadyExists", create(identity.NewOIDCProvider{URL: "https://oidc.example.com/id/ABC"})},
		{"plain http", "InvalidInput", create(identity.NewOIDCProvider{URL: "http://a.example"})},
		{"no URL", "InvalidInput", create(identity.NewOIDCProvider{URL: "a.example"})},
		{"a port", "InvalidInput", create(identity.NewOIDCProvider{URL: "https://a.example:8443"})},
		{"a query", "InvalidInput", create(identity.NewOIDCProvider{URL: "https://a.example?x=1"})},
		{"a user", "InvalidInput", create(identity.NewOIDCProvider{URL: "https://u@a.example"})},
		{"a bad thumbprint", "InvalidInput", create(identity.NewOIDCProvider{URL: "https://a.example", Thumbprints: []string{"zz"}})},
		{"six thumbprints", "InvalidInput", create(identity.NewOIDCProvider{URL: "https://a.example", Thumbprints: []string{thumb, thumb, thumb, thumb, thumb, thumb}})},
		{"101 clients", "LimitExceeded", create(identity.NewOIDCProvider{URL: "https://a.example", ClientIDs: many})},
		{"an empty client", "InvalidInput", w.AddOIDCClientID(ctx, acctA, p.ARN(), "")},
		{"of another account", "NoSuchEntity", w.AddOIDCClientID(ctx, acctB, p.ARN(), "x")},
		{"of none", "NoSuchEntity", w.SetOIDCThumbprints(ctx, acctA, "arn:aws:iam::"+acctA+":oidc-provider/none", nil)},
		{"delete none", "", w.DeleteOIDCProvider(ctx, acctB, p.ARN())},
	} {
		if got := code(t, c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	must(t, w.DeleteOIDCProvider(ctx, acctA, p.ARN()))
	if len(w.OIDCProviders(acctA)) != 0 {
		t.Error("not deleted")
	}
}

func TestServiceLinkedRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	r, err := w.CreateServiceLinkedRole(ctx, acctA, "bedrock.amazonaws.com", "", "")
	must(t, err)
	if r.ARN() != "arn:aws:iam::"+acctA+":role/aws-service-role/bedrock.amazonaws.com/AWSServiceRoleForAmazonBedrock" || r.ServiceLinked() != "bedrock.amazonaws.com" {
		t.Errorf("made %s of %s", r.ARN(), r.ServiceLinked())
	}
	if _, err := w.CreateServiceLinkedRole(ctx, acctA, "bedrock.amazonaws.com", "", ""); code(t, err) != "InvalidInput" {
		t.Errorf("twice: %v", err)
	}
	if _, err := w.CreateServiceLinkedRole(ctx, acctA, "ec2.amazonaws.com", "", ""); code(t, err) != "InvalidInput" {
		t.Errorf("of another service: %v", err)
	}
	if got := code(t, w.DeleteRole(ctx, acctA, r.Name)); got != "UnmodifiableEntity" {
		t.Errorf("deleted as a role: %q", got)
	}
	if _, err := w.CreateRole(ctx, acctA, identity.NewRole{Name: "plain", Trust: trustA}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.DeleteServiceLinkedRole(ctx, acctA, "plain"); code(t, err) != "InvalidInput" {
		t.Errorf("delete a plain role as one: %v", err)
	}
	if _, err := w.DeleteServiceLinkedRole(ctx, acctB, r.Name); code(t, err) != "NoSuchEntity" {
		t.Errorf("of another account: %v", err)
	}
	_, err = w.DeleteServiceLinkedRole(ctx, acctA, r.Name)
	must(t, err)
}

// TestAdoption: accounts that keys alone tell of are recorded when the directory
// opens, and join the organisation.
func TestAdoption(t *testing.T) {
	t.Parallel()
	w, o := organized(t)
	if err := w.EnsureAccount(t.Context(), "12"); code(t, err) != "ValidationError" {
		t.Errorf("a bad number: %v", err)
	}
	must(t, w.EnsureAccount(t.Context(), acctB))
	d := w.open(t)
	if m := d.OrgMember(acctB); m == nil || m.Parent != o.Root || d.OrgPath(acctB) == "" {
		t.Errorf("member %+v", m)
	}
}

func TestAccessJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.CreateAccessJob(t.Context(), acctA, "arn:1", false)
	must(t, err)
	if _, err := w.AccessJob(acctB, first.ID); code(t, err) != "NoSuchEntity" {
		t.Errorf("another account's: %v", err)
	}
	for range 100 {
		w.now = w.now.Add(time.Second)
		_, err := w.CreateAccessJob(t.Context(), acctA, "arn:2", true)
		must(t, err)
	}
	if _, err := w.AccessJob(acctA, first.ID); code(t, err) != "NoSuchEntity" {
		t.Errorf("the 101st: %v", err)
	}
	last, err := w.CreateAccessJob(t.Context(), acctA, "arn:3", true)
	must(t, err)
	if j, err := w.open(t).AccessJob(acctA, last.ID); err != nil || j.ARN != "arn:3" || !j.Actions {
		t.Errorf("kept %+v, %v", j, err)
	}
	w.now = w.now.AddDate(0, 0, 8)
	if _, err := w.AccessJob(acctA, last.ID); code(t, err) != "NoSuchEntity" {
		t.Errorf("after a week: %v", err)
	}
}
