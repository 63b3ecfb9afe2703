package identity

import (
	"testing"
	"time"
)

// seed20 is the key of RFC 6238, appendix B, for SHA-1.
var seed20 = []byte("12345678901234567890")

// TestTOTPVectors checks the SHA-1 rows of RFC 6238, appendix B. They have eight
// digits; six-digit codes are their last six.
func TestTOTPVectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		unix int64
		code string
	}{
		{59, "94287082"},
		{1111111109, "07081804"},
		{1111111111, "14050471"},
		{1234567890, "89005924"},
		{2000000000, "69279037"},
		{20000000000, "65353130"},
	} {
		if got := totpCode(seed20, totpAt(time.Unix(v.unix, 0))); got != v.code[2:] {
			t.Errorf("at %d: %s, want %s", v.unix, got, v.code[2:])
		}
	}
}

// TestHOTPVectors checks the counters of RFC 4226, appendix D.
func TestHOTPVectors(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := totpCode(seed20, int64(i)); got != want {
			t.Errorf("counter %d: %s, want %s", i, got, want)
		}
	}
}

func TestTOTPMatch(t *testing.T) {
	t.Parallel()
	const now = 1000
	for _, c := range []struct {
		name  string
		step  int64
		after int64
		want  bool
	}{
		{"this step", now, 0, true},
		{"one late", now - 1, 0, true},
		{"one early", now + 1, 0, true},
		{"two late", now - 2, 0, false},
		{"two early", now + 2, 0, false},
		{"spent", now, now, false},
		{"older than what is spent", now - 1, now, false},
		{"newer than what is spent", now + 1, now, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			step, ok := totpMatch(seed20, totpCode(seed20, c.step), now, totpWindow, c.after)
			if ok != c.want || ok && step != c.step {
				t.Errorf("step %d, %t", step, ok)
			}
		})
	}
	for _, code := range []string{"", "0", "000000 ", totpCode(seed20, now)[:5], totpCode(seed20, now) + "0"} {
		if _, ok := totpMatch(seed20, code, now, totpWindow, 0); ok {
			t.Errorf("code %q was taken", code)
		}
	}
}

func TestTOTPPair(t *testing.T) {
	t.Parallel()
	const now = 5000
	for _, off := range []int64{-totpSearch, -3, 0, 3, totpSearch} {
		step, ok := totpPair(seed20, totpCode(seed20, now+off), totpCode(seed20, now+off+1), now, 0)
		if !ok || step != now+off+1 {
			t.Errorf("off by %d: step %d, %t", off, step, ok)
		}
	}
	for name, pair := range map[string][2]int64{
		"the same twice": {now, now}, "the wrong way round": {now + 1, now}, "one left out": {now, now + 2}, "too far": {now - totpSearch - 2, now - totpSearch - 1},
	} {
		if _, ok := totpPair(seed20, totpCode(seed20, pair[0]), totpCode(seed20, pair[1]), now, 0); ok {
			t.Errorf("%s: taken", name)
		}
	}
	if _, ok := totpPair(seed20, totpCode(seed20, now), totpCode(seed20, now+1), now, now); ok {
		t.Error("a spent step was taken")
	}
}
