package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// Callers knows who signs requests. identity.Callers implements it.
type Callers interface {
	// SigV4 returns the owner and the secret of an access key. token is the session
	// token that came with it; "" for long-term keys. Errors:
	// UnrecognizedClientException, ExpiredTokenException.
	SigV4(ctx context.Context, accessKeyID, token string) (call.Principal, secret.Value, error)
	// Bearer returns the owner of a bearer key of either sort, and the only region
	// that it is good for; "" means every region. Errors: AccessDeniedException.
	Bearer(ctx context.Context, token secret.Value) (p call.Principal, region string, err error)
}

// DefaultRegion stands for the region where a request names none: a long-term
// bearer key has no credential scope.
const DefaultRegion = "us-east-1"

// authenticator is the one place where a caller is told from a stranger. Every
// request passes fromHeaders before its body is read, and verify after it.
type authenticator struct {
	callers Callers
	now     func() time.Time
	derived *sigv4.KeyCache
	scopes  map[*awsapi.Service][]string // what a credential scope may name
	query   []string                     // the same where the body names the operation
	regions []string                     // the only ones that are served; none: all
}

func newAuthenticator(cfg Config) *authenticator {
	a := &authenticator{
		callers: cfg.Callers, now: cfg.Now, regions: cfg.Regions,
		derived: sigv4.NewKeyCache(0),
		scopes:  make(map[*awsapi.Service][]string, len(cfg.Services)),
	}
	for _, s := range cfg.Services {
		a.scopes[s] = []string{s.SigningName}
		if s.Protocol == protocolQuery {
			a.query = append(a.query, s.SigningName)
		}
	}
	return a
}

// credential is a caller who is known by name and still has to prove it. verify
// needs the body. The zero credential proves nothing.
type credential struct {
	auth   *authenticator
	signed *sigv4.Signed // until it is verified; nil for a bearer key, which fromHeaders has checked
	key    string        // id of the access key that signed, once it is verified
	token  string        // session token that came with it
	secret secret.Value
	bearer secret.Value // the bearer key
	open   bool         // an operation that is not signed: its body proves who calls
	ok     bool
}

// proved is what of a verified credential is kept for as long as its call runs.
func (c credential) proved() credential {
	if c.signed == nil {
		return c
	}
	return credential{auth: c.auth, key: c.signed.AccessKeyID, token: c.signed.SessionToken, ok: true}
}

// alive looks up once more whether the credential is still good. Errors: as
// Callers.
func (c credential) alive(ctx context.Context) error {
	var err error
	switch {
	case c.key != "":
		_, _, err = c.auth.callers.SigV4(ctx, c.key, c.token)
	case !c.bearer.IsZero():
		_, _, err = c.auth.callers.Bearer(ctx, c.bearer)
	}
	return err
}

// source notes where a request came from. secure is about connections without a
// listener's facts.
func (q *request) source(secure bool) {
	s := network.SourceOf(q.context())
	if s.Listener == "" {
		encryption := network.Plaintext
		if secure {
			encryption = network.Encrypted
		}
		s = network.Direct(q.r.RemoteAddr, encryption)
	}
	q.host, q.loopback = s.HostAllowed(q.r.Host), s.Loopback || s.Unix
	q.Source = call.Source{
		Listener: s.Listener, IP: s.IP, TLS: s.TLS, VPCE: s.VPCE, VPC: s.VPC, EndpointPolicy: s.EndpointPolicy,
		UserAgent: q.r.UserAgent(), Referer: q.r.Referer(),
	}
	if v := q.r.Header[headerCache]; len(v) > 0 {
		q.CacheAsk = v[0]
	}
}

// fromHeaders checks all that can be checked without the body.
func (a *authenticator) fromHeaders(q *request) (credential, error) {
	if !q.host {
		return credential{}, apierr.New(apierr.CodeInvalidSignature, http.StatusForbidden, "This server is not reached under the host name of the request.")
	}
	if q.direct != nil {
		return a.direct(q)
	}
	form, err := sigv4.Detect(q.r)
	if err != nil {
		return credential{}, err
	}
	if form == sigv4.Bearer {
		return a.bearer(q)
	}
	scopes := a.query
	if q.svc != nil {
		scopes = a.scopes[q.svc]
	}
	signed, err := sigv4.Parse(q.r, a.now(), sigv4.Options{Services: scopes, Events: takesEvents(q.svc, q.op)})
	if err != nil {
		return credential{}, err
	}
	if err := a.serves(signed.Region, signed.Service); err != nil {
		return credential{}, err
	}
	q.Region, q.Partition, q.scope = signed.Region, signed.Partition, signed.Service
	p, sec, err := a.callers.SigV4(q.context(), signed.AccessKeyID, signed.SessionToken)
	if err != nil {
		return credential{}, err
	}
	q.claimed = p
	return credential{auth: a, signed: signed, secret: sec, ok: true}, nil
}

// mayBeOpen reports whether a request without credentials, which err says, may be
// of an operation that needs none: only query services have such.
func (a *authenticator) mayBeOpen(q *request, err error) bool {
	e, ok := errors.AsType[*apierr.Error](err)
	return ok && e.Code == apierr.CodeMissingAuth && q.direct == nil && q.svc == nil && q.host
}

// unsigned is the credential of an operation whose body proves who calls.
func (a *authenticator) unsigned(q *request) credential {
	q.Region, q.stranger = a.unnamed(), true
	q.Partition = arn.Partition(q.Region)
	return credential{auth: a, open: true, ok: true}
}

// bearer checks a bearer key whole: there is no signature to wait for.
func (a *authenticator) bearer(q *request) (credential, error) {
	if q.op == nil || !q.op.Bearer {
		return credential{}, apierr.AccessDenied("This operation does not accept bearer keys; sign the request with SigV4.")
	}
	return a.byToken(q, sigv4.BearerToken(q.r))
}

// byToken makes the owner of a bearer key the caller.
func (a *authenticator) byToken(q *request, token secret.Value) (credential, error) {
	if !q.Source.TLS && !q.loopback {
		return credential{}, apierr.AccessDenied("Bearer keys are accepted over TLS or from this machine only.")
	}
	p, region, err := a.callers.Bearer(q.context(), token)
	if err != nil {
		return credential{}, err
	}
	if err := a.serves(cmp.Or(region, a.unnamed()), ""); err != nil {
		return credential{}, apierr.AccessDenied("The bearer key is good for the region %s, which this server does not serve: it serves %s.", region, strings.Join(a.regions, ", "))
	}
	q.Region = cmp.Or(region, a.unnamed())
	q.Partition = arn.Partition(q.Region)
	q.claimed = p
	return credential{auth: a, bearer: token, ok: true}, nil
}

// verifyEvents proves the credential over the request's head, makes its owner
// the call's principal, and returns what proves each event of the body.
func (c credential) verifyEvents(q *request) (*sigv4.Events, error) {
	if !c.ok || c.signed == nil {
		return nil, sigv4.MissingToken()
	}
	chain, err := c.signed.VerifyEvents(c.auth.derived, c.secret, 0)
	if err != nil {
		return nil, err
	}
	q.Principal, q.credential = q.claimed, c.proved()
	return chain, nil
}

// verify proves the credential over the body that has arrived, and only then
// makes its owner the call's principal.
func (c credential) verify(q *request) error {
	if !c.ok {
		return sigv4.MissingToken()
	}
	if c.signed != nil {
		if err := c.signed.Verify(c.auth.derived, c.secret, q.body); err != nil {
			return err
		}
	}
	q.Principal, q.credential = q.claimed, c.proved()
	return nil
}
