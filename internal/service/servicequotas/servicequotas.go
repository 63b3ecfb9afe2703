// Package servicequotas serves the part of AWS Service Quotas that is about
// Bedrock: what the quotas of models are, and the wish for higher ones.
package servicequotas

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/servicequotas"
	"github.com/outcrop/outcrop/internal/wire/page"
)

const (
	serviceCode = "bedrock"
	serviceName = "Amazon Bedrock"
	pageSize    = 100 // items of a page at most
)

// Models lists models. catalog.Catalog implements it.
type Models interface {
	List(f catalog.Filter) []catalog.Model
}

// Config is what a Service needs.
type Config struct {
	Quotas *quota.Service // required
	Models Models         // required
}

// Service serves the API. It has no state of its own and is safe for concurrent
// use.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg} }

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{
		service.Bind(api.OpListServices, s.listServices),
		service.Bind(api.OpListServiceQuotas, s.listServiceQuotas),
		service.Bind(api.OpListAWSDefaultServiceQuotas, s.listDefaults),
		service.Bind(api.OpGetAWSDefaultServiceQuota, s.getDefault),
		onQuota(api.OpGetServiceQuota, func(in *api.GetServiceQuotaInput) (*string, *string) { return in.ServiceCode, in.QuotaCode }, s.getServiceQuota),
		onQuota(api.OpRequestServiceQuotaIncrease, func(in *api.RequestServiceQuotaIncreaseInput) (*string, *string) { return in.ServiceCode, in.QuotaCode }, s.requestIncrease),
		service.Bind(api.OpGetRequestedServiceQuotaChange, s.getChange),
		service.Bind(api.OpListRequestedServiceQuotaChangeHistory, s.listHistory),
		onQuota(api.OpListRequestedServiceQuotaChangeHistoryByQuota, func(in *api.ListRequestedServiceQuotaChangeHistoryByQuotaInput) (*string, *string) {
			return in.ServiceCode, in.QuotaCode
		}, s.listHistoryByQuota),
	}
}

// onQuota binds an operation that acts on one quota.
func onQuota[In, Out any](op awsapi.Op[In, Out], codes func(*In) (service, quota *string), h func(context.Context, *call.Call, *In) (*Out, error)) service.Route {
	return service.BindResource(op, func(_ context.Context, c *call.Call, in *In) ([]string, error) {
		service, code := codes(in)
		if service == nil || code == nil { // validation says so
			return nil, nil
		}
		c.SetKey("servicequotas:service", *service)
		return []string{quotaARN(c, *service, *code)}, nil
	}, h)
}

func quotaARN(c *call.Call, service, code string) string {
	return "arn:" + arn.Partition(c.Region) + ":servicequotas:" + c.Region + ":" + c.Principal.Account + ":" + service + "/" + code
}

// bound is a quota of a model.
type bound struct {
	kind  quota.Kind
	model string
	code  string
	name  string
}

// bounds are the quotas of the models that a region offers, in the order of their
// names.
func (s *Service) bounds(region string) []bound {
	var out []bound
	for _, m := range s.cfg.Models.List(catalog.Filter{Region: region}) {
		for _, k := range quota.Kinds() {
			out = append(out, bound{k, m.ID, quota.Code(k, m.ID), nameOf(k, &m)})
		}
	}
	slices.SortFunc(out, func(a, b bound) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.code, b.code))
	})
	return out
}

// nameOf is the name of a quota, in the words of AWS where it has such a quota.
func nameOf(k quota.Kind, m *catalog.Model) string {
	name := m.Provider + " " + m.Name
	if strings.HasPrefix(m.Name, m.Provider) {
		name = m.Name
	}
	switch k {
	case quota.Requests:
		return "On-demand model inference requests per minute for " + name
	case quota.RequestsDay:
		return "Model invocation max requests per day for " + name
	case quota.Tokens:
		return "On-demand model inference tokens per minute for " + name
	case quota.TokensDay:
		return "Model invocation max tokens per day for " + name
	}
	return "On-demand model inference concurrent requests for " + name
}

