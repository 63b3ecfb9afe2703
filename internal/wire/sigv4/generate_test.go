package sigv4_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// randomSpec makes a request that an SDK could be asked to sign.
func randomSpec(rng *rand.Rand) spec {
	now := time.Unix(1_700_000_000+rng.Int64N(300_000_000), 0).UTC()
	s := spec{
		method:  pick(rng, "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"),
		path:    randomPath(rng),
		query:   randomQuery(rng),
		headers: randomHeaders(rng),
		region:  pick(rng, "us-east-1", "us-west-2", "eu-central-1", "ap-southeast-2", "us-gov-west-1", "cn-north-1"),
		service: pick(rng, "bedrock", "bedrock", "sts"),
		now:     now,
		at:      now.Add(time.Duration(rng.IntN(599)-299) * time.Second),
		presign: rng.IntN(3) == 0,
		sum:     rng.IntN(2) == 0,
	}
	if n := rng.IntN(4); n > 0 {
		s.body = make([]byte, rng.IntN(64<<(2*n-2)))
		for i := range s.body {
			s.body[i] = byte(rng.Uint32())
		}
	}
	if rng.IntN(3) == 0 {
		s.token = randomText(rng, "ABCabc019+/=", 40)
	}
	return s
}

func randomPath(rng *rand.Rand) string {
	switch rng.IntN(8) {
	case 0:
		return "/model/anthropic.claude-v2%3A1/invoke"
	case 1:
		return "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Ainference-profile%2Fus.x-v1%3A0/converse"
	case 2:
		return "/"
	}
	var b strings.Builder
	for range 1 + rng.IntN(4) {
		b.WriteByte('/')
		for range rng.IntN(12) {
			b.WriteString(pick(rng, "a", "Z", "0", "-", ".", "_", "~", "%2F", "%3A", "%3a", "%25", "%7E", "%20", "%E1%88%B4",
				"%F0%9F%A6%99", ":", "@", "!", "$", "&", "'", "(", ")", "*", "+", ",", ";", "=", "%00", "%FF"))
		}
	}
	return b.String()
}

func randomQuery(rng *rand.Rand) string {
	var parts []string
	for range rng.IntN(5) {
		part := url.QueryEscape(randomText(rng, "ab-_.~ /:+%&=é\U0001F999\x00", 6))
		if rng.IntN(4) > 0 {
			part += "=" + url.QueryEscape(randomText(rng, "ab-_.~ /:+%&=é\U0001F999,;'", 10))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "&")
}

func randomHeaders(rng *rand.Rand) http.Header {
	h := http.Header{}
	for range rng.IntN(5) {
		name := pick(rng, "Content-Type", "Accept", "X-Amzn-Bedrock-Trace", "X-Amzn-Bedrock-Guardrailidentifier", "X-Amz-User-Agent",
			"Amz-Sdk-Request", "User-Agent", "X-Custom", "X_under", "Cache-Control")
		h.Add(name, randomText(rng, "ab ,;=\"\t()/é\u00a0 ", 16))
	}
	return h
}

func randomText(rng *rand.Rand, alphabet string, most int) string {
	letters := []rune(alphabet)
	var b strings.Builder
	for range rng.IntN(most + 1) {
		b.WriteRune(letters[rng.IntN(len(letters))])
	}
	return b.String()
}

func pick(rng *rand.Rand, of ...string) string { return of[rng.IntN(len(of))] }

// TestDifferential holds the verifier against the AWS SDK's signer over a seeded
// stream of requests. Each execution signs one request, wants it and its equal
// forms accepted, and wants more than a dozen changes to it refused.
func TestDifferential(t *testing.T) {
	t.Parallel()
	executions := 100_000
	switch {
	case *full:
		executions = 1_000_000
	case raceDetector: // some seven times slower, and one goroutine has no races
		executions = 5_000
	}
	c := newChecker(t)
	for i := range executions {
		rng := rand.New(rand.NewPCG(uint64(i), 0x6f757463726f70))
		c.check(rng, randomSpec(rng))
	}
	t.Logf("%d signed requests, %d verdicts: %d accepted, %d refused, 0 wrong", executions, c.accepted+c.refused, c.accepted, c.refused)
}

// FuzzVerify is TestDifferential with the path, query, header and body that the
// fuzzer chooses; the AWS SDK is the oracle.
func FuzzVerify(f *testing.F) {
	f.Add(uint64(1), "model/anthropic.claude-v2:1/invoke", "", "application/json", []byte(`{"prompt":"hi"}`))
	f.Add(uint64(2), "model/arn:aws:bedrock:us-east-1:000000000000:inference-profile/x/converse", "a=1&a=0&b", " a   b\tc ", []byte{})
	f.Add(uint64(3), "", "=&%41=~&x=%2B+", "", []byte{0, 255})
	f.Add(uint64(5), "a//b/./../c%2F%3A", "é=ü&é=u", "a,b, c", []byte("x"))
	f.Fuzz(func(t *testing.T, seed uint64, path, query, value string, body []byte) {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := randomSpec(rng)
		s.path = escapeFreely(path)
		s.query = ""
		if q, err := url.ParseQuery(query); err == nil {
			s.query = q.Encode()
		}
		if validValue(value) {
			s.headers.Add("X-Amzn-Bedrock-Trace", value)
		}
		s.body = body
		newChecker(t).check(rng, s)
	})
}

// escapeFreely makes a request path of any text: what may stand in a path stays,
// valid escapes stay, the rest is escaped.
func escapeFreely(path string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteByte('/')
	for i := 0; i < len(path); i++ {
		c := path[i]
		_, bad := url.PathUnescape(path[i:min(i+3, len(path))])
		switch {
		case c == '%' && bad == nil, 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~/:@!$&'()*+,;=", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

// validValue reports whether net/http sends a header value as it is.
func validValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
