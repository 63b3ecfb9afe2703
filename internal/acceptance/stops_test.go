package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// stopPrompts make replies in many scripts, with dashes and emoji.
func stopPrompts() []prompt {
	user := func(text, prefill string) prompt {
		p := say(text)
		if prefill != "" {
			p.Turns = append(p.Turns, []piece{{Text: prefill}})
		}
		return p
	}
	return []prompt{
		user("Tell me about the sea in three sentences.", ""),
		user("Repeat after me: red — blue — green — white — black — grey", "red — blue — green —"),
		user("Write “quotes” around every word of: one two three four", "“one” “two”"),
		user("用中文介绍一下北京。", "北京是"),
		user("日本語で自己紹介してください。", "私は"),
		user("Continue with emoji only.", "😀 🚀 😀 🚀 😀 🚀"),
		user("Раскажи про зиму.", "Зима — это"),
		user("Write a Go function that adds two numbers.", ""),
		user("Write a JSON object with five keys.", "{\"a\": 1,"),
		user("Écris une phrase avec des accents.", "L'été dernier, à"),
		user("List the numbers from 1 to 20, one per line.", "1\n2\n3\n"+"4"),
		user("احكِ لي عن البحر.", "البحر"),
		user("Write a markdown list of fruit.", "- apple\n- pear\n-"),
		user("Repeat: naïve café — “done” … ½ €5", "naïve café — “done” … ½ €5 naïve café —"),
	}
}

// replyTokens is how long an unstopped reply is.
const replyTokens = 48

// stopCase is a stop text (or several) and what is special about it.
type stopCase struct {
	kind  string
	stops []string
}

// stopsIn takes stop texts out of a reply: within a token, exactly one token,
// across two or more borders of tokens, of several bytes, part of a character's
// tokens, and some that never come or only begin.
func stopsIn(v *vocabulary, r reply) []stopCase {
	text := v.text(r.ids)
	if utf8.RuneCountInString(text) < 12 {
		return nil
	}
	borders := map[int]bool{0: true}
	for i := range r.ids {
		borders[len(v.text(r.ids[:i+1]))] = true
	}
	var starts []int
	for i := range text {
		starts = append(starts, i)
	}
	starts = append(starts, len(text))
	var out []stopCase
	add := func(from, to int) { // characters
		if from < 0 || to >= len(starts) || to <= from {
			return
		}
		a, z := starts[from], starts[to]
		crossed := 0
		for i := a + 1; i < z; i++ {
			if borders[i] {
				crossed++
			}
		}
		kind := "within a token"
		switch {
		case crossed == 0 && borders[a] && borders[z]:
			kind = "one token"
		case crossed > 0:
			kind = "across borders"
		}
		if z-a > to-from {
			kind += ", multi-byte"
		}
		out = append(out, stopCase{kind, []string{text[a:z]}})
	}
	n := len(starts) - 1
	for i, length := range []int{1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12} {
		from := pick(max(n-length, 1), text, fmt.Sprint(i))
		add(from, from+length)
	}
	for i, r := range []rune(text) { // each character of several bytes that is there
		if r > 0x7f && len(out) < 20 {
			add(i, i+1)
			add(i-1, i+2)
		}
	}
	half := starts[n/2]
	out = append(out,
		stopCase{"at the beginning", []string{text[:starts[1]]}},
		stopCase{"the whole reply", []string{text}},
		stopCase{"never comes", []string{"\u2603 never \u2603"}},
		stopCase{"only begins", []string{text[half:] + "\u2603"}},
		stopCase{"only begins, many times", []string{text[half:starts[n/2+1]] + "\u2603\u2603"}},
		stopCase{"two, the later first", []string{text[starts[n-2]:], text[half:starts[n/2+2]]}},
		stopCase{"two, one inside the other", []string{text[half:starts[n/2+3]], text[starts[n/2+1]:starts[n/2+2]]}},
		stopCase{"two that end together", []string{text[starts[n/2+1]:starts[n/2+3]], text[half:starts[n/2+3]]}},
	)
	return slices.DeleteFunc(out, func(c stopCase) bool {
		return slices.ContainsFunc(c.stops, func(s string) bool { return strings.TrimSpace(s) == "" })
	})
}

// testStops compares the text before a stop with the unstopped reply, cut here.
func testStops(t *testing.T, p *product, b *bare) {
	ops := operations()
	var questions []question
	kinds := map[string]int{}
	prompts := stopPrompts()
	if !*full {
		prompts = tenth(prompts, 3)
	}
	for _, pr := range prompts {
		ids, err := b.input(pr.conversation())
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.replay(ids, replyTokens)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range stopsIn(b.vocab, r) {
			op := ops[pick(len(ops), pr.Name, fmt.Sprint(i))]
			questions = append(questions, question{op: op, prompt: pr, settings: settings{max: replyTokens, stops: c.stops}})
			kinds[c.kind]++
		}
	}
	questions = tenth(questions, 16)
	right := p.ask(t, b, questions)
	t.Logf("%d calls with stop texts: %d exact, %d not; cases made: %v", len(questions), right, len(questions)-right, kinds)
}

// testLimits asks for every number of tokens.
func testLimits(t *testing.T, p *product, b *bare) {
	ops := operations()
	var questions []question
	for i, text := range []string{"Tell me about the sea.", "Say hi.", "用中文数到二十。", "Continue: 😀 🚀 😀"} {
		pr := say(text)
		for n := 1; n <= replyTokens; n++ {
			questions = append(questions, question{op: ops[(n+i)%len(ops)], prompt: pr, settings: settings{max: n}})
		}
	}
	questions = tenth(questions, 12)
	right := p.ask(t, b, questions)
	t.Logf("%d calls with output limits of 1 to %d tokens: %d exact, %d not", len(questions), replyTokens, right, len(questions)-right)
}

// testLoad asks many prompts of one account at a time: slots are shared, parts
// of prompts are reused and replies are computed together, and the counts must
// still be those of the bare engine. What a model says may then differ in the
// last digit of a logit, so texts are not compared.
func testLoad(t *testing.T, p *product, b *bare, prompts []prompt) {
	c := p.account(t)
	ops := operations()
	p.one.Lock()
	defer p.one.Unlock()
	work := make(chan prompt)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			c := c.again()
			for pr := range work {
				op := ops[pick(len(ops), pr.Name, "load")]
				s := settings{max: 1 + pick(16, pr.Name, "load")}
				ids, err := b.input(b.vocab.safe(op.means(pr)))
				if err != nil {
					t.Errorf("%s: %v", pr.Name, err)
					continue
				}
				got, err := op.call(t.Context(), c, pr, s)
				switch {
				case err != nil:
					t.Errorf("%s, %s: %v", pr.Name, op.name, err)
				case got.input != len(ids):
					t.Errorf("%s, %s: %d input tokens, the bare engine counts %d", pr.Name, op.name, got.input, len(ids))
				case got.reason == "max_tokens" && got.output != s.max, got.output > s.max, got.output < 1:
					t.Errorf("%s, %s: %d output tokens of at most %d, %s", pr.Name, op.name, got.output, s.max, got.reason)
				}
			}
		})
	}
	asked := 0
	for _, pr := range prompts {
		if *full || asked < 16 && len(join(pr.Turns[0])) <= 400 {
			work <- pr
			asked++
		}
	}
	close(work)
	wg.Wait()
	t.Logf("%d calls, six at a time", asked)
}
