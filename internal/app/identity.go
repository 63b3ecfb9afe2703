package app

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/analyze"
	"github.com/outcrop/outcrop/internal/approval"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	stssvc "github.com/outcrop/outcrop/internal/service/sts"
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
	sts       *stssvc.Service
	analyzer  *analyze.Analyzer
	registry  *analyze.Registry
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
	tokens, err := s.cfg.verifier(s.log)
	if err != nil {
		return nil, err
	}
	registry, err := analyze.OpenRegistry(ctx, st.store, nil)
	if err != nil {
		return nil, err
	}
	r := newReasons(st.root)
	a := &authority{
		sessions:  sessions,
		approvals: approvals,
		analyzer:  analyze.New(analyze.Config{Directory: st.directory, Resources: s.resources}),
		registry:  registry,
		reasons:   r,
		callers:   identity.Callers{Keys: st.keys, Sessions: sessions, Directory: st.directory, Elevations: approvals},
		access: access.New(access.Config{
			Principals: st.directory,
			Resources:  map[string]access.Resources{"iam": st.directory, "organizations": st.directory.OrganizationResources(), "bedrock": s.resources, "access-analyzer": s.resources},
			Seal:       r.seal,
		}),
	}
	a.sts = stssvc.New(stssvc.Config{
		Directory: st.directory, Sessions: sessions, Access: a.access, Keys: st.keys, Tokens: tokens, Unseal: r.unseal,
	})
	return a, nil
}

// apply makes a change that was approved, as its caller, who must still be there.
func (s *Server) apply(ctx context.Context, r *approval.Request) error {
	c := &call.Call{ID: r.ID, Region: r.Region, Principal: *r.Caller, Source: *r.Source, ApprovedBy: r.ID}
	if err := s.authority.callers.Standing(ctx, &c.Principal); err != nil {
		return err
	}
	return s.gateway.Apply(ctx, c, r.Service, r.Operation, r.Input)
}

// reasons seals why calls were refused, for DecodeAuthorizationMessage. It packs
// them first: an error has to stay readable with a reason at its end. Their lengths
// are rounded up, so that they tell little of what is inside, such as the tags of a
// resource that its caller must not know of.
type reasons struct {
	root    *keys.RootKey
	writers *sync.Pool // of *flate.Writer
}

const (
	reasonID   = "authorization-message"
	reasonKind = keys.Kind("reason")
	maxReason  = 64 << 10 // bytes of an opened reason
	reasonStep = 512      // packed reasons are filled up to whole steps of bytes
)

// reasonWords stand in most reasons, the likeliest last. Reasons that were sealed
// with other words do not open any more.
const reasonWords = `bedrock:InvokeModelWithResponseStreambedrock:GuardrailIdentifieraws:PrincipalTag/aws:ResourceTag/aws:MultiFactorAuthPresentaws:TokenIssueTime` +
	`arn:aws:iam:::policy/arn:aws:sts:::assumed-role/foundation-model/arn:aws:iam:::user/"conditions":{"items":[{"key":"aws:CurrentTime","values":{"items":[{"value":"2026-` +
	`{"key":"aws:EpochTime","values":{"items":[{"value":"{"key":"aws:PrincipalAccount","values":{"items":[{"value":"{"key":"aws:PrincipalArn","values":{"items":[{"value":"` +
	`{"key":"aws:PrincipalType","values":{"items":[{"value":"User"}]}},{"key":"aws:RequestedRegion","values":{"items":[{"value":"us-east-1"}]}},{"key":"aws:SecureTransport","values":{"items":[{"value":"false"}]}},` +
	`{"key":"aws:SourceIp","values":{"items":[{"value":"127.0.0.1"}]}},{"key":"aws:UserAgent","values":{"items":[{"value":"{"key":"aws:userid","values":{"items":[{"value":"AIDA"}]}},{"key":"aws:username","values":{"items":[{"value":"` +
	`"principals":{"items":[]},"principalGroups":{"items":[]},"actions":{"items":[{"value":"*"}]},"resources":{"items":[{"value":"*"}]},"conditions":{"items":[]}}` +
	`{"allowed":false,"explicitDeny":false,"matchedStatements":{"items":[{"statementId":"","effect":"DENY",]},"failures":{"items":[]},"context":{"principal":{"id":"","name":"","arn":"arn:aws:"},"action":"bedrock:InvokeModel","resource":"arn:aws:bedrock:us-east-1::foundation-model/`

func newReasons(root *keys.RootKey) reasons {
	return reasons{root, &sync.Pool{New: func() any {
		w, _ := flate.NewWriterDict(io.Discard, flate.BestCompression, []byte(reasonWords)) // the level is a good one
		return w
	}}}
}

func (r reasons) seal(plain []byte) string {
	w := r.writers.Get().(*flate.Writer)
	defer r.writers.Put(w)
	var packed bytes.Buffer
	w.Reset(&packed)
	_, _ = w.Write(plain) // a buffer takes everything
	_ = w.Close()
	packed.Write(make([]byte, reasonStep-1-(packed.Len()-1)%reasonStep)) // readers stop at the end of what was packed
	return base64.RawURLEncoding.EncodeToString(r.root.Seal("", reasonID, reasonKind, packed.Bytes()))
}

func (r reasons) unseal(text string) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("not an encoded message")
	}
	packed, err := r.root.Unseal("", reasonID, reasonKind, sealed)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(flate.NewReaderDict(bytes.NewReader(packed), []byte(reasonWords)), maxReason))
}