// find returns a quota by its codes.
func (s *Service) find(region string, service, code *string) (bound, error) {
	if err := known(service); err != nil {
		return bound{}, err
	}
	for _, b := range s.bounds(region) {
		if b.code == *code {
			return b, nil
		}
	}
	return bound{}, fail("NoSuchResourceException", "QuotaCode: %s has no quota %q in this Region.", serviceName, *code)
}

// known checks the code of a service.
func known(service *string) error {
	if *service != serviceCode {
		return fail("NoSuchResourceException", "ServiceCode: there is no service %q here; the only one is %q.", *service, serviceCode)
	}
	return nil
}

// fail is one of the exceptions of the API, all of which are 400.
func fail(code, format string, args ...any) error {
	return apierr.New(code, http.StatusBadRequest, format, args...)
}

// view is a quota as the API shows it.
func view(c *call.Call, b *bound, value int64) api.ServiceQuota {
	v := api.ServiceQuota{
		ServiceCode: new(serviceCode), ServiceName: new(serviceName),
		QuotaArn: new(quotaARN(c, serviceCode, b.code)), QuotaCode: &b.code, QuotaName: &b.name,
		Value: new(float64(value)), Unit: new("None"), Adjustable: new(true), GlobalQuota: new(false),
		QuotaAppliedAtLevel: new(api.AppliedLevelEnumAccount),
		Description:         new("Model " + b.model),
	}
	if value == quota.Unlimited {
		v.Value = new(float64(quota.MaxValue))
	}
	if len(*v.Description) > 350 {
		v.Description = nil
	}
	switch b.kind {
	case quota.Requests, quota.Tokens:
		v.Period = &api.QuotaPeriod{PeriodValue: new(int32(1)), PeriodUnit: new(api.PeriodUnitMinute)}
	case quota.RequestsDay, quota.TokensDay:
		v.Period = &api.QuotaPeriod{PeriodValue: new(int32(1)), PeriodUnit: new(api.PeriodUnitDay)}
	}
	return v
}

