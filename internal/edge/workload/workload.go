// Package workload hands out temporary credentials to programs of this machine, so
// that no program needs a key of its own. It speaks what unchanged AWS SDKs ask in
// containers and on instances: the container credentials endpoint
// (AWS_CONTAINER_CREDENTIALS_FULL_URI) and version 2 of the instance metadata
// service (AWS_EC2_METADATA_SERVICE_ENDPOINT).
//
// A workload proves itself by a secret of its own, by the user that its process
// runs as, or by both. Requests that came through a proxy or from a browser are
// refused, and so is every Host header but that of the loopback.
package workload

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
)

const (
	// renewAt is how long credentials must still be good for to be handed out again.
	// They live for an hour. SDKs ask for new ones some 15 minutes before the end, and
	// botocore takes instance credentials with less than 20 minutes left for a sign of
	// trouble, so it has to be well above both.
	renewAt = 30 * time.Minute
	// minToken and maxToken bound a workload's secret, in characters.
	minToken = 16
	maxToken = 1024
)

// Workload is a program, or several that may do the same.
type Workload struct {
	Name string // 2 to 64 letters, digits and +=,.@-_; also the name of its sessions
	Role string // ARN of the role that it acts as
	// Token is its secret, 16 to 1024 letters, digits and -._~. Zero: it has none.
	Token secret.Value
	// UID is the user that its processes run as; nil: any. It is asked of the system,
	// which only Linux answers: elsewhere nobody runs as that user.
	UID *uint32
}

// Issuer makes sessions of roles for services. sts.Service implements it.
type Issuer interface {
	ForService(ctx context.Context, role, name string, services ...string) (session.Credentials, error)
}

// Config is what a Handler is made of.
type Config struct {
	Workloads []Workload
	Issuer    Issuer           // required
	Region    string           // what the metadata tells; "" means us-east-1
	Now       func() time.Time // nil means time.Now
	Log       *slog.Logger     // nil discards
	// UID returns the user that a loopback connection's other end belongs to; nil asks
	// the system. here is our end.
	UID func(peer, here netip.AddrPort) (uint32, error)
}

// Handler is an http.Handler. It is safe for concurrent use.
type Handler struct {
	cfg   Config
	all   []*worker
	key   [32]byte // of metadata tokens
	dummy [32]byte
}

// worker is a workload and the credentials that it has now.
type worker struct {
	Workload
	sum [32]byte // of the token
	ecs holder
	ec2 holder
}

// New returns a Handler. Errors: a workload that could not be told from others, or
// that anybody could be.
func New(cfg Config) (*Handler, error) {
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.UID == nil {
		cfg.UID = peerUID
	}
	h := &Handler{cfg: cfg, key: newKey(), dummy: newKey()}
	names, sums := map[string]bool{}, map[[32]byte]bool{}
	uids := map[uint32]bool{}
	for _, w := range cfg.Workloads {
		if err := w.check(); err != nil {
			return nil, err
		}
		k := &worker{Workload: w, sum: sha256.Sum256(w.Token.Reveal())}
		if names[w.Name] {
			return nil, fmt.Errorf("workload %s: is there twice", w.Name)
		}
		names[w.Name] = true
		if !w.Token.IsZero() {
			if sums[k.sum] {
				return nil, fmt.Errorf("workload %s: another workload has the same token", w.Name)
			}
			sums[k.sum] = true
		} else {
			if uids[*w.UID] {
				return nil, fmt.Errorf("workload %s: another workload without a token runs as user %d too", w.Name, *w.UID)
			}
			uids[*w.UID] = true
		}
		h.all = append(h.all, k)
	}
	return h, nil
}

func (w Workload) check() error {
	if n := len(w.Name); n < 2 || n > 64 || strings.Trim(w.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@-_") != "" {
		return fmt.Errorf("workload %q: its name must have 2 to 64 letters, digits and characters of +=,.@-_", w.Name)
	}
	if w.Token.IsZero() && w.UID == nil {
		return fmt.Errorf("workload %s: it needs a token, a user, or both; else everybody on this machine could be it", w.Name)
	}
	if t := string(w.Token.Reveal()); t != "" && (len(t) < minToken || len(t) > maxToken || !plain(t)) {
		return fmt.Errorf("workload %s: its token must have %d to %d letters, digits and characters of -._~", w.Name, minToken, maxToken)
	}
	if !strings.HasPrefix(w.Role, "arn:aws:iam::") || !strings.Contains(w.Role, ":role/") {
		return fmt.Errorf("workload %s: %q is not the ARN of a role", w.Name, w.Role)
	}
	return nil
}

// plain reports whether a text can stand in a path and in a header as it is.
func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~", c) < 0 {
			return false
		}
	}
	return true
}

// refusal is why a request gets nothing.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

