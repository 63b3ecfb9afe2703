package bedrock_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

const form = `{"companyName":"Acme","companyWebsite":"acme.example","intendedUsers":"0","industryOption":"Other","otherIndustryOption":"rocks","useCases":"summaries"}`

type offers struct {
	ModelID string
	Offers  []struct {
		OfferID, OfferToken string
		TermDetails         struct {
			LegalTerm             struct{ URL string }
			UsageBasedPricingTerm struct {
				RateCard []struct{ Dimension, Price, Unit string }
			}
		}
	}
}

// doAs is do for another account's principal.
func doAs(t *testing.T, f *fixture, op string, in any) error {
	t.Helper()
	c := newCall("us-east-1", other)
	c.Principal.ARN = "arn:aws:iam::" + other + ":user/alice"
	_, _, err := f.do(t, c, op, in)
	return err
}

func available(t *testing.T, f *fixture, account string) string {
	t.Helper()
	c := newCall("us-east-1", account)
	body, _, err := f.do(t, c, "GetFoundationModelAvailability", &br.GetFoundationModelAvailabilityInput{ModelId: new(haiku)})
	if err != nil {
		t.Fatal(err)
	}
	got := decode[availability](t, body)
	return got.AgreementAvailability.Status + " " + got.EntitlementAvailability
}

func TestAgreementFlow(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	if got := available(t, f, account); got != "AVAILABLE AVAILABLE" {
		t.Errorf("default account: %s", got)
	}
	if got := available(t, f, other); got != "PENDING NOT_AVAILABLE" {
		t.Errorf("another account: %s", got)
	}
	body, _, err := f.do(t, newCall("us-east-1", other), "ListFoundationModelAgreementOffers", &br.ListFoundationModelAgreementOffersInput{ModelId: new(haiku)})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "list-offers", body)
	token := decode[offers](t, body).Offers[0].OfferToken
	agree := &br.CreateFoundationModelAgreementInput{ModelId: new(haiku), OfferToken: new(token)}
	wantError(t, doAs(t, f, "CreateFoundationModelAgreement", agree), apierr.CodeResourceNotFound, 404, "use case details have not been submitted")
	if err := doAs(t, f, "PutUseCaseForModelAccess", &br.PutUseCaseForModelAccessInput{FormData: []byte(form)}); err != nil {
		t.Fatal(err)
	}
	if err := doAs(t, f, "CreateFoundationModelAgreement", agree); err != nil {
		t.Fatal(err)
	}
	wantError(t, doAs(t, f, "CreateFoundationModelAgreement", agree), apierr.CodeConflict, 400, "already")
	if got := available(t, f, other); got != "PENDING NOT_AVAILABLE" {
		t.Errorf("accepted: %s", got)
	}
	if err := f.agreed.Approve(t.Context(), other, haiku, "operator", agreement.Limits{Regions: []string{"us-east-1"}}); err != nil {
		t.Fatal(err)
	}
	if got := available(t, f, other); got != "AVAILABLE AVAILABLE" {
		t.Errorf("approved: %s", got)
	}
	a, _ := f.agreed.Agreement(other, haiku)
	if a.Accepted[0].By != "arn:aws:iam::"+other+":user/alice" || a.Accepted[0].License != "Apache-2.0" || len(a.Accepted[0].Digest) != 64 {
		t.Errorf("agreement %+v", a)
	}
	if err := f.agreed.Approve(t.Context(), other, haiku, "operator", agreement.Limits{Regions: []string{"eu-west-1"}}); err != nil {
		t.Fatal(err)
	}
	if got := available(t, f, other); got != "AVAILABLE NOT_AVAILABLE" {
		t.Errorf("approved for another region: %s", got)
	}
	if err := doAs(t, f, "DeleteFoundationModelAgreement", &br.DeleteFoundationModelAgreementInput{ModelId: new(haiku)}); err != nil {
		t.Fatal(err)
	}
	if got := available(t, f, other); got != "NOT_AVAILABLE NOT_AVAILABLE" {
		t.Errorf("given up: %s", got)
	}
	wantError(t, doAs(t, f, "DeleteFoundationModelAgreement", &br.DeleteFoundationModelAgreementInput{ModelId: new(haiku)}), apierr.CodeResourceNotFound, 404, "no agreement")
	if got := available(t, f, account); got != "AVAILABLE AVAILABLE" {
		t.Errorf("default account at the end: %s", got)
	}
}

