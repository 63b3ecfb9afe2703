package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"strings"
)

const (
	sigV4Prefix    = "AKIA" // access key ids
	bearerIDPrefix = "ACCA" // ids of bearer keys, as IAM's service-specific credentials
	longTermPrefix = "ABSK" // long-term bearer tokens

	idLength = 20  // of either kind of id
	maxToken = 256 // characters of a long-term token; the longest of ours has 184
)

// newSigV4 makes an access key id (AKIA and 16 of A-Z2-7) and a secret of 40
// characters, 240 random bits, in AWS's form.
func newSigV4() (id, secret string) {
	var b [10 + 30]byte
	_, _ = rand.Read(b[:]) // never fails
	return sigV4Prefix + base32.StdEncoding.EncodeToString(b[:10]), base64.StdEncoding.EncodeToString(b[10:])
}

// newBearer makes a long-term token in AWS's form: ABSK and base64 of its public
// part, a colon, and 32 random bytes in base64. The public part is name, or
// "BedrockAPIKey-xxxx-at-ACCOUNT" when there is none.
func newBearer(account, name string) string {
	var b [3 + 32]byte
	_, _ = rand.Read(b[:]) // never fails
	if name == "" {
		name = "BedrockAPIKey-" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:3])[:4]) + "-at-" + account
	}
	return longTermPrefix + base64.StdEncoding.EncodeToString([]byte(name+":"+base64.StdEncoding.EncodeToString(b[3:])))
}

// bearerID is the id that a long-term token is stored under. It follows from the
// token, so that a look-up needs no scan, and tells nothing of use about it: 80
// bits of a hash of 256 random ones.
func bearerID(token []byte) string {
	h := sha256.New()
	h.Write([]byte("outcrop bearer key id\x00"))
	h.Write(token)
	return bearerIDPrefix + base32.StdEncoding.EncodeToString(h.Sum(nil)[:10])
}

// looksLikeID reports whether id may be one that we made.
func looksLikeID(id, prefix string) bool {
	if len(id) != idLength || !strings.HasPrefix(id, prefix) {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
