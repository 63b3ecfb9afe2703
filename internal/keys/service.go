package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const (
	// DefaultAccount owns the first key. AWS gives this number to nobody, so that
	// an ARN with it cannot be taken for one of a real account.
	DefaultAccount = "000000000000"
	// DefaultRegion is where a key is made when its maker names no region.
	DefaultRegion = "us-east-1"
)

// ErrNotRevealable says that only the hash of a secret is kept.
var ErrNotRevealable = errors.New("keys: the token of a bearer key is shown only once, when it is made")

// Config is what a Service is made of.
type Config struct {
	Store Store            // required
	Root  *RootKey         // required
	Now   func() time.Time // nil means time.Now
}

// Service issues keys and knows their owners. A key that this process disables
// or deletes is dead at once, one that another process disables or deletes
// within 1 second. It is safe for concurrent use.
type Service struct {
	store   Store
	root    *RootKey
	now     func() time.Time
	cache   cache
	derived *sigv4.KeyCache // for short-term bearer keys
}

// New returns a Service over cfg.
func New(cfg Config) *Service {
	s := &Service{store: cfg.Store, root: cfg.Root, now: cfg.Now, derived: sigv4.NewKeyCache(256)}
	if s.now == nil {
		s.now = time.Now
	}
	s.cache.hits = make(map[string]cached)
	s.cache.misses = make(map[string]time.Time)
	return s
}

// Run takes over what other processes change, until ctx ends, so that a key in use
// is read from the store only when keys have changed. Trouble with the store is
// tried again, and makes keys be read again meanwhile.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_ = s.Follow(ctx)
		}
	}
}

// Follow takes over what other processes have changed. It costs one small query.
func (s *Service) Follow(ctx context.Context) error {
	at := s.now()
	revision, err := s.store.KeysRevision(ctx)
	if err != nil {
		return fmt.Errorf("follow keys: %w", err)
	}
	s.cache.confirm(at, revision)
	return nil
}

// Key is a key without its secret.
type Key struct {
	ID      string // "AKIA..." or "ACCA...", 20 characters
	Account string // 12 digits
	Region  string // where it was made; it works in every region
	Kind    Kind
	Status  Status
	Created time.Time
	Owner   string    // id of a user, "AIDA..."; "" is the root of the account
	Name    string    // user name of a service-specific credential; "" otherwise
	Expires time.Time // the last instant at which the key is good; zero: no end
	Used    Use       // the last use that was noted
}

// Principal is the root of the key's account: who requests with a key that has no
// Owner come from.
func (k Key) Principal() call.Principal {
	return call.Principal{
		Type:        call.Root,
		Account:     k.Account,
		AccessKeyID: k.ID,
		ARN:         "arn:aws:iam::" + k.Account + ":root",
		UserID:      k.Account,
		Bearer:      k.Kind == Bearer,
	}
}

// Created is a new key.
type Created struct {
	Key
	Secret secret.Value // SigV4: the secret access key; Bearer: the token
}

// CreateInput says what key to make.
type CreateInput struct {
	Account string // required, 12 digits
	Region  string // "" means DefaultRegion
	Kind    Kind   // "" means SigV4
	Owner   string // id of a user of the account; "" is its root
	// Name is the public part of a bearer key, e.g. "ana-at-111122223333", at most 88
	// characters; "" makes one up.
	Name string
	// Expires is the last instant at which the key is good; zero: no end.
	Expires time.Time
}

