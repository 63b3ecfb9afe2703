package acceptance

import (
	"flag"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/document"
	"github.com/outcrop/outcrop/internal/engine/sandbox"
	"github.com/outcrop/outcrop/internal/keys"
)

var (
	full = flag.Bool("full", false, "run the whole corpora instead of a tenth")
	ways = flag.Bool("ways", false, "ask each prompt of the token corpus in every way, not in one; takes hours on two cores")
	seed = flag.Uint64("seed", 1, "which tenth to run without -full")
)

// TestMain lets the test binary be the process that reads one document, or that
// confines an engine.
func TestMain(m *testing.M) {
	if document.InChild() {
		os.Exit(document.Child(os.Stdin, os.Stdout))
	}
	if sandbox.InChild() {
		os.Exit(sandbox.Child())
	}
	os.Exit(m.Run())
}

// The ids under test.
const (
	smollm       = "huggingface.smollm2-135m-instruct-v1:0"
	claudeText   = "anthropic.claude-v2"
	claudeChat   = "anthropic.claude-3-haiku-20240307-v1:0"
	titanText    = "amazon.titan-text-express-v1"
	minilm       = "sentence-transformers.all-minilm-l6-v2-v1:0"
	titanEmbedV1 = "amazon.titan-embed-text-v1"
	titanEmbedV2 = "amazon.titan-embed-text-v2:0"
)

// The weights under test.
const (
	chatWeights  = "smollm2-135m-instruct"
	embedWeights = "all-minilm-l6-v2"
)

// contextTokens is what one request of the servers under test may use.
const contextTokens = 4096

// tenth returns all items with -full, else a tenth of them, at least least, and
// an eighth of that with -short, for runs that look for something else.
func tenth[T any](items []T, least int) []T {
	if *full {
		return items
	}
	n := min(len(items), max(least, (len(items)+9)/10))
	if testing.Short() {
		n = (n + 7) / 8
	}
	out := slices.Clone(items)
	rand.New(rand.NewPCG(*seed, 0)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n]
}

// some returns all items with -full, else n of them, shuffled by -seed: for
// corpora of which a tenth would take minutes.
func some[T any](items []T, n int) []T {
	items = tenth(items, 0)
	if *full {
		return items
	}
	return items[:min(n, len(items))]
}

// pick returns a number below n that depends on the words alone.
func pick(n int, words ...string) int {
	h := fnv.New64a()
	for _, w := range words {
		_, _ = io.WriteString(h, w+"\x00")
	}
	return int(h.Sum64() % uint64(n)) // below n
}

// product is a whole server on the real engine.
type product struct {
	*apptest.Server
	accounts atomic.Int64
	one      sync.Mutex // held while a reply must not share the engine's batches with another
}

func startProduct(t testing.TB) *product {
	t.Helper()
	p := &product{}
	p.Server = apptest.Start(t, apptest.RealEngine(), apptest.Documents(), apptest.Config(func(c *app.Config) {
		c.Engine.MaxContext = contextTokens
		c.Usage.Strict = true
		c.Engine.QueueDeadline = 10 * time.Minute // a busy machine is no reason to fail
	}))
	return p
}

// account is a client with an account of its own. State of prompts is never
// shared between accounts, so its first reply is computed from nothing, as the
// bare engine does it: the same numbers come out to the last bit.
func (p *product) account(t testing.TB) *client {
	t.Helper()
	account := accountID(int(p.accounts.Add(1)))
	p.AutoApprove(t, account)
	cfg := p.AWS(p.NewKey(t, account, keys.SigV4))
	return &client{Client: bedrockruntime.NewFromConfig(cfg), account: account, cfg: cfg}
}

func accountID(n int) string {
	b := []byte("700000000000")
	for i := len(b) - 1; n > 0; i-- {
		b[i] += byte(n % 10)
		n /= 10
	}
	return string(b)
}

// client calls as the owner of one account.
type client struct {
	*bedrockruntime.Client
	account string
	cfg     aws.Config
}

// again is another client of the same account. The SDK's decoder of streams is
// shared by all streams of a client and not safe for several at a time.
func (c *client) again() *client {
	return &client{Client: bedrockruntime.NewFromConfig(c.cfg), account: c.account, cfg: c.cfg}
}
