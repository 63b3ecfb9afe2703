package sigv4

import (
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// TestTimeTellsNothing refuses signatures that are wrong in every digit, and such as
// are wrong in the last digit alone, in random order, and asks Welch's test whether
// their times differ. With a comparison that stops at the first difference, t is 6 to
// 11 in every round. The test runs beside no other one of this package.
//
// Source: Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?", 2017,
// with its cut at a percentile and its threshold.
func TestTimeTellsNothing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sec := secret.NewString("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	body := []byte(`{"messages":[]}`)
	cache := NewKeyCache(0)
	signed := func(change func(string) string) *Signed {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8686/model/m/converse", nil)
		r.RequestURI = r.URL.EscapedPath()
		if err := Sign(r, body, Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: sec}, "us-east-1", "bedrock", now); err != nil {
			t.Fatal(err)
		}
		auth := r.Header.Get("Authorization")
		r.Header.Set("Authorization", auth[:len(auth)-64]+change(auth[len(auth)-64:]))
		s, err := Parse(r, now, Options{Services: []string{"bedrock"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	other := func(digit byte) string { // a digit that differs
		return string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", digit)+1)%16])
	}
	if err := signed(func(s string) string { return s }).Verify(cache, sec, body); err != nil { // puts the signing key into the cache
		t.Fatal(err)
	}
	classes := [2]*Signed{
		signed(func(s string) string {
			var all strings.Builder
			for i := range len(s) {
				all.WriteString(other(s[i]))
			}
			return all.String()
		}),
		signed(func(s string) string { return s[:63] + other(s[63]) }),
	}
	const rounds, samples, limit = 5, 40_000, 4.5
	least := math.Inf(1)
	for range rounds {
		var times [2][]float64
		for range samples {
			class := rand.IntN(2)
			begin := time.Now()
			err := classes[class].Verify(cache, sec, body)
			took := time.Since(begin)
			if err == nil {
				t.Fatal("a wrong signature is accepted")
			}
			times[class] = append(times[class], float64(took))
		}
		v := math.Abs(welch(times))
		t.Logf("|t| = %.2f of %d refusals", v, samples)
		least = min(least, v)
	}
	if least > limit {
		t.Errorf("|t| is at least %.2f in %d rounds: how long a refusal takes tells how much of a signature was right", least, rounds)
	}
}

// welch is the t of two samples without what took longer than nine tenths of all.
func welch(times [2][]float64) float64 {
	all := slices.Sorted(slices.Values(slices.Concat(times[0], times[1])))
	cut := all[len(all)*9/10]
	var mean, variance, n [2]float64
	for class, took := range times {
		for _, v := range took {
			if v <= cut { // Welford's running mean and variance
				n[class]++
				d := v - mean[class]
				mean[class] += d / n[class]
				variance[class] += d * (v - mean[class])
			}
		}
		variance[class] /= n[class] - 1
	}
	return (mean[0] - mean[1]) / math.Sqrt(variance[0]/n[0]+variance[1]/n[1])
}