// unknown is what everybody gets who is no workload, whatever is wrong.
func unknown() error {
	return refusal{http.StatusUnauthorized, "Unauthorized"}
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
	err := h.near(r)
	if err == nil {
		err = h.serve(w, r)
	}
	if err == nil {
		return
	}
	status, text := http.StatusInternalServerError, "Internal error"
	if e, ok := errors.AsType[refusal](err); ok {
		status, text = e.status, e.text
	} else {
		h.cfg.Log.Error("a workload gets no credentials", "error", err)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client may be gone
}

// near refuses what did not come straight from a program of this machine: what a
// proxy forwarded, what a browser was made to send, and what a name that somebody
// pointed at the loopback was used for.
func (h *Handler) near(r *http.Request) error {
	here, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if !ok || err != nil || !peer.Addr().Unmap().IsLoopback() {
		return refusal{http.StatusForbidden, "Forbidden: this endpoint is for programs of this machine"}
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "Via", "Origin", "Referer", "Sec-Fetch-Mode", "Sec-Fetch-Site"} {
		if len(r.Header[name]) > 0 {
			return refusal{http.StatusForbidden, "Forbidden: the request came through a proxy or from a browser"}
		}
	}
	host, port, err := net.SplitHostPort(r.Host)
	_, own, err2 := net.SplitHostPort(here.String())
	ip, err3 := netip.ParseAddr(host)
	if err != nil || err2 != nil || port != own || host != "localhost" && (err3 != nil || !ip.Unmap().IsLoopback()) {
		return refusal{http.StatusForbidden, "Forbidden: ask by an address of the loopback"}
	}
	return nil
}

const (
	credentialsPath = "/credentials/"
	metadataPath    = "/latest/"
	securedPath     = "/metadata/" // and the token of a workload
)

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.Path
	if r.URL.RawPath != "" {
		return refusal{http.StatusNotFound, "Not found"}
	}
	if name, ok := strings.CutPrefix(path, credentialsPath); ok {
		return h.container(w, r, name)
	}
	if strings.HasPrefix(path, metadataPath) {
		return h.metadata(w, r, path[len(metadataPath):], "")
	}
	if rest, ok := strings.CutPrefix(path, securedPath); ok {
		token, rest, _ := strings.Cut(rest, metadataPath)
		return h.metadata(w, r, rest, token)
	}
	return refusal{http.StatusNotFound, "Not found"}
}

// container answers what SDKs ask in containers.
func (h *Handler) container(w http.ResponseWriter, r *http.Request, name string) error {
	if r.Method != http.MethodGet {
		return refusal{http.StatusMethodNotAllowed, "Method not allowed"}
	}
	k, err := h.prove(r, r.Header.Get("Authorization"), func(k *worker) bool { return k.Name == name })
	if err != nil {
		return err
	}
	c, err := k.ecs.get(h, r.Context(), k, "ecs-tasks.amazonaws.com", "pods.eks.amazonaws.com")
	if err != nil {
		return err
	}
	return writeJSON(w, containerCredentials{
		RoleARN: k.Role, AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.Secret.Reveal()), Token: c.Token, Expiration: instant(c.Expires),
	})
}

// prove finds the workload that a request is of: one that fits and whose proofs
// are all there. Every workload is compared, and each in the same time.
func (h *Handler) prove(r *http.Request, token string, fits func(*worker) bool) (*worker, error) {
	sum := sha256.Sum256([]byte(token))
	var found *worker
	for _, k := range h.all {
		want := &k.sum
		if k.Token.IsZero() {
			want = &h.dummy // nobody's
		}
		right := subtle.ConstantTimeCompare(want[:], sum[:]) == 1
		if fits(k) && (right || k.Token.IsZero()) && h.runsAs(r, k.UID) {
			if found == nil || right {
				found = k
			}
		}
	}
	if found == nil {
		return nil, unknown()
	}
	return found, nil
}

// runsAs reports whether the other end of a request's connection belongs to a user.
func (h *Handler) runsAs(r *http.Request, uid *uint32) bool {
	if uid == nil {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	here, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false
	}
	got, err := h.cfg.UID(peer, here)
	if err != nil {
		h.cfg.Log.Warn("the user of a workload's connection cannot be told", "error", err)
		return false
	}
	return got == *uid
}

// holder keeps the credentials of a workload until half of their life is over.
type holder struct {
	mu sync.Mutex
	c  session.Credentials
}

func (o *holder) get(h *Handler, ctx context.Context, k *worker, services ...string) (session.Credentials, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.c.Expires.Sub(h.cfg.Now()) > renewAt {
		return o.c, nil
	}
	c, err := h.cfg.Issuer.ForService(ctx, k.Role, k.Name, services...)
	if err != nil {
		h.cfg.Log.Warn("a workload gets no credentials", "workload", k.Name, "role", k.Role, "error", err)
		return session.Credentials{}, refusal{http.StatusForbidden, fmt.Sprintf("The role %s does not exist or does not trust %s", k.Role, strings.Join(services, " or "))}
	}
	h.cfg.Log.Info("issued credentials to a workload", "workload", k.Name, "role", k.Role, "key", c.AccessKeyID, "until", c.Expires)
	o.c = c
	return c, nil
}