func (s *Service) listServices(_ context.Context, _ *call.Call, in *api.ListServicesInput) (*api.ListServicesOutput, error) {
	list, next, err := cut([]api.ServiceInfo{{ServiceCode: new(serviceCode), ServiceName: new(serviceName)}},
		func(v *api.ServiceInfo) string { return *v.ServiceCode }, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListServicesOutput{Services: list, NextToken: next}, nil
}

// cut returns the part of a list that a caller asked for, and the token of the next
// one, nil at the end. A token names the last item of the page before.
func cut[T any](items []T, key func(*T) string, token *string, most *int32) ([]T, *string, error) {
	n, from := pageSize, ""
	if most != nil {
		n = min(n, int(*most))
	}
	if token != nil {
		from = *token
	}
	items, next, err := page.Named(items, func(_ int, v *T) string { return key(v) }, "", from, n)
	switch {
	case err != nil:
		return nil, nil, fail("InvalidPaginationTokenException", "NextToken: use the token that the operation answered with before.")
	case next == "":
		return items, nil, nil
	}
	return items, &next, nil
}

// quotas is a page of quotas with the values that value tells.
func (s *Service) quotas(c *call.Call, list []bound, value func(*bound) int64, token *string, most *int32) ([]api.ServiceQuota, *string, error) {
	list, next, err := cut(list, func(b *bound) string { return b.code }, token, most)
	if err != nil {
		return nil, nil, err
	}
	out := make([]api.ServiceQuota, len(list))
	for i := range list {
		out[i] = view(c, &list[i], value(&list[i]))
	}
	return out, next, nil
}

func (s *Service) applied(c *call.Call) func(*bound) int64 {
	return func(b *bound) int64 { return s.cfg.Quotas.Applied(c.Principal.Account, c.Region, b.model, b.kind) }
}

func (s *Service) defaults(c *call.Call) func(*bound) int64 {
	return func(b *bound) int64 { return s.cfg.Quotas.Default(c.Region, b.model, b.kind) }
}

func (s *Service) listServiceQuotas(_ context.Context, c *call.Call, in *api.ListServiceQuotasInput) (*api.ListServiceQuotasOutput, error) {
	if err := known(in.ServiceCode); err != nil {
		return nil, err
	}
	list := s.bounds(c.Region)
	if in.QuotaAppliedAtLevel != nil && *in.QuotaAppliedAtLevel == api.AppliedLevelEnumResource {
		list = nil // no quota is about a single resource
	}
	if in.QuotaCode != nil {
		list = slices.DeleteFunc(list, func(b bound) bool { return b.code != *in.QuotaCode })
	}
	out, next, err := s.quotas(c, list, s.applied(c), in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListServiceQuotasOutput{Quotas: out, NextToken: next}, nil
}

func (s *Service) listDefaults(_ context.Context, c *call.Call, in *api.ListAWSDefaultServiceQuotasInput) (*api.ListAWSDefaultServiceQuotasOutput, error) {
	if err := known(in.ServiceCode); err != nil {
		return nil, err
	}
	out, next, err := s.quotas(c, s.bounds(c.Region), s.defaults(c), in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListAWSDefaultServiceQuotasOutput{Quotas: out, NextToken: next}, nil
}

func (s *Service) getDefault(_ context.Context, c *call.Call, in *api.GetAWSDefaultServiceQuotaInput) (*api.GetAWSDefaultServiceQuotaOutput, error) {
	b, err := s.find(c.Region, in.ServiceCode, in.QuotaCode)
	if err != nil {
		return nil, err
	}
	return &api.GetAWSDefaultServiceQuotaOutput{Quota: new(view(c, &b, s.defaults(c)(&b)))}, nil
}

func (s *Service) getServiceQuota(_ context.Context, c *call.Call, in *api.GetServiceQuotaInput) (*api.GetServiceQuotaOutput, error) {
	if err := wholeAccount(in.ContextId); err != nil {
		return nil, err
	}
	b, err := s.find(c.Region, in.ServiceCode, in.QuotaCode)
	if err != nil {
		return nil, err
	}
	return &api.GetServiceQuotaOutput{Quota: new(view(c, &b, s.applied(c)(&b)))}, nil
}

// wholeAccount refuses the id of a resource: all quotas are those of accounts.
func wholeAccount(contextID *string) error {
	if contextID != nil {
		return fail("IllegalArgumentException", "ContextId: the quotas of %s are those of the account, not of a resource.", serviceName)
	}
	return nil
}

func (s *Service) requestIncrease(ctx context.Context, c *call.Call, in *api.RequestServiceQuotaIncreaseInput) (*api.RequestServiceQuotaIncreaseOutput, error) {
	if err := wholeAccount(in.ContextId); err != nil {
		return nil, err
	}
	b, err := s.find(c.Region, in.ServiceCode, in.QuotaCode)
	if err != nil {
		return nil, err
	}
	value := *in.DesiredValue
	if value != math.Trunc(value) {
		return nil, fail("IllegalArgumentException", "DesiredValue: want a whole number.")
	}
	r, err := s.cfg.Quotas.Ask(ctx, quota.Request{
		Account: c.Principal.Account, Region: c.Region, Model: b.model, Kind: b.kind, Value: int64(value), By: c.Principal.ARN,
	})
	switch {
	case errors.Is(err, quota.ErrPending):
		return nil, fail("ResourceAlreadyExistsException", "QuotaCode: only one open request is allowed for a quota.")
	case errors.Is(err, quota.ErrNotMore):
		return nil, fail("IllegalArgumentException", "DesiredValue: want a value greater than the current one.")
	case errors.Is(err, quota.ErrMany):
		return nil, fail("QuotaExceededException", "The account has %d open requests, which is the most.", quota.MaxPending)
	case err != nil:
		return nil, fmt.Errorf("request a quota: %w", err)
	}
	return &api.RequestServiceQuotaIncreaseOutput{RequestedQuota: new(s.change(c, &r))}, nil
}

// change is a request as the API shows it.
func (s *Service) change(c *call.Call, r *quota.Request) api.RequestedServiceQuotaChange {
	code := quota.Code(r.Kind, r.Model)
	v := api.RequestedServiceQuotaChange{
		Id: &r.ID, ServiceCode: new(serviceCode), ServiceName: new(serviceName), QuotaCode: &code,
		DesiredValue: new(float64(r.Value)), Status: new(api.RequestStatus(r.Status)), Created: &r.Created, LastUpdated: &r.Updated, Requester: &r.By,
		QuotaArn: new(quotaARN(c, serviceCode, code)), GlobalQuota: new(false), Unit: new("None"), QuotaRequestedAtLevel: new(api.AppliedLevelEnumAccount),
	}
	for _, m := range s.cfg.Models.List(catalog.Filter{}) {
		if m.ID == r.Model {
			v.QuotaName = new(nameOf(r.Kind, &m))
			break
		}
	}
	return v
}

func (s *Service) getChange(_ context.Context, c *call.Call, in *api.GetRequestedServiceQuotaChangeInput) (*api.GetRequestedServiceQuotaChangeOutput, error) {
	r, err := s.cfg.Quotas.Request(c.Principal.Account, c.Region, *in.RequestId)
	if errors.Is(err, quota.ErrNone) {
		return nil, fail("NoSuchResourceException", "RequestId: there is no such request.")
	}
	if err != nil {
		return nil, err
	}
	return &api.GetRequestedServiceQuotaChangeOutput{RequestedQuota: new(s.change(c, &r))}, nil
}

// history is a page of the requests of the caller's account.
func (s *Service) history(c *call.Call, status *api.RequestStatus, level *api.AppliedLevelEnum, code *string, token *string, most *int32) ([]api.RequestedServiceQuotaChange, *string, error) {
	list := slices.DeleteFunc(s.cfg.Quotas.Requests(c.Principal.Account, c.Region), func(r quota.Request) bool {
		return status != nil && string(*status) != string(r.Status) ||
			level != nil && *level == api.AppliedLevelEnumResource ||
			code != nil && *code != quota.Code(r.Kind, r.Model)
	})
	list, next, err := cut(list, func(r *quota.Request) string { return r.ID }, token, most)
	if err != nil {
		return nil, nil, err
	}
	out := make([]api.RequestedServiceQuotaChange, len(list))
	for i := range list {
		out[i] = s.change(c, &list[i])
	}
	return out, next, nil
}

func (s *Service) listHistory(_ context.Context, c *call.Call, in *api.ListRequestedServiceQuotaChangeHistoryInput) (*api.ListRequestedServiceQuotaChangeHistoryOutput, error) {
	if in.ServiceCode != nil {
		if err := known(in.ServiceCode); err != nil {
			return nil, err
		}
	}
	out, next, err := s.history(c, in.Status, in.QuotaRequestedAtLevel, nil, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListRequestedServiceQuotaChangeHistoryOutput{RequestedQuotas: out, NextToken: next}, nil
}

func (s *Service) listHistoryByQuota(_ context.Context, c *call.Call, in *api.ListRequestedServiceQuotaChangeHistoryByQuotaInput) (*api.ListRequestedServiceQuotaChangeHistoryByQuotaOutput, error) {
	if _, err := s.find(c.Region, in.ServiceCode, in.QuotaCode); err != nil {
		return nil, err
	}
	out, next, err := s.history(c, in.Status, in.QuotaRequestedAtLevel, in.QuotaCode, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListRequestedServiceQuotaChangeHistoryByQuotaOutput{RequestedQuotas: out, NextToken: next}, nil
}
