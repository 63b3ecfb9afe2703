package app

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/session"
)

// openDirectory opens who exists in an installation.
func openDirectory(ctx context.Context, s *state, log *slog.Logger) (*identity.Directory, error) {
	return identity.Open(ctx, identity.Config{
		Records: s.store, Keys: s.keys, Root: s.root, Log: log, Management: s.cfg.Account, ForbidLongTerm: s.cfg.Keys.ForbidLongTermBearer,
	})
}

// authority is who may do what: what the front door asks about callers and calls.
type authority struct {
	sessions  *session.Service
	callers   identity.Callers
	access    *access.Authorizer
	approvals *approval.Service
	reasons   reasons
}

// newAuthority brings the rooms of identity and access together.
func (s *Server) newAuthority(ctx context.Context) (*authority, error) {
	st := s.state
	sessions, err := session.New(session.Config{Root: st.root})
	if err != nil {
		return nil, err
	}
	approvals, err := approval.New(ctx, approval.Config{Records: st.store, Changed: st.directory.Announce})
	if err != nil {
		return nil, err
	}
	r := reasons{st.root}
	return &authority{
		sessions:  sessions,
		approvals: approvals,
		reasons:   r,
		callers:   identity.Callers{Keys: st.keys, Sessions: sessions, Directory: st.directory, Elevations: approvals},
		access: access.New(access.Config{
			Principals: st.directory,
			Resources:  map[string]access.Resources{"iam": st.directory, "organizations": st.directory.OrganizationResources(), "bedrock": s.resources},
			Seal:       r.seal,
		}),
	}, nil
}

// apply makes a change that was approved, as its caller.
func (s *Server) apply(ctx context.Context, r *approval.Request) error {
	c := &call.Call{ID: r.ID, Region: r.Region, Principal: *r.Caller, Source: *r.Source, ApprovedBy: r.ID}
	return s.gateway.Apply(ctx, c, r.Service, r.Operation, r.Input)
}

// reasons seals why calls were refused, for DecodeAuthorizationMessage.
type reasons struct{ root *keys.RootKey }

const (
	reasonID   = "authorization-message"
	reasonKind = keys.Kind("reason")
)

func (r reasons) seal(plain []byte) string {
	return base64.RawURLEncoding.EncodeToString(r.root.Seal("", reasonID, reasonKind, plain))
}

func (r reasons) unseal(text string) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("not an encoded message")
	}
	return r.root.Unseal("", reasonID, reasonKind, sealed)
}
