// Package bedrock serves the bedrock API, the control plane: which models and
// inference profiles there are, who may use them, and the tags and policies of
// resources.
package bedrock

import (
	"context"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/service"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// Catalog knows models and system profiles. catalog.Catalog implements it.
type Catalog interface {
	List(f catalog.Filter) []catalog.Model
	Get(id, region string) (catalog.Model, error)
	WeightsByID(id string) (catalog.Weights, bool)
	SystemProfiles(region string) []catalog.Profile
	SystemProfile(id, region string) (catalog.Profile, error)
	Resolve(ctx context.Context, modelID, region, account string) (*catalog.Target, error)
	DefaultRouters(region, account string) []promptrouter.Router
}

// Config carries what a Service needs.
type Config struct {
	Catalog    Catalog       // required
	Profiles   profile.Store // required: application inference profiles
	Resources  Resources     // required: tags and resource policies
	Agreements Agreements    // required: access to models
	Routers    Routers       // required: prompt routers of accounts
	// Throughputs keeps provisioned throughput. Required.
	Throughputs Throughputs
	// May reports whether the caller would be allowed something, for
	// authorizationStatus. nil means that everybody would.
	May func(ctx context.Context, c *call.Call, n call.Need) bool
	// Locks reports whether a new policy of a resource would forbid the caller to
	// take it off again. nil means that none does.
	Locks func(ctx context.Context, c *call.Call, arn string, doc *policy.Document) (bool, error)
	// Accepted reports whether the terms of weights were accepted on this
	// machine. nil means that no terms were; weights without terms need none.
	Accepted func(weightsID, licenseURL string) bool
	Now      func() time.Time // nil means time.Now
}

// Service serves the API. It is safe for concurrent use.
type Service struct {
	cfg      Config
	creating sync.Mutex // held while a profile or provisioned throughput is made
}

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.May == nil {
		cfg.May = func(context.Context, *call.Call, call.Need) bool { return true }
	}
	if cfg.Locks == nil {
		cfg.Locks = func(context.Context, *call.Call, string, *policy.Document) (bool, error) { return false, nil }
	}
	if cfg.Accepted == nil {
		cfg.Accepted = func(string, string) bool { return false }
	}
	return &Service{cfg: cfg}
}

// Routes lists the bound operations.
func (s *Service) Routes() []service.Route {
	return []service.Route{
		service.Bind(br.OpListFoundationModels, s.listModels),
		service.BindResource(br.OpGetFoundationModel, s.modelResource, s.getModel),
		service.Bind(br.OpGetFoundationModelAvailability, s.getAvailability),
		service.BindResource(br.OpCreateInferenceProfile, s.createResources, s.createProfile),
		service.BindResource(br.OpGetInferenceProfile, profileResource(getID), s.getProfile),
		service.BindResource(br.OpDeleteInferenceProfile, profileResource(deleteID), s.deleteProfile),
		service.Bind(br.OpListInferenceProfiles, s.listProfiles),
		service.BindResource(br.OpCreateProvisionedModelThroughput, s.createThroughputResources, s.createThroughput),
		service.BindResource(br.OpGetProvisionedModelThroughput, throughputResource(s, getThroughputID), s.getThroughput),
		service.Bind(br.OpListProvisionedModelThroughputs, s.listThroughputs),
		service.BindResource(br.OpUpdateProvisionedModelThroughput, s.updateThroughputResources, s.updateThroughput),
		service.BindResource(br.OpDeleteProvisionedModelThroughput, throughputResource(s, deleteThroughputID), s.deleteThroughput),
		service.BindResource(br.OpCreatePromptRouter, s.createRouterResources, s.createRouter),
		service.BindResource(br.OpGetPromptRouter, routerResource(getRouterARN), s.getRouter),
		service.BindResource(br.OpDeletePromptRouter, routerResource(deleteRouterARN), s.deleteRouter),
		service.Bind(br.OpListPromptRouters, s.listRouters),
		service.Bind(br.OpListFoundationModelAgreementOffers, s.listOffers),
		service.Bind(br.OpCreateFoundationModelAgreement, s.createAgreement),
		service.Bind(br.OpDeleteFoundationModelAgreement, s.deleteAgreement),
		service.Bind(br.OpGetUseCaseForModelAccess, s.getUseCase),
		service.Bind(br.OpPutUseCaseForModelAccess, s.putUseCase),
		service.BindResource(br.OpTagResource, s.tagResources, s.tag),
		service.BindResource(br.OpUntagResource, s.untagResources, s.untag),
		service.BindResource(br.OpListTagsForResource, s.listTagsResources, s.listTags),
		service.BindResource(br.OpPutResourcePolicy, policyResource(s, putPolicyARN), s.putPolicy),
		service.BindResource(br.OpGetResourcePolicy, policyResource(s, getPolicyARN), s.getPolicy),
		service.BindResource(br.OpDeleteResourcePolicy, policyResource(s, deletePolicyARN), s.deletePolicy),
	}
}
