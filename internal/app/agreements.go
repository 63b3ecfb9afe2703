package app

import (
	"context"
	"log/slog"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/store"
)

// openAgreements opens who may use which model. The default account is approved
// automatically, so that samples run at once.
func openAgreements(ctx context.Context, st store.Store, account string, log *slog.Logger) (*agreement.Service, error) {
	return agreement.Open(ctx, agreement.Config{Records: st, Default: account, Log: log})
}

// gate puts agreements and quotas before the models, behind them what is made to
// go wrong, and then what spares the models work: everything that needs a reply
// comes through it.
func (s *Server) gate(infer *inference.Service) (agreement.Gate, error) {
	behind, err := s.cached(infer)
	if err != nil {
		return agreement.Gate{}, err
	}
	return agreement.Gate{Inference: s.limited(fault.Injector{Inference: behind, Rules: s.faults}), Agreements: s.agreements}, nil
}

// reporter is an engine that tells of its processes; nil when it has none.
func reporter(e engine.Engine) engine.Reporter {
	r, _ := e.(engine.Reporter)
	return r
}