// TestOfferTokenOnACommandLine reads the offers of many accounts: no token may look
// like an option, or `aws bedrock create-foundation-model-agreement` refuses it.
func TestOfferTokenOnACommandLine(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	for i := range 256 {
		c := newCall("us-east-1", fmt.Sprintf("%012d", 100+i))
		body, _, err := f.do(t, c, "ListFoundationModelAgreementOffers", &br.ListFoundationModelAgreementOffersInput{ModelId: new(haiku)})
		if err != nil {
			t.Fatal(err)
		}
		if token := decode[offers](t, body).Offers[0].OfferToken; token == "" || token[0] == '-' {
			t.Fatalf("account %s: token %q", c.Principal.Account, token)
		}
	}
}

func TestAgreementRefused(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	token := func(account, model string) string {
		body, _, err := f.do(t, newCall("us-east-1", account), "ListFoundationModelAgreementOffers", &br.ListFoundationModelAgreementOffersInput{ModelId: new(model)})
		if err != nil {
			t.Fatal(err)
		}
		return decode[offers](t, body).Offers[0].OfferToken
	}
	const nova = "amazon.nova-lite-v1:0"
	for name, tc := range map[string]struct {
		in     *br.CreateFoundationModelAgreementInput
		code   string
		status int
		part   string
	}{
		"unknown model":         {&br.CreateFoundationModelAgreementInput{ModelId: new("acme.model"), OfferToken: new("x")}, apierr.CodeResourceNotFound, 404, ""},
		"a model of Amazon":     {&br.CreateFoundationModelAgreementInput{ModelId: new(nova), OfferToken: new(token(other, nova))}, apierr.CodeValidation, 400, "needs no agreement"},
		"no token":              {&br.CreateFoundationModelAgreementInput{ModelId: new(haiku), OfferToken: new("")}, apierr.CodeValidation, 400, "offerToken"},
		"another model's token": {&br.CreateFoundationModelAgreementInput{ModelId: new(haiku), OfferToken: new(token(other, "mistral.mistral-7b-instruct-v0:2"))}, apierr.CodeValidation, 400, "offerToken"},
		"another account's":     {&br.CreateFoundationModelAgreementInput{ModelId: new(haiku), OfferToken: new(token(account, haiku))}, apierr.CodeValidation, 400, "offerToken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, doAs(t, f, "CreateFoundationModelAgreement", tc.in), tc.code, tc.status, tc.part)
		})
	}
	for model, code := range map[string]string{"acme.model": apierr.CodeResourceNotFound, nova: apierr.CodeValidation, haiku: apierr.CodeResourceNotFound} {
		err := doAs(t, f, "DeleteFoundationModelAgreement", &br.DeleteFoundationModelAgreementInput{ModelId: new(model)})
		if e := apierr.From(err); e == nil || e.Code != code {
			t.Errorf("end of an agreement about %s: %v", model, err)
		}
	}
	wantError(t, doAs(t, f, "ListFoundationModelAgreementOffers", &br.ListFoundationModelAgreementOffersInput{ModelId: new("acme.model")}), apierr.CodeResourceNotFound, 404, "")
	// Models of others need no form.
	const mistral = "mistral.mistral-7b-instruct-v0:2"
	if err := doAs(t, f, "CreateFoundationModelAgreement", &br.CreateFoundationModelAgreementInput{ModelId: new(mistral), OfferToken: new(token(other, mistral))}); err != nil {
		t.Error(err)
	}
	f.records.Fail(os.ErrClosed)
	for op, in := range map[string]any{
		"CreateFoundationModelAgreement": &br.CreateFoundationModelAgreementInput{ModelId: new("meta.llama3-8b-instruct-v1:0"), OfferToken: new(token(other, "meta.llama3-8b-instruct-v1:0"))},
		"DeleteFoundationModelAgreement": &br.DeleteFoundationModelAgreementInput{ModelId: new(mistral)},
		"PutUseCaseForModelAccess":       &br.PutUseCaseForModelAccessInput{FormData: []byte(form)},
	} {
		wantError500(t, op, doAs(t, f, op, in))
	}
}

