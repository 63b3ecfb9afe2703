package app

import (
	"context"

	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/provision"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// newKeeper returns what sets the slots of provisioned throughput aside.
func (s *Server) newKeeper() *provision.Keeper {
	r, ok := s.engine.(engine.Reserver)
	if !ok {
		r = noReserver{}
	}
	cat := s.state.catalog
	return provision.NewKeeper(provision.KeeperConfig{
		Book: s.state.provisioned, Engine: r, Log: s.log,
		Target: func(model, region string) (engine.Target, error) {
			m, err := cat.Get(model, region)
			if err != nil {
				return engine.Target{}, err
			}
			w, _ := cat.WeightsByID(m.Weights)
			return engine.Target{Weights: w.ID, Mode: engine.Mode(w.Mode)}, nil
		},
	})
}

// noReserver stands for an engine that can set nothing aside.
type noReserver struct{}

func (noReserver) Reserve(_ context.Context, _ engine.Target, _ string, n int) error {
	if n == 0 {
		return nil
	}
	return apierr.QuotaExceeded("The engine cannot set throughput aside.")
}
