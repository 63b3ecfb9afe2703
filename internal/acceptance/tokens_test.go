package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// replayed is what an answer must say.
type replayed struct {
	prompt []int // ids of the input
	answer
}

// replay works out, without the product, what an operation must answer: the ids
// of the input are counted, those of the reply are counted and spelled.
func (b *bare) expect(op operation, p prompt, s settings) (replayed, error) {
	c := op.means(p)
	ids, err := b.input(b.vocab.safe(c))
	if err != nil {
		return replayed{}, err
	}
	if err := b.onlyTemplate(c, ids); err != nil {
		return replayed{}, err
	}
	r, err := b.replay(ids, s.max)
	if err != nil {
		return replayed{}, err
	}
	return replayed{ids, b.cut(len(ids), r, s, op.builtin)}, nil
}

// onlyTemplate checks that the control tokens of a conversation are those that
// the template puts around innocent text.
func (b *bare) onlyTemplate(c conversation, ids []int) error {
	innocent := make(conversation, len(c))
	for i := range c {
		innocent[i] = turn{c[i].Role, "x"}
	}
	want, err := b.input(innocent)
	if err != nil {
		return err
	}
	if got, want := b.vocab.controls(ids), b.vocab.controls(want); got != want {
		return fmt.Errorf("%d control tokens in the input, the template has %d", got, want)
	}
	return nil
}

// cut ends a reply at the stop text that is complete first, of several at the
// same character at the longest, and counts the tokens made until then.
func (b *bare) cut(input int, r reply, s settings, builtin string) answer {
	a := answer{input: input, output: len(r.ids), text: b.vocab.text(r.ids), reason: "max_tokens"}
	if r.ended {
		a.reason = "end_turn"
	}
	stops := s.stops
	if builtin != "" {
		stops = append([]string{builtin}, stops...)
	}
	whole := a.text
	for end := range len(whole) + 1 {
		if end < len(whole) && !utf8.RuneStart(whole[end]) {
			continue
		}
		hit := ""
		for _, stop := range stops {
			if strings.HasSuffix(whole[:end], stop) && len(stop) > len(hit) {
				hit = stop
			}
		}
		if hit == "" {
			continue
		}
		a.text, a.reason, a.stop = whole[:end-len(hit)], "stop_sequence", hit
		if hit == builtin {
			a.reason, a.stop = "end_turn", ""
		}
		for a.output = 1; len(b.vocab.text(r.ids[:a.output])) < end; a.output++ {
		}
		break
	}
	return a
}

// check reports how an answer differs from what it must say.
func (want replayed) check(got answer) error {
	stop := want.stop
	if got.stop == "" { // not every body tells it
		stop = ""
	}
	if got.input != want.input || got.output != want.output || got.text != want.text || got.reason != want.reason || got.stop != stop {
		return fmt.Errorf("got  %d in, %d out, %s %q, text %q\nwant %d in, %d out, %s %q, text %q",
			got.input, got.output, got.reason, got.stop, got.text, want.input, want.output, want.reason, want.stop, want.text)
	}
	return nil
}

// question is one request and what must come back.
type question struct {
	op       operation
	prompt   prompt
	settings settings
	want     replayed
	err      error
}

func (q question) String() string {
	s := fmt.Sprintf("%s, %s, %d tokens", q.prompt.Name, q.op.name, q.settings.max)
	if len(q.settings.stops) > 0 {
		s += fmt.Sprintf(", stop %q", q.settings.stops)
	}
	return s
}

// ask puts questions one after the other, each from a new account, while the
// bare engine works out the next answers. It returns how many went right.
func (p *product) ask(t *testing.T, b *bare, questions []question) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan question, 4)
	go func() {
		defer close(ready)
		for _, q := range questions {
			q.want, q.err = b.expect(q.op, q.prompt, q.settings)
			select {
			case ready <- q:
			case <-ctx.Done():
				return
			}
		}
	}()
	right := 0
	for q := range ready {
		if q.err != nil {
			t.Errorf("%s: %v", q, q.err)
			continue
		}
		c := p.account(t)
		p.one.Lock()
		got, err := q.op.call(ctx, c, q.prompt, q.settings)
		p.one.Unlock()
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		if err := q.want.check(got); err != nil {
			t.Errorf("%s:\n%v", q, err)
			continue
		}
		records := p.Usage(t, c.account, 1)
		if len(records) != 1 || records[0].InputTokens != got.input || records[0].OutputTokens != got.output || records[0].ReusedTokens != 0 {
			t.Errorf("%s: told %d and %d tokens, recorded %+v", q, got.input, got.output, records)
			continue
		}
		right++
	}
	return right
}

// TestTokens holds every count and every text against the bare engine.
func TestTokens(t *testing.T) {
	t.Parallel()
	p := startProduct(t)
	b := startBare(t, p, chatWeights, forChat)
	prompts := loadPrompts(t)
	t.Run("corpus", func(t *testing.T) { testCorpus(t, p, b, tenth(prompts, 20)) })
	t.Run("count without a reply", func(t *testing.T) { testCount(t, p, b, prompts) })
	t.Run("stop texts", func(t *testing.T) { testStops(t, p, b) })
	t.Run("output limit", func(t *testing.T) { testLimits(t, p, b) })
	t.Run("under load", func(t *testing.T) { testLoad(t, p, b, tenth(prompts, 20)) })
}

// testCorpus asks each prompt in one way, long ones with -full only, and with
// -ways in every way (of the streams of native bodies in one).
func testCorpus(t *testing.T, p *product, b *bare, prompts []prompt) {
	ops := operations()
	var questions []question
	for _, pr := range prompts {
		if !*full && len(join(pr.Turns[0])) > 400 {
			continue // reading it takes long; it is counted below
		}
		s := settings{max: 1 + pick(24, pr.Name)}
		if !*ways {
			questions = append(questions, question{op: ops[pick(len(ops), pr.Name, "operation")], prompt: pr, settings: s})
			continue
		}
		streamed := unstreamed + pick(len(ops)-unstreamed, pr.Name, "operation")
		for i, op := range ops {
			if i < unstreamed || i == streamed {
				questions = append(questions, question{op: op, prompt: pr, settings: s})
			}
		}
	}
	right := p.ask(t, b, questions)
	t.Logf("%d prompts, %d calls: %d equal to the replay in both counts, text and stop reason, %d not", len(prompts), len(questions), right, len(questions)-right)
}

// testCount counts the input of every prompt without generating.
func testCount(t *testing.T, p *product, b *bare, prompts []prompt) {
	c := p.account(t)
	right := 0
	for _, pr := range prompts {
		ids, err := b.input(b.vocab.safe(pr.conversation()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := countInput(t.Context(), c, pr)
		if err != nil {
			t.Errorf("%s: %v", pr.Name, err)
		} else if got != len(ids) {
			t.Errorf("%s: counted %d tokens, the bare engine %d", pr.Name, got, len(ids))
		} else {
			right++
		}
	}
	t.Logf("%d prompts: %d counted as the bare engine does", len(prompts), right)
}
