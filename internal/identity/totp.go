package identity

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- the algorithm of RFC 6238 that authenticator apps know
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"time"
)

const (
	totpStep   = 30 * time.Second // length of a step
	totpDigits = 6
	// totpWindow is how many steps a code may be early or late.
	totpWindow = 1
	// totpSearch is how many steps a device's clock may be off when two codes in a
	// row tell where it stands: 10 minutes either way.
	totpSearch = 20
)

// totpAt is the number of the step that a time lies in.
func totpAt(t time.Time) int64 { return t.Unix() / int64(totpStep/time.Second) }

// totpCode is the one-time code of a step: six digits. Source: RFC 6238 with
// HMAC-SHA-1 and steps of 30 s since 1970, truncated as RFC 4226 section 5.3 says.
func totpCode(seed []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) // #nosec G115 -- steps are counted from 1970
	mac := hmac.New(sha1.New, seed)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	word := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, word%1_000_000)
}

// totpMatch returns the step within window steps of around whose code this is.
// Steps up to and with after are spent. It takes the same time for every code.
func totpMatch(seed []byte, code string, around, window, after int64) (step int64, ok bool) {
	for s := around - window; s <= around+window; s++ {
		hit := subtle.ConstantTimeCompare([]byte(totpCode(seed, s)), []byte(code)) == 1
		if hit && s > after && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}

// totpPair returns the step of the second of two codes in a row, looked for within
// totpSearch steps of around. Steps up to and with after are spent.
func totpPair(seed []byte, first, second string, around, after int64) (step int64, ok bool) {
	for s := around - totpSearch; s <= around+totpSearch; s++ {
		hit := subtle.ConstantTimeCompare([]byte(totpCode(seed, s)), []byte(first)) &
			subtle.ConstantTimeCompare([]byte(totpCode(seed, s+1)), []byte(second))
		if hit == 1 && s > after && !ok {
			step, ok = s+1, true
		}
	}
	return step, ok
}
