package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/idempotency"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// fake is a store in memory.
type fake struct {
	mu      sync.Mutex
	entries map[[4]string]idempotency.Entry
	putErr  error
	getErr  error
	drops   int
}

func newFake() *fake { return &fake{entries: map[[4]string]idempotency.Entry{}} }

func (f *fake) GetToken(ctx context.Context, account, region, operation, token string) (idempotency.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.entries[[4]string{account, region, operation, token}]
	switch {
	case ctx.Err() != nil:
		return e, ctx.Err()
	case f.getErr != nil:
		return e, f.getErr
	case !ok:
		return e, idempotency.ErrNotFound
	}
	return e, nil
}

func (f *fake) PutToken(ctx context.Context, e idempotency.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := [4]string{e.Account, e.Region, e.Operation, e.Token}
	_, taken := f.entries[k]
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case f.putErr != nil:
		return f.putErr
	case taken:
		return idempotency.ErrExists
	}
	f.entries[k] = e
	return nil
}

func (f *fake) DropTokens(_ context.Context, t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drops++
	for k, e := range f.entries {
		if e.Created.Before(t) {
			delete(f.entries, k)
		}
	}
	return nil
}

var errBroken = errors.New("broken")

func use(token string, hash byte) idempotency.Key {
	return idempotency.Key{Account: "111122223333", Region: "us-east-1", Operation: "bedrock:CreateInferenceProfile", Token: token, Hash: [32]byte{hash}}
}

// counter is an operation that answers with the number of its run.
type counter struct {
	mu   sync.Mutex
	runs int
}

func (c *counter) run() (int, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	return 201, fmt.Append(nil, c.runs), nil
}

// do calls Do and checks its answer: the number of the run and whether it was
// a repeat.
func do(t *testing.T, s *idempotency.Service, k idempotency.Key, c *counter, body string, replayed bool) {
	t.Helper()
	status, got, again, err := s.Do(t.Context(), k, c.run)
	if err != nil || status != 201 || string(got) != body || again != replayed {
		t.Errorf("Do = %d %q replayed %v, %v; want 201 %q replayed %v", status, got, again, err, body, replayed)
	}
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	f, c := newFake(), &counter{}
	s := idempotency.NewService(idempotency.Config{Store: f})
	do(t, s, use("a", 1), c, "1", false)
	do(t, s, use("a", 1), c, "1", true)
	do(t, s, use("b", 1), c, "2", false)
	restarted := idempotency.NewService(idempotency.Config{Store: f})
	do(t, restarted, use("a", 1), c, "1", true)
	other := use("a", 1)
	other.Account = "444455556666"
	do(t, restarted, other, c, "3", false)
}

func TestNoToken(t *testing.T) {
	t.Parallel()
	f, c := newFake(), &counter{}
	s := idempotency.NewService(idempotency.Config{Store: f})
	do(t, s, use("", 1), c, "1", false)
	do(t, s, use("", 1), c, "2", false)
	if len(f.entries) != 0 {
		t.Errorf("remembered %v", f.entries)
	}
}

func TestOtherParameters(t *testing.T) {
	t.Parallel()
	c := &counter{}
	s := idempotency.NewService(idempotency.Config{Store: newFake()})
	do(t, s, use("a", 1), c, "1", false)
	for member, want := range map[string]string{"": "clientRequestToken", "clientToken": "clientToken"} {
		k := use("a", 2)
		k.Member = member
		_, _, _, err := s.Do(t.Context(), k, c.run)
		e, ok := errors.AsType[*apierr.Error](err)
		if !ok || e.Code != apierr.CodeConflict || e.HTTPStatus() != 400 || !strings.Contains(e.Message, want+":") {
			t.Errorf("Do with other parameters = %v, want ConflictException 400 that names %s", err, want)
		}
	}
	do(t, s, use("a", 1), c, "1", true)
}

func TestFailureIsNotRemembered(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() (int, []byte, error){
		"error":  func() (int, []byte, error) { return 0, nil, errBroken },
		"status": func() (int, []byte, error) { return 409, []byte("no"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &counter{}
			s := idempotency.NewService(idempotency.Config{Store: newFake()})
			wantStatus, wantBody, wantErr := fail()
			status, body, replayed, err := s.Do(t.Context(), use("a", 1), fail)
			if status != wantStatus || string(body) != string(wantBody) || !errors.Is(err, wantErr) || replayed {
				t.Errorf("Do = %d %q %v %v, want fn's own answer", status, body, replayed, err)
			}
			do(t, s, use("a", 2), c, "1", false) // also with other parameters
		})
	}
}

