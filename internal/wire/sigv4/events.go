package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// eventsPayload stands in the canonical request for the hash of a body that is
// a stream of signed events.
const eventsPayload = "STREAMING-AWS4-HMAC-SHA256-EVENTS"

// eventAlgorithm begins the text that an event's signature signs.
const eventAlgorithm = "AWS4-HMAC-SHA256-PAYLOAD"

// HeaderDate and HeaderSignature are the headers of the frame around an event.
const (
	HeaderDate      = ":date"
	HeaderSignature = ":chunk-signature"
)

// Events verifies the signed events of one request, in their order: each
// signature covers the one before it, the first one the request's. It is used by
// one goroutine.
type Events struct {
	secret secret.Value
	scope  string // region/service/aws4_request
	day    string // of key
	key    [32]byte
	prev   [32]byte
	skew   time.Duration
}

// VerifyEvents verifies the signature of a request that was parsed with
// Options.Events, and returns what verifies its events.
//
// Errors: InvalidSignatureException (403). An empty secret never verifies.
func (s *Signed) VerifyEvents(keys *KeyCache, sec secret.Value, skew time.Duration) (*Events, error) {
	if sec.IsZero() || !s.events {
		return nil, Mismatch()
	}
	key, err := s.verify(keys, sec, []byte(eventsPayload))
	if err != nil {
		return nil, err
	}
	if skew == 0 {
		skew = DefaultSkew
	}
	day, scope, _ := strings.Cut(s.scope, "/")
	return &Events{secret: sec, scope: scope, day: day, key: key, prev: s.signature, skew: skew}, nil
}

// Verify checks the frame around one event: its date, its signature and its
// payload, which is the event's own frame or nothing at the end of the stream.
//
// Errors: InvalidSignatureException (403); the stream cannot go on after one.
func (e *Events) Verify(now, date time.Time, signature, payload []byte) error {
	if date.Before(now.Add(-e.skew)) || date.After(now.Add(e.skew)) {
		return invalid("Signature of an event expired or not yet current: its :date is more than %s away from the server's time.", minutes(e.skew))
	}
	stamp := date.UTC().Format(isoBasic)
	if day := stamp[:8]; day != e.day {
		e.day, e.key = day, derive(e.secret, day+"/"+e.scope)
	}
	head, body := sha256.Sum256(dateHeader(date)), sha256.Sum256(payload)
	text := strings.Join([]string{
		eventAlgorithm, stamp, e.day + "/" + e.scope, hex.EncodeToString(e.prev[:]), hex.EncodeToString(head[:]), hex.EncodeToString(body[:]),
	}, "\n")
	want := mac(e.key[:], []byte(text))
	if !hmac.Equal(want[:], signature) {
		return invalid("The signature of an event does not match: the stream was changed on its way, or signed with another key.")
	}
	e.prev = want
	return nil
}

// dateHeader is the header ":date" as it stands in the frame.
func dateHeader(date time.Time) []byte {
	b := append([]byte{byte(len(HeaderDate))}, HeaderDate...)
	b = append(b, 8)                                                  // a timestamp
	return binary.BigEndian.AppendUint64(b, uint64(date.UnixMilli())) // #nosec G115 -- two's complement
}
