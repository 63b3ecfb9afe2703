// Package bedrock serves the bedrock API, the control plane: which models and
// inference profiles there are.
package bedrock

import (
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
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
}

// Config carries what a Service needs.
type Config struct {
	Catalog  Catalog       // required
	Profiles profile.Store // required: application inference profiles
	// Accepted reports whether the terms of weights were accepted on this
	// machine. nil means that no terms were; weights without terms need none.
	Accepted func(weightsID, licenseURL string) bool
	Now      func() time.Time // nil means time.Now
}

// Service serves the API. It is safe for concurrent use.
type Service struct {
	cfg      Config
	creating sync.Mutex // held while a profile is made
}

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
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
		service.BindResource(br.OpCreateInferenceProfile, s.sourceResource, s.createProfile),
		service.BindResource(br.OpGetInferenceProfile, profileResource(getID), s.getProfile),
		service.BindResource(br.OpDeleteInferenceProfile, profileResource(deleteID), s.deleteProfile),
		service.Bind(br.OpListInferenceProfiles, s.listProfiles),
	}
}
