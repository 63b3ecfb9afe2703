package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/resource"
	runtimesvc "github.com/outcrop/outcrop/internal/service/bedrockruntime"
	"github.com/outcrop/outcrop/internal/store"
)

// openResources opens the tags and policies of resources. A type of resource that
// callers make is one line here.
func openResources(ctx context.Context, st store.Store, changed func(), log *slog.Logger) (*resource.Book, error) {
	return resource.Open(ctx, resource.Config{
		Records: st, Changed: changed, Log: log,
		Exists: map[string]resource.Exists{
			"application-inference-profile": profile.Exists(st),
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
