package cache

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/llm"
)

// Tag is the tag of an application inference profile that switches its semantic
// cache on. Its value is the threshold: how near, by cosine, a question must be to
// one that was answered, MinThreshold to 1. Another value switches nothing on.
const Tag = "outcrop:semantic-cache"

// MinThreshold is the lowest threshold that is taken.
const MinThreshold = 0.8

const (
	// DefaultQuestions is how many questions are held unless the configuration says
	// otherwise.
	DefaultQuestions = 4096
	// maxQuestion is the longest text, in bytes, that is compared; longer ones say too
	// much for one vector.
	maxQuestion = 4096
)

// Semantic sets up the cache of replies to questions that are nearly the same.
type Semantic struct {
	Accounts Accounts
	// Weights make the vectors; required unless Accounts is empty.
	Weights catalog.Weights
	// Tags returns the tags of an application inference profile; required likewise.
	Tags func(arn string) map[string]string
	// TTL is how long a reply is given for other questions; 0 means DefaultTTL.
	TTL time.Duration
	// Questions is how many are held, of all accounts; 0 means DefaultQuestions.
	// Each takes about 4 bytes for each dimension of the weights.
	Questions int
}

func (s Semantic) withDefaults() Semantic {
	if s.TTL == 0 {
		s.TTL = DefaultTTL
	}
	if s.Questions == 0 {
		s.Questions = DefaultQuestions
	}
	return s
}

// threshold is that of the profile that a call came through; 0 means off.
func (g *Gate) threshold(account string, t *catalog.Target) float64 {
	if t.ProfileARN == "" || !g.cfg.Semantic.Accounts.Has(account) {
		return 0
	}
	text, ok := g.cfg.Semantic.Tags(t.ProfileARN)[Tag]
	if !ok {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= MinThreshold && v <= 1) {
		return 0
	}
	return v
}

// question is the last text of a conversation, and what has to be equal beside it.
type question struct {
	account string
	context [32]byte // everything else of the request
	vector  []float32
}

// ask cuts a request into its last text and the rest; false when it does not end
// with a text of the user that can be compared.
func cutQuestion(r *llm.Request) (text string, rest *llm.Request, ok bool) {
	if len(r.Messages) == 0 {
		return "", nil, false
	}
	last := r.Messages[len(r.Messages)-1]
	if last.Role != llm.User || len(last.Content) == 0 {
		return "", nil, false
	}
	b := last.Content[len(last.Content)-1]
	if b.Kind != llm.Text || b.Text == "" || len(b.Text) > maxQuestion {
		return "", nil, false
	}
	text = b.Text
	b.Text = ""
	last.Content = append(append([]llm.Block(nil), last.Content[:len(last.Content)-1]...), b)
	cut := *r
	cut.Messages = append(append([]llm.Message(nil), r.Messages[:len(r.Messages)-1]...), last)
	return text, &cut, true
}

// digits are the numbers of a text: no vector keeps 17 and 18 apart.
func digits(text string) []string {
	var out []string
	for i := 0; i < len(text); i++ {
		j := i
		for j < len(text) && text[j] >= '0' && text[j] <= '9' {
			j++
		}
		if j > i {
			out = append(out, text[i:j])
			i = j
		}
	}
	return out
}

// nearest looks for the reply to a question that is near enough. It returns the
// question, so that its reply can be kept, and the events of the reply that was
// found, if any.
func (g *Gate) nearest(ctx context.Context, c *call.Call, t *catalog.Target, r *llm.Request, p *plan) (*question, []llm.Event) {
	if p.threshold == 0 {
		return nil, nil
	}
	text, rest, ok := cutQuestion(r)
	if !ok {
		return nil, nil
	}
	w := &g.cfg.Semantic.Weights
	files, ok := g.cfg.Files(w)
	if !ok {
		return nil, nil
	}
	own := call.Call{
		ID: c.ID, Start: c.Start, Service: c.Service, Operation: c.Operation, Region: c.Region, Partition: c.Partition,
		Principal: c.Principal, Tier: c.Tier,
	}
	target := &catalog.Target{Model: catalog.Model{ID: w.ID, Output: []string{"EMBEDDING"}}, Weights: *w, Regions: t.Regions}
	resp, err := g.Embed(ctx, &own, target, &llm.EmbedRequest{Texts: []string{text}}, w.Dimensions)
	if err == nil && len(resp.Vectors) != 1 {
		err = errors.New("no vector")
	}
	if err != nil {
		if ctx.Err() == nil {
			g.failed("compare a question", err)
		}
		return nil, nil
	}
	s := p.scope
	s.Kind, s.Digits, s.Epoch = "question", digits(text), s.Epoch+" "+w.ID+" "+strings.Join(files, " ")
	q := &question{account: p.scope.Account, context: sum(g.secrets.names, &s, rest), vector: resp.Vectors[0]}
	if p.refresh {
		return q, nil
	}
	k, similarity, ok := g.near.nearest(q, p.threshold, g.cfg.Now())
	if ok {
		if events := g.kept(ctx, k); events != nil {
			g.counts.semanticHits.Add(1)
			c.Similarity = similarity
			return q, events
		}
		g.near.remove(q.account, k)
	}
	g.counts.semanticMisses.Add(1)
	return q, nil
}

// questions are those whose replies are kept.
type questions struct {
	mu   sync.Mutex
	all  *lru[Key, *question]
	near map[[32]byte]map[Key]*question // by context
}

func newQuestions(n int) *questions {
	q := &questions{near: map[[32]byte]map[Key]*question{}}
	q.all = newLRU(int64(n), func(_ string, k Key, v *question) {
		group := q.near[v.context]
		if delete(group, k); len(group) == 0 {
			delete(q.near, v.context)
		}
	})
	return q
}

// add holds a question whose reply is kept under k.
func (q *questions) add(v *question, k Key, expires time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all.put(v.account, k, v, 1, expires)
	if q.near[v.context] == nil {
		q.near[v.context] = map[Key]*question{}
	}
	q.near[v.context][k] = v
}

func (q *questions) remove(account string, k Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all.remove(account, k)
}

// nearest returns the key of the nearest question with the same context, when it is
// near enough.
func (q *questions) nearest(v *question, threshold float64, now time.Time) (best Key, similarity float64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	similarity = threshold
	for k, other := range q.near[v.context] {
		if d := cosine(v.vector, other.vector); d >= similarity {
			best, similarity, ok = k, d, true
		}
	}
	if ok { // it is used, unless its time has come
		_, ok = q.all.get(v.account, best, now)
	}
	return best, min(similarity, 1), ok
}

func (q *questions) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all.count
}

// cosine of two vectors of length 1. What rounding adds is taken off at the end of
// the range, so that a question is as near to itself as can be.
func cosine(a, b []float32) float64 {
	if len(a) != len(b) {
		return -1
	}
	var s0, s1, s2, s3 float32 // four sums: none has to wait for the one before it
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	if sum := float64(s0+s1) + float64(s2+s3); sum < 1-1e-6 {
		return sum
	}
	return 1
}
