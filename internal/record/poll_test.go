package record_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcrop/outcrop/internal/record"
)

func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var did []string
		chore := func(name string, every, takes time.Duration) record.Chore {
			return record.Chore{Every: every, Do: func(context.Context) error {
				did = append(did, fmt.Sprint(name, time.Since(start)))
				time.Sleep(takes)
				return nil
			}}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		record.Poll(ctx, nil, chore("quick ", 2*time.Second, 0), chore("slow ", 3*time.Second, 2*time.Second))
		want := []string{"quick 2s", "slow 3s", "quick 5s", "slow 6s", "quick 8s", "slow 9s"}
		if !slices.Equal(did, want) {
			t.Errorf("done: %q, want %q", did, want)
		}
		if d := time.Since(start); d != 11*time.Second {
			t.Errorf("it returned after %v and not when the last chore had ended", d)
		}
	})
}

func TestPollTellsOnceOfTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		ctx, cancel := context.WithCancel(t.Context())
		results := []error{errDisk, errDisk, nil, errDisk}
		silent := 0
		record.Poll(ctx, log, record.Chore{Every: time.Second, Fails: "it is not followed", Do: func(context.Context) error {
			if len(results) == 0 {
				cancel()
				return nil
			}
			err := results[0]
			results = results[1:]
			return err
		}}, record.Chore{Every: time.Second, Do: func(context.Context) error {
			silent++
			return errDisk
		}})
		if n := strings.Count(out.String(), `level=ERROR msg="it is not followed" error="disk on fire"`); n != 2 || strings.Count(out.String(), "\n") != 2 {
			t.Errorf("trouble that came twice was told %d times:\n%s", n, &out)
		}
		if silent < 4 {
			t.Errorf("a chore was done %d times beside one that fails", silent)
		}
	})
}

func TestPollBrokenOffIsNoTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		record.Poll(ctx, slog.New(slog.NewTextHandler(&out, nil)), record.Chore{Every: time.Second, Fails: "trouble", Do: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		if out.Len() != 0 {
			t.Errorf("told of the end: %s", &out)
		}
	})
}