func wantError500(t *testing.T, what string, err error) {
	t.Helper()
	if e := apierr.From(err); e == nil || e.Code != apierr.CodeInternal {
		t.Errorf("%s: %v", what, err)
	}
}

// An offer changes with the terms of the weights and the prices; the agreement goes
// back to pending with the terms.
func TestChangedTerms(t *testing.T) {
	t.Parallel()
	write := func(text string) catalog.Options {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return catalog.Options{StandIns: true, File: file}
	}
	offer := func(o catalog.Options) (id, token, url string) {
		got := must[offers](t, start(t, o), "ListFoundationModelAgreementOffers", &br.ListFoundationModelAgreementOffersInput{ModelId: new(haiku)}).Offers[0]
		return got.OfferID, got.OfferToken, got.TermDetails.LegalTerm.URL
	}
	id, token, url := offer(catalog.Options{StandIns: true})
	if !strings.HasPrefix(url, "https://") || !strings.HasPrefix(id, "offer-") {
		t.Errorf("offer %s, %s", id, url)
	}
	if id2, token2, _ := offer(write("models:\n  - {id: " + haiku + ", price: {input: 9, output: 10}}\n")); id2 != id || token2 == token {
		t.Error("a new price is the old offer, or new terms")
	}
	if id2, token2, _ := offer(write("weights:\n  - {id: smollm2-135m-instruct, acceptable_use: Be kind.}\n")); id2 == id || token2 == token {
		t.Error("new terms are the old offer")
	}
	bare := "weights:\n  - {id: mine, name: Mine, license: Our own, source: {file: /m.gguf}, mode: chat, context_tokens: 10, default_max_tokens: 5}\nmodels:\n  - {id: " + haiku + ", weights: mine}\n"
	if _, _, url := offer(write(bare)); url != "urn:outcrop:license:Our-own" {
		t.Errorf("address of a licence without one: %s", url)
	}
}

func TestUseCase(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{})
	wantError(t, doAs(t, f, "GetUseCaseForModelAccess", &br.GetUseCaseForModelAccessInput{}), apierr.CodeResourceNotFound, 404, "have not been submitted")
	for name, tc := range map[string]struct{ data, part string }{
		"no JSON":    {"no JSON at all", "formData"},
		"no object":  {`["companyName"]`, "formData"},
		"no company": {`{"companyName":" ","useCases":"x"}`, "formData.companyName"},
		"no uses":    {`{"companyName":"Acme"}`, "formData.useCases"},
		"too short":  {`{}`, "formData"},
		"too long":   {strings.Repeat(" ", 16385) + form, "formData"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, doAs(t, f, "PutUseCaseForModelAccess", &br.PutUseCaseForModelAccessInput{FormData: []byte(tc.data)}), apierr.CodeValidation, 400, tc.part)
		})
	}
	for _, data := range []string{form, base64.StdEncoding.EncodeToString([]byte(form))} {
		must[struct{}](t, f, "PutUseCaseForModelAccess", &br.PutUseCaseForModelAccessInput{FormData: []byte(data)})
		if got := must[struct{ FormData []byte }](t, f, "GetUseCaseForModelAccess", &br.GetUseCaseForModelAccessInput{}); string(got.FormData) != data {
			t.Errorf("form %s", got.FormData)
		}
	}
}

func TestAuthorizationStatus(t *testing.T) {
	t.Parallel()
	f := start(t, catalog.Options{StandIns: true})
	var asked call.Need
	f.may = func(_ context.Context, _ *call.Call, n call.Need) bool { asked = n; return false }
	got := must[availability](t, f, "GetFoundationModelAvailability", &br.GetFoundationModelAvailabilityInput{ModelId: new(haiku)})
	if got.AuthorizationStatus != "NOT_AUTHORIZED" || asked.Action != "bedrock:InvokeModel" || asked.Resources[0] != modelARN {
		t.Errorf("%+v, asked %+v", got, asked)
	}
}
