package servicequotas_test

import (
	"context"
	"errors"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/record/recordtest"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/service/servicequotas"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/servicequotas"
)

const (
	account = "111122223333"
	titan   = "amazon.titan-text-lite-v1"
)

type world struct {
	quotas *quota.Service
	routes map[*awsapi.Operation]service.Route
	call   call.Call
}

func open(t *testing.T) *world {
	t.Helper()
	q, err := quota.Open(t.Context(), quota.Config{Records: &recordtest.Store{}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(catalog.Options{StandIns: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{quotas: q, routes: map[*awsapi.Operation]service.Route{}, call: call.Call{
		Region: "us-east-1", Principal: call.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/ann"},
	}}
	for _, r := range servicequotas.New(servicequotas.Config{Quotas: q, Models: c}).Routes() {
		w.routes[r.Operation] = r
	}
	return w
}

func try[In, Out any](w *world, op awsapi.Op[In, Out], in *In) (*Out, error) {
	c := w.call
	out, err := w.routes[op.Operation].Serve(context.Background(), &c, in)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

func do[In, Out any](t *testing.T, w *world, op awsapi.Op[In, Out], in *In) *Out {
	t.Helper()
	out, err := try(w, op, in)
	if err != nil {
		t.Fatalf("%s: %v", op.Operation.Name, err)
	}
	return out
}

func fails[In, Out any](t *testing.T, w *world, op awsapi.Op[In, Out], in *In, code string) {
	t.Helper()
	_, err := try(w, op, in)
	if e, ok := errors.AsType[*apierr.Error](err); !ok || e.Code != code || e.Status != 400 {
		t.Errorf("%s answers %v, want %s", op.Operation.Name, err, code)
	}
}

// Every code of the catalogue stands for one quota, and the pages hold each of them
// once.
func TestLists(t *testing.T) {
	t.Parallel()
	w := open(t)
	if err := w.quotas.Set(t.Context(), quota.Setting{Account: account, Model: titan, Kind: quota.Tokens, Value: 500}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]api.ServiceQuota{}
	pages := 0
	for in := (&api.ListServiceQuotasInput{ServiceCode: new("bedrock"), MaxResults: new(int32(37))}); ; pages++ {
		out := do(t, w, api.OpListServiceQuotas, in)
		for _, q := range out.Quotas {
			if _, twice := seen[*q.QuotaCode]; twice {
				t.Errorf("%s stands twice", *q.QuotaCode)
			}
			seen[*q.QuotaCode] = q
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if len(seen) < 100 || pages < 3 {
		t.Errorf("%d quotas on %d pages", len(seen), pages)
	}
	code := quota.Code(quota.Tokens, titan)
	q := seen[code]
	if *q.Value != 500 || *q.Period.PeriodUnit != api.PeriodUnitMinute || *q.QuotaArn != "arn:aws:servicequotas:us-east-1:"+account+":bedrock/"+code {
		t.Errorf("the quota is %v, %v, %v", *q.Value, *q.Period.PeriodUnit, *q.QuotaArn)
	}
	if day := seen[quota.Code(quota.TokensDay, titan)]; *day.Value != 500*1440 || *day.Period.PeriodUnit != api.PeriodUnitDay {
		t.Errorf("the quota of a day is %v", *day.Value)
	}
	if *do(t, w, api.OpGetServiceQuota, &api.GetServiceQuotaInput{ServiceCode: new("bedrock"), QuotaCode: &code}).Quota.Value != 500 ||
		*do(t, w, api.OpGetAWSDefaultServiceQuota, &api.GetAWSDefaultServiceQuotaInput{ServiceCode: new("bedrock"), QuotaCode: &code}).Quota.Value != float64(quota.DefaultTokens) {
		t.Error("the applied and the default value are not 500 and the shipped one")
	}
	one := do(t, w, api.OpListServiceQuotas, &api.ListServiceQuotasInput{ServiceCode: new("bedrock"), QuotaCode: &code})
	if len(one.Quotas) != 1 || len(do(t, w, api.OpListAWSDefaultServiceQuotas, &api.ListAWSDefaultServiceQuotasInput{ServiceCode: new("bedrock")}).Quotas) != 100 ||
		*do(t, w, api.OpListServices, &api.ListServicesInput{}).Services[0].ServiceCode != "bedrock" {
		t.Error("lists are not what was asked for")
	}
	if level := api.AppliedLevelEnumResource; len(do(t, w, api.OpListServiceQuotas, &api.ListServiceQuotasInput{ServiceCode: new("bedrock"), QuotaAppliedAtLevel: &level}).Quotas) != 0 {
		t.Error("there are quotas of resources")
	}
	fails(t, w, api.OpListServiceQuotas, &api.ListServiceQuotasInput{ServiceCode: new("ec2")}, "NoSuchResourceException")
	fails(t, w, api.OpListServiceQuotas, &api.ListServiceQuotasInput{ServiceCode: new("bedrock"), NextToken: new("x")}, "InvalidPaginationTokenException")
	fails(t, w, api.OpGetServiceQuota, &api.GetServiceQuotaInput{ServiceCode: new("bedrock"), QuotaCode: new("L-0")}, "NoSuchResourceException")
	fails(t, w, api.OpGetServiceQuota, &api.GetServiceQuotaInput{ServiceCode: new("bedrock"), QuotaCode: &code, ContextId: new("x")}, "IllegalArgumentException")
}

func TestRequests(t *testing.T) {
	t.Parallel()
	w := open(t)
	code := quota.Code(quota.Concurrent, titan)
	ask := func(value float64) *api.RequestServiceQuotaIncreaseInput {
		return &api.RequestServiceQuotaIncreaseInput{ServiceCode: new("bedrock"), QuotaCode: &code, DesiredValue: &value}
	}
	fails(t, w, api.OpRequestServiceQuotaIncrease, ask(float64(quota.DefaultConcurrent)), "IllegalArgumentException")
	fails(t, w, api.OpRequestServiceQuotaIncrease, ask(99999.5), "IllegalArgumentException")
	r := do(t, w, api.OpRequestServiceQuotaIncrease, ask(99999)).RequestedQuota
	if *r.Status != api.RequestStatusPending || *r.DesiredValue != 99999 || *r.QuotaCode != code || r.QuotaName == nil || *r.Requester != w.call.Principal.ARN {
		t.Errorf("the request is %+v", r)
	}
	fails(t, w, api.OpRequestServiceQuotaIncrease, ask(99999), "ResourceAlreadyExistsException")
	if _, err := w.quotas.Approve(t.Context(), *r.Id, "operator:eve"); err != nil {
		t.Fatal(err)
	}
	got := do(t, w, api.OpGetRequestedServiceQuotaChange, &api.GetRequestedServiceQuotaChangeInput{RequestId: r.Id}).RequestedQuota
	if *got.Status != api.RequestStatusApproved {
		t.Errorf("the request is %s", *got.Status)
	}
	history := func(status api.RequestStatus) int {
		return len(do(t, w, api.OpListRequestedServiceQuotaChangeHistory, &api.ListRequestedServiceQuotaChangeHistoryInput{Status: &status}).RequestedQuotas)
	}
	if history(api.RequestStatusApproved) != 1 || history(api.RequestStatusPending) != 0 {
		t.Error("the history does not go by status")
	}
	other := quota.Code(quota.Tokens, titan)
	for c, want := range map[string]int{code: 1, other: 0} {
		in := &api.ListRequestedServiceQuotaChangeHistoryByQuotaInput{ServiceCode: new("bedrock"), QuotaCode: &c}
		if n := len(do(t, w, api.OpListRequestedServiceQuotaChangeHistoryByQuota, in).RequestedQuotas); n != want {
			t.Errorf("quota %s has %d requests, want %d", c, n, want)
		}
	}
	fails(t, w, api.OpGetRequestedServiceQuotaChange, &api.GetRequestedServiceQuotaChangeInput{RequestId: new("0")}, "NoSuchResourceException")
	w.call.Principal.Account = "444455556666"
	fails(t, w, api.OpGetRequestedServiceQuotaChange, &api.GetRequestedServiceQuotaChangeInput{RequestId: r.Id}, "NoSuchResourceException")
	if history(api.RequestStatusApproved) != 0 {
		t.Error("another account sees the history")
	}
}
