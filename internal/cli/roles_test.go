package cli_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
)

func TestReadyRoles(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	type role struct {
		Name, ARN string
		Policies  []string
	}
	all := decode[[]role](t, outcrop(t, data, "access", "roles", "--json"))
	if len(all) != 4 || all[0].ARN != "" || len(all[0].Policies) == 0 {
		t.Errorf("ready roles %+v", all)
	}
	made := decode[[]role](t, outcrop(t, data, "access", "roles", "datascientist", "--create", "--json"))
	if len(made) != 1 || made[0].ARN != "arn:aws:iam::000000000000:role/DataScientist" {
		t.Errorf("made %+v", made)
	}
	if r := outcrop(t, data, "access", "roles", "DataScientist", "--create"); r.status != 1 || !strings.Contains(r.err, "already exists") {
		t.Errorf("once more: %+v", r)
	}
	if r := outcrop(t, data, "access", "roles", "King"); r.status != 2 || !strings.Contains(r.err, "MLEngineer") {
		t.Errorf("no such role: %+v", r)
	}
	if r := outcrop(t, data, "access", "roles"); r.status != 0 || !strings.Contains(r.out, "data scientist") {
		t.Errorf("table %+v", r)
	}
}

// A running server takes the key of a user that was made beside it.
func TestKeysOfUsers(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	if r := outcrop(t, s.Data, "keys", "create", "--user", "nobody"); r.status != 1 || !strings.Contains(r.err, "nobody cannot be found") {
		t.Errorf("a user that does not exist: %+v", r)
	}
	type key struct{ ID, User, Kind, Secret string }
	for _, k := range decode[[]key](t, outcrop(t, s.Data, "keys", "list", "--json")) {
		if k.User != "" {
			t.Errorf("the first key belongs to %q", k.User)
		}
	}
	ctx := t.Context()
	admin := iam.NewFromConfig(s.AWS(s.Key))
	if _, err := admin.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ana")}); err != nil {
		t.Fatal(err)
	}
	made := decode[key](t, outcrop(t, s.Data, "keys", "create", "--user", "ana", "--json"))
	out, err := sts.NewFromConfig(s.AWS(keys.Created{Key: keys.Key{ID: made.ID}, Secret: secret.NewString(made.Secret)})).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *out.Arn != "arn:aws:iam::"+s.Account+":user/ana" {
		t.Errorf("the key is that of %v, %v", out, err)
	}
	if k := decode[key](t, outcrop(t, s.Data, "keys", "create", "--user", "ana", "--bearer", "--json")); k.Kind != "bearer" || k.User != "ana" {
		t.Errorf("bearer key %+v", k)
	}
	if r := outcrop(t, s.Data, "keys", "list"); !strings.Contains(r.out, "(root)") || !strings.Contains(r.out, "ana") {
		t.Errorf("table %s", r.out)
	}
}