func TestPanicFreesTheToken(t *testing.T) {
	t.Parallel()
	c := &counter{}
	s := idempotency.NewService(idempotency.Config{Store: newFake()})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _, _, _ = s.Do(t.Context(), use("a", 1), func() (int, []byte, error) { panic("boom") })
	}()
	do(t, s, use("a", 1), c, "1", false)
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	t.Run("one runs, the others get its answer", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := &counter{}
			s := idempotency.NewService(idempotency.Config{Store: newFake()})
			release := make(chan struct{})
			var mu sync.Mutex
			firsts := 0
			for range 20 {
				go func() {
					_, body, replayed, err := s.Do(t.Context(), use("a", 1), func() (int, []byte, error) {
						<-release
						return c.run()
					})
					if err != nil || string(body) != "1" {
						t.Errorf("Do = %q, %v", body, err)
					}
					mu.Lock()
					defer mu.Unlock()
					if !replayed {
						firsts++
					}
				}()
			}
			synctest.Wait()
			do(t, s, use("b", 1), &counter{}, "1", false) // another token does not wait
			close(release)
			synctest.Wait()
			if c.runs != 1 || firsts != 1 {
				t.Errorf("%d runs, %d first answers; want 1 and 1", c.runs, firsts)
			}
		})
	})
	t.Run("the next runs when the first fails", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := &counter{}
			s := idempotency.NewService(idempotency.Config{Store: newFake()})
			release := make(chan struct{})
			go func() {
				if _, _, _, err := s.Do(t.Context(), use("a", 1), func() (int, []byte, error) {
					<-release
					return 0, nil, errBroken
				}); !errors.Is(err, errBroken) {
					t.Errorf("first Do = %v", err)
				}
			}()
			synctest.Wait()
			go do(t, s, use("a", 2), c, "1", false)
			synctest.Wait()
			if c.runs != 0 {
				t.Error("the second did not wait")
			}
			close(release)
			synctest.Wait()
			if c.runs != 1 {
				t.Error("the second did not run")
			}
		})
	})
	t.Run("a waiter may give up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := &counter{}
			s := idempotency.NewService(idempotency.Config{Store: newFake()})
			release := make(chan struct{})
			go func() {
				_, _, _, _ = s.Do(t.Context(), use("a", 1), func() (int, []byte, error) { <-release; return c.run() })
			}()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, _, _, err := s.Do(ctx, use("a", 1), c.run); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waiter got %v, want its deadline", err)
			}
			close(release)
			synctest.Wait()
			do(t, s, use("a", 1), c, "1", true)
		})
	})
}

// The client goes away while the operation runs: its token is kept.
func TestClientGone(t *testing.T) {
	t.Parallel()
	c := &counter{}
	s := idempotency.NewService(idempotency.Config{Store: newFake()})
	ctx, cancel := context.WithCancel(t.Context())
	if _, _, _, err := s.Do(ctx, use("a", 1), func() (int, []byte, error) {
		cancel()
		return c.run()
	}); err != nil {
		t.Errorf("Do = %v", err)
	}
	do(t, s, use("a", 1), c, "1", true)
}

// Another server on the same database stores the token while fn runs.
func TestOtherServer(t *testing.T) {
	t.Parallel()
	f, c := newFake(), &counter{}
	here, there := idempotency.NewService(idempotency.Config{Store: f}), idempotency.NewService(idempotency.Config{Store: f})
	_, body, replayed, err := here.Do(t.Context(), use("a", 1), func() (int, []byte, error) {
		do(t, there, use("a", 1), c, "1", false)
		return c.run()
	})
	if err != nil || !replayed || string(body) != "1" {
		t.Errorf("Do = %q replayed %v, %v; want the other server's answer", body, replayed, err)
	}
}

