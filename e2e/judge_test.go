package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestOutsideJudge lets iam-simulate judge random policies and requests, and
// compares what it says about each policy with Outcrop's evaluator.
// docs/divergences.md lists the few forms that are left out because the judge
// contradicts AWS's documents there.
func TestOutsideJudge(t *testing.T) {
	t.Parallel()
	decisions, seed := 20_000, 1
	if *full {
		decisions, seed = 1_000_000, 2
	}
	got, err := judge(t.Context(), decisions, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d decisions: %d allow, %d deny, %d say nothing", got['A']+got['D']+got['N'], got['A'], got['D'], got['N'])
	for _, letter := range "ADN" {
		if got[letter] < decisions/50 {
			t.Errorf("only %d decisions of the kind %c, which proves little", got[letter], letter)
		}
	}
}

// batch is a line that the program decisions prints.
type batch struct {
	Principal string `json:"principal"`
	Policies  []struct {
		Kind   string          `json:"kind"`
		Policy json.RawMessage `json:"policy"`
	} `json:"policies"`
	Requests  []json.RawMessage `json:"requests"`
	Decisions []string          `json:"decisions"`
}

// judge compares so many decisions and returns how many of each letter there were.
func judge(ctx context.Context, decisions, seed int) (map[rune]int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ours := exec.CommandContext(ctx, s.decisions, "-n", strconv.Itoa(decisions), "-seed", strconv.Itoa(seed))
	theirs := exec.CommandContext(ctx, "node", "judge/judge.mjs")
	theirs.Env = append(os.Environ(), "NODE_MODULES="+s.judgeModules, "TZ=UTC")
	var ourWords, theirWords strings.Builder
	ours.Stderr, theirs.Stderr = &ourWords, &theirWords
	made, err := ours.StdoutPipe()
	if err != nil {
		return nil, err
	}
	asked, err := theirs.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := theirs.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ours.Start(), theirs.Start()); err != nil {
		return nil, err
	}
	lines := make(chan string, 64)
	go func() {
		defer close(lines)
		defer asked.Close()
		for in := newLines(made); in.Scan(); {
			if _, err := io.WriteString(asked, in.Text()+"\n"); err != nil {
				return // the judge has gone; it says why
			}
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	count := map[rune]int{}
	out := newLines(answers)
	for line := range lines {
		if !out.Scan() {
			cancel()
			return nil, fmt.Errorf("the judge stopped: %w\n%s", errors.Join(theirs.Wait(), ours.Wait()), ourWords.String()+theirWords.String())
		}
		if err := compare(line, out.Text(), count); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(ours.Wait(), theirs.Wait()); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, ourWords.String()+theirWords.String())
	}
	return count, nil
}

// newLines reads lines of any length that comes up here.
func newLines(r io.Reader) *bufio.Scanner {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<22)
	return sc
}

// compare compares the decisions of a batch with the judge's, and counts them.
func compare(line, answer string, count map[rune]int) error {
	var b batch
	var judged []string
	if err := errors.Join(json.Unmarshal([]byte(line), &b), json.Unmarshal([]byte(answer), &judged)); err != nil {
		return err
	}
	if len(judged) != len(b.Decisions) {
		return fmt.Errorf("%d answers to %d requests", len(judged), len(b.Decisions))
	}
	for i, decided := range b.Decisions {
		if len(judged[i]) != len(decided) {
			return fmt.Errorf("%d judgements about %d policies", len(judged[i]), len(decided))
		}
		for j, letter := range decided {
			if judged[i][j] != byte(letter) {
				return fmt.Errorf("Outcrop says %c, the judge %c, of the %s\n%s\nabout %s of %s",
					letter, judged[i][j], b.Policies[j].Kind, b.Policies[j].Policy, b.Requests[i], b.Principal)
			}
			count[letter]++
		}
	}
	return nil
}
