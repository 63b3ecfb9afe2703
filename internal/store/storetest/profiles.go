package storetest

import (
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/profile"
)

func prof(id, account string, n int) profile.Profile {
	return profile.Profile{
		ID: id, Account: account, Region: regionA, Name: "name of " + id, Description: "what " + id + " is for",
		ModelSource: "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		ModelARNs:   []string{"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2", "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-v2"},
		Created:     at(n), Updated: at(n + 1),
	}
}

func profID(p profile.Profile) string { return p.ID }

func testProfiles(t *testing.T, s Suite) {
	t.Run("round trip", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		bare := prof("bbbbbbbbbbbb", accountA, 2)
		bare.Description = ""
		for _, want := range []profile.Profile{prof("aaaaaaaaaaaa", accountA, 1), bare} {
			must(t, st.PutProfile(t.Context(), want))
			got, err := st.GetProfile(t.Context(), want.Account, want.Region, want.ID)
			must(t, err)
			same(t, "GetProfile", got, want)
		}
	})
	t.Run("taken", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		first := prof("aaaaaaaaaaaa", accountA, 1)
		must(t, st.PutProfile(t.Context(), first))
		sameID, sameName := prof(first.ID, accountA, 2), prof("bbbbbbbbbbbb", accountA, 3)
		sameID.Name, sameName.Name = "another", first.Name
		for what, p := range map[string]profile.Profile{"id": sameID, "name": sameName} {
			if err := st.PutProfile(t.Context(), p); !errors.Is(err, profile.ErrExists) {
				t.Errorf("PutProfile of a taken %s = %v, want profile.ErrExists", what, err)
			}
		}
		all, err := st.ListProfiles(t.Context(), profile.Query{Account: accountA, Region: regionA, Limit: 9})
		must(t, err)
		same(t, "ListProfiles", all, []profile.Profile{first})
	})
	t.Run("delete", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		p := prof("aaaaaaaaaaaa", accountA, 1)
		must(t, st.PutProfile(t.Context(), p))
		must(t, st.DeleteProfile(t.Context(), p.Account, p.Region, p.ID))
		_, err := st.GetProfile(t.Context(), p.Account, p.Region, p.ID)
		for name, err := range map[string]error{"GetProfile": err, "DeleteProfile": st.DeleteProfile(t.Context(), p.Account, p.Region, p.ID)} {
			if !errors.Is(err, profile.ErrNotFound) {
				t.Errorf("%s of a deleted profile = %v, want profile.ErrNotFound", name, err)
			}
		}
		must(t, st.PutProfile(t.Context(), p)) // id and name are free again
	})
	t.Run("pages", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		for _, p := range []profile.Profile{prof("e", accountA, 3), prof("d", accountA, 2), prof("c", accountA, 2), prof("b", accountA, 2), prof("f", accountA, 1)} {
			must(t, st.PutProfile(t.Context(), p))
		}
		want := []string{"f", "b", "c", "d", "e"}
		for limit := 1; limit <= len(want)+1; limit++ {
			got := []string{}
			q := profile.Query{Account: accountA, Region: regionA, Limit: limit}
			for {
				page, err := st.ListProfiles(t.Context(), q)
				must(t, err)
				if len(page) > limit {
					t.Fatalf("page of %d profiles, limit %d", len(page), limit)
				}
				if len(page) == 0 {
					break
				}
				got = append(got, ids(page, profID)...)
				q.After = page[len(page)-1].Cursor()
			}
			same(t, "all pages", got, want)
		}
	})
	t.Run("page behind a deleted profile", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		for n, id := range []string{"a", "b", "c"} {
			must(t, st.PutProfile(t.Context(), prof(id, accountA, n)))
		}
		b := prof("b", accountA, 1)
		must(t, st.DeleteProfile(t.Context(), b.Account, b.Region, b.ID))
		page, err := st.ListProfiles(t.Context(), profile.Query{Account: accountA, Region: regionA, After: b.Cursor(), Limit: 9})
		must(t, err)
		same(t, "ListProfiles", ids(page, profID), []string{"c"})
	})
	t.Run("by name", func(t *testing.T) {
		t.Parallel()
		st := s.fresh(t)
		for n, id := range []string{"a", "b"} {
			must(t, st.PutProfile(t.Context(), prof(id, accountA, n)))
		}
		for name, want := range map[string][]string{"name of b": {"b"}, "NAME OF B": {}, "name of": {}} {
			page, err := st.ListProfiles(t.Context(), profile.Query{Account: accountA, Region: regionA, Name: name, Limit: 9})
			must(t, err)
			same(t, "ListProfiles of "+name, ids(page, profID), want)
		}
	})
}
