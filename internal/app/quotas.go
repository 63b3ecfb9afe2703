package app

import (
	"context"
	"log/slog"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/store"
)

// openQuotas opens what accounts and principals may use of models.
func openQuotas(ctx context.Context, st store.Store, log *slog.Logger) (*quota.Service, error) {
	return quota.Open(ctx, quota.Config{Records: st, Log: log})
}

// limited puts the quotas before what runs models.
func (s *Server) limited(behind agreement.Inference) agreement.Inference {
	listed := map[string]bool{}
	for _, m := range s.state.catalog.List(catalog.Filter{}) {
		listed[m.ID] = true
	}
	return quota.Gate{
		Inference: behind, Quotas: s.quotas, Buckets: s.buckets,
		Listed: func(id string) bool { return listed[id] },
	}
}
