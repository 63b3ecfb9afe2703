package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func TestWatching(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for _, c := range []struct {
		terminal bool
		want     string
	}{{false, "look 1\n\nlook 2\n"}, {true, "\x1b[H\x1b[2Jlook 1\n\x1b[H\x1b[2Jlook 2\n"}} {
		tick := make(chan time.Time, 2)
		tick <- time.Time{}
		tick <- time.Time{}
		var out bytes.Buffer
		looks := 0
		err := watching(t.Context(), &out, c.terminal, tick, func(_ context.Context, w io.Writer) error {
			if looks++; looks == 3 {
				return gone
			}
			_, err := io.WriteString(w, "look "+string(rune('0'+looks))+"\n")
			return err
		})
		if !errors.Is(err, gone) || out.String() != c.want {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
	// Ctrl-C is no error, also in the middle of a look.
	ctx, stop := context.WithCancel(t.Context())
	err := watching(ctx, io.Discard, false, nil, func(context.Context, io.Writer) error { stop(); return gone })
	if err != nil {
		t.Error(err)
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m", 90 * time.Minute: "1h30m", 47 * time.Hour: "47h0m", 50 * time.Hour: "2d",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