// Create makes a key. It is durable when Create returns. The token of a bearer
// key can never be read again; only its hash is kept.
func (s *Service) Create(ctx context.Context, in CreateInput) (Created, error) {
	if in.Region == "" {
		in.Region = DefaultRegion
	}
	if in.Kind == "" {
		in.Kind = SigV4
	}
	if !arn.ValidAccount(in.Account) {
		return Created{}, errors.New("account: must be 12 digits")
	}
	if !arn.ValidRegion(in.Region) {
		return Created{}, errors.New("region: must be the name of an AWS region, e.g. us-east-1")
	}
	var id, shown string
	var kept []byte
	switch in.Kind {
	case SigV4:
		id, shown = newSigV4()
		kept = []byte(shown)
	case Bearer:
		shown = newBearer(in.Account, in.Name)
		sum := sha256.Sum256([]byte(shown))
		id, kept = bearerID([]byte(shown)), sum[:]
	default:
		return Created{}, fmt.Errorf("kind: must be %q or %q", SigV4, Bearer)
	}
	st := Stored{
		ID: id, Account: in.Account, Region: in.Region, Kind: in.Kind, Status: Active,
		Sealed:  s.root.Seal(in.Account, id, in.Kind, kept),
		Created: s.now().UTC().Truncate(time.Millisecond),
		Owner:   in.Owner, Name: in.Name, Expires: in.Expires,
	}
	if err := s.store.PutKey(ctx, st); err != nil {
		return Created{}, fmt.Errorf("store key %s: %w", id, err)
	}
	s.cache.forget(id)
	return Created{Key: public(st), Secret: secret.NewString(shown)}, nil
}

// EnsureRoot makes the first access key of an account. It returns nil when the
// account has an access key already, active or not. It also finds out whether the
// keys there open under this root key, so that a lost root key file shows at
// start and not at the first request.
func (s *Service) EnsureRoot(ctx context.Context, account string) (*Created, error) {
	list, err := s.store.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	for _, st := range list {
		if st.Account == account && st.Kind == SigV4 {
			_, err := s.open(st)
			return nil, err
		}
	}
	made, err := s.Create(ctx, CreateInput{Account: account})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// List returns all keys, oldest first.
func (s *Service) List(ctx context.Context) ([]Key, error) {
	list, err := s.store.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	out := make([]Key, len(list))
	for i, st := range list {
		out[i] = public(st)
	}
	return out, nil
}

// Reveal returns the secret access key of an access key, active or not. Errors:
// ErrNotFound, ErrNotRevealable for a bearer key.
func (s *Service) Reveal(ctx context.Context, id string) (secret.Value, error) {
	st, err := s.store.GetKey(ctx, id)
	if err != nil {
		return secret.Value{}, fmt.Errorf("key %s: %w", id, err)
	}
	if st.Kind != SigV4 {
		return secret.Value{}, fmt.Errorf("key %s: %w", id, ErrNotRevealable)
	}
	o, err := s.open(st)
	if err != nil {
		return secret.Value{}, err
	}
	return secret.New(o.secret), nil
}

// Disable refuses a key from now on. Errors: ErrNotFound.
func (s *Service) Disable(ctx context.Context, id string) error {
	return s.setStatus(ctx, id, Inactive)
}

// Enable takes a disabled key back. Errors: ErrNotFound.
func (s *Service) Enable(ctx context.Context, id string) error {
	return s.setStatus(ctx, id, Active)
}

func (s *Service) setStatus(ctx context.Context, id string, status Status) error {
	err := s.store.SetKeyStatus(ctx, id, status)
	s.cache.forget(id)
	if err != nil {
		return fmt.Errorf("key %s: %w", id, err)
	}
	return nil
}

// Delete removes a key for good. Errors: ErrNotFound.
func (s *Service) Delete(ctx context.Context, id string) error {
	err := s.store.DeleteKey(ctx, id)
	s.cache.forget(id)
	if err != nil {
		return fmt.Errorf("key %s: %w", id, err)
	}
	return nil
}

// open unseals a stored key.
func (s *Service) open(st Stored) (opened, error) {
	plain, err := s.root.Unseal(st.Account, st.ID, st.Kind, st.Sealed)
	if err != nil {
		return opened{}, err
	}
	return opened{key: public(st), secret: plain}, nil
}

func public(st Stored) Key {
	return Key{
		ID: st.ID, Account: st.Account, Region: st.Region, Kind: st.Kind, Status: st.Status, Created: st.Created,
		Owner: st.Owner, Name: st.Name, Expires: st.Expires, Used: st.Used,
	}
}
