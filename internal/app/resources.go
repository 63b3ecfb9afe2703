package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/access/policy"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/resource"
	runtimesvc "github.com/outcrop/outcrop/internal/service/bedrockruntime"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// openResources opens the tags and policies of resources. A type of resource that
// callers make is one line here.
func openResources(ctx context.Context, s *state, changed func(), log *slog.Logger) (*resource.Book, error) {
	st := s.store
	return resource.Open(ctx, resource.Config{
		Records: st, Changed: changed, Log: log,
		Exists: map[string]resource.Exists{
			"application-inference-profile": profile.Exists(st),
			"prompt-router":                 s.routers.Exists,
			"provisioned-model":             s.provisioned.Exists,
			"async-invoke": func(ctx context.Context, account, region, id string) (bool, error) {
				_, err := st.GetJob(ctx, account, region, runtimesvc.AsyncKind, id)
				if errors.Is(err, jobs.ErrNotFound) {
					return false, nil
				}
				return err == nil, err
			},
		},
	})
}

// may asks whether a caller would be allowed something. It decides nothing about
// the call itself.
func (s *Server) may(ctx context.Context, c *call.Call, n call.Need) bool {
	asked := *c
	asked.Needs, asked.Keys = nil, nil
	return s.authority.access.Authorize(ctx, &asked, n) == nil
}

// locks asks whether a new policy of a resource would forbid the caller to take it
// off again.
func (s *Server) locks(ctx context.Context, c *call.Call, name string, doc *policy.Document) (bool, error) {
	known, err := s.resources.Resource(ctx, name, c.Principal.Account)
	if err != nil {
		known = access.Resource{} // the old policy cannot be read, and goes
	}
	known.Policy = doc
	d, err := s.authority.access.Decide(ctx, access.Request{
		Principal: c.Principal, Action: br.OpDeleteResourcePolicy.Operation.Action, Resource: name, Target: &known, Source: c.Source, Region: c.Region,
	})
	return d.Layers[policy.Resource] == access.ExplicitDeny, err
}
