package app

import (
	"context"
	"log/slog"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/store"
)

// openAgreements opens who may use which model. The default account is approved
// automatically, so that samples run at once.
func openAgreements(ctx context.Context, st store.Store, account string, log *slog.Logger) (*agreement.Service, error) {
	return agreement.Open(ctx, agreement.Config{Records: st, Default: account, Log: log})
}

// gate puts the agreements before the models: everything that needs a reply comes
// through it.
func (s *Server) gate(infer *inference.Service) agreement.Gate {
	return agreement.Gate{Inference: infer, Agreements: s.agreements}
}
