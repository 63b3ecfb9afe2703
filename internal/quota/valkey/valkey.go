// Package valkey counts quotas in a Valkey or Redis server that several processes
// share.
//
// Every Take and every Settle is one script on the server, so that no two processes
// see half of another's change. The buckets of an account and a model lie in one
// hash slot: a cluster serves them too.
package valkey

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	client "github.com/valkey-io/valkey-go"

	"github.com/outcrop/outcrop/internal/quota"
)

//go:embed buckets.lua
var script string

// Defaults of Config.
const (
	DefaultPrefix  = "outcrop"
	DefaultTimeout = 500 * time.Millisecond
)

// renewal is how often a process says that the calls it counts are still running.
// The server forgets those of a process that was silent for 30 s.
const renewal = 10 * time.Second

// Config of Buckets.
type Config struct {
	Client  client.Client    // required; closed by its owner
	Prefix  string           // of all keys: installations that share a server have one each; "" means DefaultPrefix
	Timeout time.Duration    // of one question; 0 means DefaultTimeout
	Now     func() time.Time // nil means the server's clock, which all processes share
	Log     *slog.Logger     // nil discards
}

// Buckets implements quota.Buckets. Run has to run beside it.
type Buckets struct {
	cfg     Config
	lua     *client.Lua
	process string // this process among those that share the server

	// turn is held by calls together and by renew alone, so that what renew tells is
	// what the server has to count.
	turn   sync.RWMutex
	mu     sync.Mutex
	levels map[string]int64 // what this process holds of buckets of shape Level, by key; those that it gave back, until the next renewal
}

var _ quota.Buckets = (*Buckets)(nil)

// New returns Buckets. It asks the server nothing.
func New(c Config) *Buckets {
	c.Prefix, c.Timeout = cmp.Or(c.Prefix, DefaultPrefix), cmp.Or(c.Timeout, DefaultTimeout)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Buckets{cfg: c, lua: client.NewLuaScript(script), process: rand.Text(), levels: map[string]int64{}}
}

// Take implements quota.Buckets. When the server cannot be asked, nobody knows
// whether it took the charges: what was taken is given back by time, and of the
// calls at one time when this process renews what it holds.
func (b *Buckets) Take(ctx context.Context, charges []quota.Charge) (quota.Refusal, error) {
	none := quota.Refusal{Charge: -1}
	if len(charges) == 0 {
		return none, nil
	}
	b.turn.RLock()
	defer b.turn.RUnlock()
	b.hold(charges, 0)
	answer, err := b.run(ctx, "take", charges)
	if err != nil {
		return none, err
	}
	if len(answer) < 2 {
		return none, errAnswer
	}
	if refused := answer[0]; refused > 0 {
		if refused > int64(len(charges)) {
			return none, errAnswer
		}
		return quota.Refusal{Charge: int(refused) - 1, Wait: time.Duration(answer[1]) * time.Microsecond}, nil
	}
	if len(answer) != 2+len(charges) {
		return none, errAnswer
	}
	for i := range charges {
		charges[i].Mark = answer[2+i]
	}
	b.hold(charges, 1)
	return none, nil
}

// Settle implements quota.Buckets.
func (b *Buckets) Settle(ctx context.Context, charges []quota.Charge) error {
	if len(charges) == 0 {
		return nil
	}
	b.turn.RLock()
	defer b.turn.RUnlock()
	b.hold(charges, -1)
	_, err := b.run(context.WithoutCancel(ctx), "settle", charges)
	return err
}

var errAnswer = errors.New("the server of the quotas gave an answer that makes no sense")

// run runs the script.
func (b *Buckets) run(ctx context.Context, op string, charges []quota.Charge) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	keys, args := make([]string, len(charges)), make([]string, 0, 3+7*len(charges))
	args = append(args, op, b.now(), b.process)
	for i := range charges {
		c := &charges[i]
		keys[i] = b.key(&c.Key)
		for _, n := range [...]int64{int64(c.Shape), c.Limit, c.Burst, c.Window.Microseconds(), c.Cost, c.Used, c.Mark} {
			args = append(args, strconv.FormatInt(n, 10))
		}
	}
	all, err := b.lua.Exec(ctx, b.cfg.Client, keys, args).ToArray()
	if err != nil {
		return nil, fmt.Errorf("ask the server of the quotas: %w", err)
	}
	out := make([]int64, len(all))
	for i := range all {
		if out[i], err = all[i].AsInt64(); err != nil {
			return nil, errAnswer
		}
	}
	return out, nil
}

// now is the time for the script; "" is the server's.
func (b *Buckets) now() string {
	if b.cfg.Now == nil {
		return ""
	}
	return strconv.FormatInt(b.cfg.Now().UnixMicro(), 10)
}

// key names a bucket. What stands in braces tells the hash slot.
func (b *Buckets) key(k *quota.Key) string {
	var s strings.Builder
	s.Grow(len(b.cfg.Prefix) + len(k.Account) + len(k.Model) + len(k.Region) + len(k.Subject) + len(k.Kind) + 16)
	s.WriteString(b.cfg.Prefix)
	s.WriteString(":quota:{")
	s.WriteString(k.Account)
	s.WriteByte(' ')
	for i := range len(k.Model) { // an id may hold neither, but a key must never be cut short
		switch c := k.Model[i]; c {
		case '{', '}', '%':
			s.WriteString("%" + hex.EncodeToString([]byte{c}))
		default:
			s.WriteByte(c)
		}
	}
	s.WriteString("}:")
	s.WriteString(string(k.Kind))
	s.WriteByte(':')
	s.WriteString(k.Region)
	s.WriteByte(':')
	s.WriteString(k.Subject)
	return s.String()
}

// hold notes what this process holds of buckets of shape Level.
func (b *Buckets) hold(charges []quota.Charge, sign int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range charges {
		c := &charges[i]
		if c.Shape != quota.Level {
			continue
		}
		b.levels[b.key(&c.Key)] += sign * c.Cost
	}
}

// Run tells the server every 10 s which calls of this process are still running,
// until ctx ends. It always returns nil: while the server cannot be asked, its
// answer to every call says so.
func (b *Buckets) Run(ctx context.Context) error {
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := b.renew(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			b.cfg.Log.Error("the server of the quotas cannot be asked", "error", err)
		}
		failing = err != nil
	}
}

// renew tells the server what this process holds, also of what it gave back since
// the last time: the answer to that may have been lost.
func (b *Buckets) renew(ctx context.Context) error {
	b.turn.Lock()
	defer b.turn.Unlock()
	if len(b.levels) == 0 {
		return nil
	}
	all := make([]client.LuaExec, 0, len(b.levels))
	for k, n := range b.levels { // each by itself: they lie in different hash slots
		all = append(all, client.LuaExec{Keys: []string{k}, Args: []string{
			"renew", b.now(), b.process, strconv.Itoa(int(quota.Level)), "0", "0", "0", strconv.FormatInt(n, 10), "0", "0",
		}})
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	for _, r := range b.lua.ExecMulti(ctx, b.cfg.Client, all...) {
		if err := r.Error(); err != nil {
			return fmt.Errorf("renew what is held of the quotas: %w", err)
		}
	}
	for k, n := range b.levels {
		if n <= 0 {
			delete(b.levels, k)
		}
	}
	return nil
}
