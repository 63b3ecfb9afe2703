// Package outcrop serves Outcrop's own API: what its operators need and AWS has no
// operation for. It is an API like the others on the same port: signed, authorised
// ("outcrop:..." actions), validated and metered.
package outcrop

import (
	"context"
	"time"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/session"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

// Config carries what a Service needs. All fields are required but Processes and Now.
type Config struct {
	Approvals *approval.Service
	Directory *identity.Directory
	Sessions  *session.Service
	Analyzer  *analyze.Analyzer
	// Agreements and Catalog tell of access to models.
	Agreements *agreement.Service
	Catalog    *catalog.Catalog
	// Faults are what goes wrong on purpose.
	Faults *fault.Rules
	// Processes tells how the engine's processes stand; nil: it has none.
	Processes engine.Reporter
	// Apply makes a change that was approved, as its caller.
	Apply func(ctx context.Context, r *approval.Request) error
	Now   func() time.Time // nil means time.Now
}

// Service serves the API. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg}
}

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateAccessRequest, elevated, s.createRequest),
		service.Bind(api.OpGetAccessRequest, s.getRequest),
		service.Bind(api.OpListAccessRequests, s.listRequests),
		service.Bind(api.OpApproveAccessRequest, s.approve),
		service.Bind(api.OpRejectAccessRequest, s.reject),
		service.Bind(api.OpEndAccessRequest, s.end),
		service.Bind(api.OpStartElevatedSession, s.start),
		service.Bind(api.OpGetApprovalRule, s.getRule),
		service.Bind(api.OpPutApprovalRule, s.putRule),
		service.Bind(api.OpGetAccessReview, s.getReview),
		service.Bind(api.OpGenerateLeastPrivilegePolicy, s.generatePolicy),
		service.Bind(api.OpListRoleTemplates, s.listTemplates),
		service.BindResource(api.OpCreateRoleFromTemplate, fromTemplate, s.createRole),
		service.Bind(api.OpListModelAccess, s.listModels),
		service.Bind(api.OpApproveModelAccess, s.approveModel),
		service.Bind(api.OpPutFaultRule, s.putFault),
		service.Bind(api.OpListFaultRules, s.listFaults),
		service.Bind(api.OpDeleteFaultRule, s.deleteFault),
		service.Bind(api.OpListModelProcesses, s.listProcesses),
	}
}

// elevated is the role that a request asks for.
func elevated(_ context.Context, _ *call.Call, in *api.CreateAccessRequestInput) ([]string, error) {
	if in.RoleArn == nil { // validation says so
		return nil, nil
	}
	return []string{*in.RoleArn}, nil
}
