package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"

	"github.com/outcrop/outcrop/internal/apptest"
)

// TestAccessApproveModel: an account accepts the terms of a model, and the
// management account approves it by the server's API.
func TestAccessApproveModel(t *testing.T) {
	t.Parallel()
	const dev, model = "222233334444", "meta.llama3-8b-instruct-v1:0"
	s := apptest.Start(t)
	type key struct{ ID, Secret string }
	made := decode[key](t, outcrop(t, s.Data, "keys", "create", "--account", dev, "--json"))
	env := map[string]string{"AWS_ACCESS_KEY_ID": made.ID, "AWS_SECRET_ACCESS_KEY": made.Secret}
	if r := outcrop(t, s.Data, "access", "approve-model", dev, model); r.status != 1 || !strings.Contains(r.err, "CreateFoundationModelAgreement") {
		t.Errorf("before it is accepted: %+v", r)
	}
	ctx, client := t.Context(), bedrock.NewFromConfig(s.AWS(awsKey(made.ID, made.Secret)))
	offers, err := client.ListFoundationModelAgreementOffers(ctx, &bedrock.ListFoundationModelAgreementOffersInput{ModelId: new(model)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateFoundationModelAgreement(ctx, &bedrock.CreateFoundationModelAgreementInput{ModelId: new(model), OfferToken: offers.Offers[0].OfferToken}); err != nil {
		t.Fatal(err)
	}
	type access struct{ ModelID, State, AcceptedBy, ApprovedBy, License string }
	show := func(env map[string]string, args ...string) access {
		t.Helper()
		all := decode[[]access](t, outcropWith(t, s.Data, "", env, append([]string{"access", "models", "--json"}, args...)...))
		if len(all) != 1 {
			t.Fatalf("models %+v", all)
		}
		return all[0]
	}
	if v := show(env); v.State != "PENDING" || v.ModelID != model || v.AcceptedBy != "arn:aws:iam::"+dev+":root" || v.ApprovedBy != "" {
		t.Errorf("accepted %+v", v)
	}
	if r := outcropWith(t, s.Data, "", env, "access", "approve-model", dev, model); r.status != 1 || !strings.Contains(r.err, "management account") {
		t.Errorf("by the account itself: %+v", r)
	}
	r := outcrop(t, s.Data, "access", "approve-model", dev, model, "--json")
	var v access
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || v.State != "AVAILABLE" || v.ApprovedBy != "arn:aws:iam::000000000000:root" {
		t.Errorf("approved %+v", r)
	}
	if v := show(nil, "--account", dev); v.State != "AVAILABLE" {
		t.Errorf("approved %+v", v)
	}
	if r := outcrop(t, s.Data, "access", "models", "--account", dev); r.status != 0 || !strings.Contains(r.out, model+"  AVAILABLE") {
		t.Errorf("table %+v", r)
	}
	if r := outcropWith(t, s.Data, "", env, "access", "models", "--account", "000000000000"); r.status != 1 || !strings.Contains(r.err, "management account") {
		t.Errorf("of another account: %+v", r)
	}
	for _, args := range [][]string{{"models", "--account", "me"}, {"approve-model", "me", model}, {"approve-model", dev}} {
		if r := outcrop(t, s.Data, append([]string{"access"}, args...)...); r.status != 2 {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