func TestStoreFailure(t *testing.T) {
	t.Parallel()
	f, c := newFake(), &counter{}
	s := idempotency.NewService(idempotency.Config{Store: f})
	f.getErr = errBroken
	if _, _, _, err := s.Do(t.Context(), use("a", 1), c.run); !errors.Is(err, errBroken) || c.runs != 0 {
		t.Errorf("Do = %v after %d runs, want the store's error and no run", err, c.runs)
	}
	f.getErr, f.putErr = nil, errBroken
	if _, _, _, err := s.Do(t.Context(), use("a", 1), c.run); !errors.Is(err, errBroken) {
		t.Errorf("Do = %v, want the store's error", err)
	}
	f.putErr = nil
	do(t, s, use("a", 1), c, "2", false)
}

func TestOldTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(), &counter{}
		s := idempotency.NewService(idempotency.Config{Store: f})
		do(t, s, use("a", 1), c, "1", false)
		time.Sleep(24 * time.Hour)
		do(t, s, use("a", 1), c, "1", true)
		time.Sleep(time.Millisecond)
		do(t, s, use("a", 2), c, "2", false) // forgotten: other parameters are fine
	})
}

func TestRunDropsOldTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(), &counter{}
		s := idempotency.NewService(idempotency.Config{Store: f, Keep: 90 * time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		do(t, s, use("a", 1), c, "1", false)
		for hours, kept := range []int{1, 1, 0} {
			synctest.Wait()
			f.mu.Lock()
			if len(f.entries) != kept {
				t.Errorf("%d tokens after %d hours, want %d", len(f.entries), hours, kept)
			}
			f.mu.Unlock()
			time.Sleep(time.Hour)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestKeyID(t *testing.T) {
	t.Parallel()
	base := use("a", 1)
	if id := base.ID(); !regexp.MustCompile(`^[a-z0-9]{12}$`).MatchString(id) || id != base.ID() {
		t.Errorf("ID = %q, want the same 12 characters each time", id)
	}
	seen := map[string]string{base.ID(): "base"}
	for name, change := range map[string]func(*idempotency.Key){
		"account":   func(k *idempotency.Key) { k.Account = "444455556666" },
		"region":    func(k *idempotency.Key) { k.Region = "eu-west-1" },
		"operation": func(k *idempotency.Key) { k.Operation = "bedrock:CreateGuardrail" },
		"token":     func(k *idempotency.Key) { k.Token = "b" },
		"hash":      func(k *idempotency.Key) { k.Hash[31] = 1 },
		"border":    func(k *idempotency.Key) { k.Operation, k.Token = k.Operation+"a", "" },
	} {
		k := base
		change(&k)
		if other, taken := seen[k.ID()]; taken {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[k.ID()] = name
	}
}

type input struct {
	Name *string
	Tags map[string]*string
}

func TestHash(t *testing.T) {
	t.Parallel()
	hash := func(in any) [32]byte {
		t.Helper()
		h, err := idempotency.Hash(in)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a := hash(input{Name: new("n"), Tags: map[string]*string{"x": new("1"), "y": new("2")}})
	if a != hash(&input{Name: new("n"), Tags: map[string]*string{"y": new("2"), "x": new("1")}}) {
		t.Error("equal parameters, other digest")
	}
	if a == hash(input{Name: new("n"), Tags: map[string]*string{"x": new("2"), "y": new("1")}}) || a == hash(input{}) {
		t.Error("other parameters, equal digest")
	}
	if _, err := idempotency.Hash(struct{ F func() }{}); err == nil {
		t.Error("hashed a function")
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	s := idempotency.NewService(idempotency.Config{Store: newFake()})
	runs := 0
	fn := func() (*input, error) {
		runs++
		return &input{Name: new(fmt.Sprint("run ", runs))}, nil
	}
	for range 2 {
		out, err := idempotency.Once(t.Context(), s, use("a", 1), fn)
		if err != nil || *out.Name != "run 1" {
			t.Errorf("Once = %+v, %v; want the first run's answer", out, err)
		}
	}
	if _, err := idempotency.Once(t.Context(), s, use("b", 1), func() (*input, error) { return nil, errBroken }); !errors.Is(err, errBroken) {
		t.Errorf("Once = %v, want fn's error", err)
	}
	if _, err := idempotency.Once(t.Context(), s, use("c", 1), func() (*func(), error) { return new(func() {}), nil }); err == nil {
		t.Error("remembered a function")
	}
}
