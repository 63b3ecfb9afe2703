package identity_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/identity"
)

// snapshot is all that a directory holds of an account.
func snapshot(t *testing.T, d *identity.Directory, acct string) string {
	t.Helper()
	b, err := json.MarshalIndent([]any{
		d.Users(acct), d.Groups(acct), d.Roles(acct), d.LocalPolicies(acct), d.InstanceProfiles(acct), d.Alias(acct), d.PolicyUsage(acct),
	}, "", " ")
	must(t, err)
	return string(b)
}

// TestRandomChanges makes random changes in two accounts by two processes, most of
// which make sense only now and then. Whatever happens, no name is given twice,
// nothing points to what is gone, and all processes, old and new, agree.
func TestRandomChanges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w, ctx := newWorld(t), t.Context()
			dirs := []*identity.Directory{w.Directory, w.open(t)}
			rnd := rand.New(rand.NewPCG(seed, 5)) // #nosec G404 -- a repeatable test
			pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
			done := map[bool]int{}
			for range 3000 {
				d, acct := dirs[rnd.IntN(2)], pick(acctA, acctB)
				name, other := pick("a", "A", "b", "B", "c"), pick("a", "A", "b", "B", "c")
				typ := []identity.Type{identity.TypeUser, identity.TypeGroup, identity.TypeRole}[rnd.IntN(3)]
				policy := pick("arn:aws:iam::"+acct+":policy/"+other, "arn:aws:iam::aws:policy/AdministratorAccess")
				path := pick("", "/", "/x/")
				var err error
				switch rnd.IntN(22) {
				case 0:
					_, err = d.CreateUser(ctx, acct, identity.NewUser{Name: name, Path: path, Tags: identity.Tags{{Key: "k", Value: other}}})
				case 1:
					_, err = d.CreateGroup(ctx, acct, name, path)
				case 2:
					_, err = d.CreateRole(ctx, acct, identity.NewRole{Name: name, Path: path, Trust: trustA})
				case 3:
					_, err = d.CreatePolicy(ctx, acct, identity.NewPolicy{Name: name, Text: allow("s3:Get" + name)})
				case 4:
					_, err = d.CreateInstanceProfile(ctx, acct, name, path, nil)
				case 5:
					err = d.DeleteUser(ctx, acct, name)
				case 6:
					err = d.DeleteGroup(ctx, acct, name)
				case 7:
					err = d.DeleteRole(ctx, acct, name)
				case 8:
					err = d.DeletePolicy(ctx, acct, policy)
				case 9:
					err = d.DeleteInstanceProfile(ctx, acct, name)
				case 10:
					err = d.RenameUser(ctx, acct, name, other, path)
				case 11:
					err = d.RenameGroup(ctx, acct, name, other, path)
				case 12:
					err = d.JoinGroup(ctx, acct, name, other)
				case 13:
					err = d.LeaveGroup(ctx, acct, name, other)
				case 14:
					err = d.AttachPolicy(ctx, acct, typ, name, policy)
				case 15:
					err = d.DetachPolicy(ctx, acct, typ, name, policy)
				case 16:
					err = d.PutInline(ctx, acct, typ, name, other, allow("s3:Put"+name))
				case 17:
					err = d.DeleteInline(ctx, acct, typ, name, other)
				case 18:
					err = d.SetBoundary(ctx, acct, identity.TypeUser, name, pick("", policy))
				case 19:
					err = d.AddRoleToProfile(ctx, acct, name, other)
				case 20:
					err = d.RemoveRoleFromProfile(ctx, acct, name, other)
				case 21:
					_, err = d.AddPolicyVersion(ctx, acct, policy, allow("s3:v"), identity.Force(rnd.IntN(2) == 0))
				}
				code(t, err) // whatever is refused is refused by an API error
				done[err == nil]++
			}
			if done[true] < 300 || done[false] < 300 {
				t.Errorf("%d changes were made and %d refused: the test has lost its sense", done[true], done[false])
			}
			fresh := w.open(t)
			for _, acct := range []string{acctA, acctB} {
				want := snapshot(t, fresh, acct)
				for _, d := range dirs {
					must(t, d.Refresh(ctx))
					if diff := cmp.Diff(want, snapshot(t, d, acct)); diff != "" {
						t.Errorf("account %s, from the store and from memory:\n%s", acct, diff)
					}
				}
				consistent(t, fresh, acct)
			}
		})
	}
}

// consistent checks that names are unique and everything that is named exists.
func consistent(t *testing.T, d *identity.Directory, acct string) {
	t.Helper()
	seen := map[string]bool{}
	check := func(kind, name, arn, boundary string, g *identity.Grants) {
		if key := kind + strings.ToLower(name); seen[key] {
			t.Errorf("%s %s is there twice", kind, name)
		} else {
			seen[key] = true
		}
		if !strings.Contains(arn, acct) {
			t.Errorf("%s is in account %s", arn, acct)
		}
		if g == nil {
			return
		}
		for _, p := range append([]string{"arn:aws:iam::aws:policy/AdministratorAccess", boundary}, g.Attached...) {
			if p != "" && d.Policy(acct, p) == nil {
				t.Errorf("%s has %s, which is gone", arn, p)
			}
		}
	}
	for _, u := range d.Users(acct) {
		check("user", u.Name, u.ARN(), u.Boundary, &u.Grants)
		if len(d.GroupsOf(u)) != len(u.Groups) {
			t.Errorf("%s is in a group that is gone", u.Name)
		}
	}
	for _, g := range d.Groups(acct) {
		check("group", g.Name, g.ARN(), "", &g.Grants)
	}
	for _, r := range d.Roles(acct) {
		check("role", r.Name, r.ARN(), r.Boundary, &r.Grants)
	}
	for _, p := range d.LocalPolicies(acct) {
		check("policy", p.Name, p.ARN(), "", nil)
	}
	for _, p := range d.InstanceProfiles(acct) {
		check("profile", p.Name, p.ARN(), "", nil)
		if p.Role != "" && d.RoleByID(acct, p.Role) == nil {
			t.Errorf("instance profile %s has a role that is gone", p.Name)
		}
	}
}
